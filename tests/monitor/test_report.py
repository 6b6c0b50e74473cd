"""What is known of a model, on its page, at the prompt and in the graph."""

import json
import re
from dataclasses import replace
from datetime import date, datetime, timedelta

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    TickData,
    TickStatus,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster_shared.error import SerializableErrorInfo
from typer.testing import CliRunner

from ops_platform.automation import RETRAINING
from ops_platform.cli import app
from ops_platform.lake.write import write as write_to
from ops_platform.models.registry import Version
from ops_platform.monitor import page as pages
from ops_platform.monitor.assets import (
    PERFORMANCE_KEY,
    performance_asset,
    report_asset,
    retraining_waits_for,
)
from ops_platform.monitor.checks import INPUTS_KEY, KEY
from ops_platform.monitor.input_drift import DayJudged, FeatureJudged
from ops_platform.monitor.inputs import keep, rows_of
from ops_platform.monitor.page import draw, newest, page
from ops_platform.monitor.probation import GOES_ON, Probation
from ops_platform.monitor.report import Event, Report, gather
from ops_platform.monitor.shown import Mean, mean, of_everyone
from ops_platform.serve import history, release
from ops_platform.serve.assets import RELEASE
from ops_platform.serve.sequential import Sequence
from ops_platform.settings import Settings
from tests.monitor.conftest import NAME
from tests.monitor.live import ORDERS, empty_home, on, publish, serve

DAYS = pd.date_range("2024-05-01", periods=30)
NOON = datetime(2024, 5, 31, 12)
FAILED = SerializableErrorInfo("no such policy", [], None)
ORIGIN = RemoteInstigatorOrigin(
    RemoteRepositoryOrigin(InProcessCodeLocationOrigin(LoadableTargetOrigin()), "ops"), RETRAINING
)
BOUGHT = [("buys", -5, "p1"), ("buys", -4, "p2"), ("buys", 2, "p1"), ("buys", 4, "p5")]


def performance(source: str = "served", units: int = 40) -> pd.DataFrame:
    wave = 0.4 + 0.05 * np.sin(np.arange(len(DAYS)))
    ripe = np.arange(len(DAYS)) < 24
    frame = pd.DataFrame(
        {
            "period": DAYS, "version": np.where(np.arange(len(DAYS)) < 12, 1, 2),
            "source": source, "segment": "all customers", "answers": 2 * units, "hits": units,
            "units": units, "hit_rate": wave, "hit_rate_low": wave - 0.05,
            "hit_rate_high": wave + 0.05, "ndcg": wave, "ndcg_low": wave - 0.1,
            "ndcg_high": wave + 0.1, "baseline_hit_rate": wave, "baseline_ndcg": wave - 0.02,
            "lead": 0.02, "lead_low": -0.01, "lead_high": 0.05, "ripe": ripe, "estimated": ~ripe,
        }
    )  # fmt: skip
    beside = ["baseline_hit_rate", "baseline_ndcg", "lead", "lead_low", "lead_high"]
    frame.loc[~ripe, beside] = np.nan
    return frame


@pytest.fixture(scope="module")
def made_up() -> Report:
    features = [("ndcg_at_20", 2.0), ("log_price", np.nan)]
    drift = pd.DataFrame(
        [
            {"version": 1, "period": day, "feature": feature, "effect": -0.5, "value": 0.2,
             "reference": 0.4, "statistic": statistic + (day.day == 20) * 5, "bound": 6.0,
             "alarm": day.day == 20 and statistic > 0}
            for day in DAYS for feature, statistic in features
        ]
    )  # fmt: skip
    inputs = pd.DataFrame({"period": DAYS, "feature": "quantity", "psi": 0.1, "alarm": False})
    return Report(
        model=NAME, recommends=True, day=date(2024, 5, 30), made_at=datetime(2024, 5, 31, 6),
        champion=Version(NAME, 2, {"as_of": "2024-05-12"}, {}, ""), waits="too <young>",
        source="served", days=performance(), recent=mean(performance()),
        segments={"new customers": Mean(9, 0.4, 0.5, -0.1, -0.2, -0.05)},
        foretold=pd.DataFrame({"ripe": []}), drift=drift,
        inputs=inputs,
        probations={2: Probation(NAME, 2, 1, date(2024, 5, 13), date(2024, 6, 9), 77,
                                 Sequence(-0.01, -0.2, 0.1, 0.4), GOES_ON)},
        on_trial=True,
        events=[Event("2024-05-20", "alarm", "ndcg_at_20 <0.2"),
                Event("2024-05-13 06:00", "promotion", "v2 serves")],
    )  # fmt: skip


def test_the_same_report_gives_the_same_page_which_refers_to_nothing_outside(made_up):
    text = page(made_up, draw(made_up))
    assert page(made_up, draw(made_up)) == text
    assert not re.search(r"""(src|href)=["'](?!#)|@import|url\((?!#)""", text)
    assert "default-src 'none'" in text and "<image" not in text
    assert "too &lt;young&gt;" in text and "ndcg_at_20 &lt;0.2" in text


def test_whether_a_model_is_right_is_told_of_its_own_days_only(made_up):
    calm = replace(made_up, events=[])
    worse = replace(calm, recent=replace(made_up.recent, low=-0.3, high=-0.1))
    other = replace(calm, champion=replace(made_up.champion, version=3))
    assert made_up.answer == "in doubt: an alarm on 2024-05-20"
    level = replace(calm, recent=replace(made_up.recent, low=-0.1, high=0.1))
    assert calm.answer == "yes: no alarm, and better than the baseline"
    assert level.answer == "yes: no alarm, and not told apart from the baseline"
    assert worse.answer == "no: no alarm, and worse than the baseline"
    assert other.answer == "not known yet: too few days of version 3 have labels"
    assert replace(calm, champion=None).answer == "there is no champion yet"


def test_the_newest_page_is_that_of_the_newest_day(tmp_path):
    (tmp_path / NAME).mkdir()
    for day in ("nothing-published", "2024-05-30", "2024-05-29"):
        (tmp_path / NAME / f"{day}.html").touch()
    assert newest(tmp_path, NAME).name == "2024-05-30.html"
    assert newest(tmp_path, "another") is None


def test_the_oldest_pages_go(made_up, tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "PAGES_KEPT", 2)
    (tmp_path / NAME).mkdir()
    for day in ("nothing-published", "2024-05-28", "2024-05-29"):
        (tmp_path / NAME / f"{day}.html").touch()
    pages.write(made_up, {}, tmp_path)
    kept = sorted(path.stem for path in (tmp_path / NAME).iterdir())
    assert kept == ["2024-05-29", "2024-05-30", "nothing-published"]


def test_the_page_in_a_browser(made_up, browser, tmp_path):
    place = tmp_path / "page.html"
    place.write_text(page(made_up, draw(made_up)), encoding="utf-8")
    browser.get(place.as_uri())
    body = browser.find_element("tag name", "body")
    shown = body.text
    for told in (
        "version 2", "as of 2024-05-12, 18 days old", "6 days wait for labels", "too <young>",
        "goes on", "NDCG -0.010 (-0.200 to +0.100 with 95 %) against version 1 on 77 customers",
        "-0.100", "2024-05-20", "estimated, labels are awaited", "inputs",
    ):  # fmt: skip
        assert told in shown, told
    drawn = browser.find_elements("css selector", "figure svg")
    assert len(drawn) == 4
    assert all(one.size["width"] > 500 and one.size["height"] > 50 for one in drawn)
    # Nothing is wider than the window.
    assert browser.execute_script("return document.body.scrollWidth <= window.innerWidth")
    assert browser.get_log("browser") == []


def test_the_page_of_a_model_of_probabilities_in_a_browser(made_up, browser, tmp_path):
    ripe = np.arange(len(DAYS)) < 24
    foretold = pd.DataFrame(
        {"period": DAYS, "version": 1, "customers": 1234, "foretold": 0.31, "came_true": 0.29,
         "brier": 0.151, "baseline_brier": 0.162, "lead": 0.011, "lead_low": 0.004,
         "lead_high": 0.018, "ripe": ripe}
    )  # fmt: skip
    beside = ["came_true", "brier", "baseline_brier", "lead", "lead_low", "lead_high"]
    foretold.loc[~ripe, beside] = np.nan
    made = replace(
        made_up, recommends=False, foretold=foretold, drift=made_up.drift[:0],
        days=made_up.days[:0], segments={}, recent=None,
    )  # fmt: skip
    place = tmp_path / "page.html"
    place.write_text(page(made, draw(made)), encoding="utf-8")
    browser.get(place.as_uri())
    shown = browser.find_element("tag name", "body").text
    for told in (
        "0.151", "lower than the baseline's by +0.011 +0.004 to +0.018", "version 1: 1,234 customers",
        "6 measured days wait for labels", "Brier score, less is better", "came true",
    ):  # fmt: skip
        assert told in shown, told
    assert "NDCG" not in shown and "Probation" not in shown
    assert len(browser.find_elements("css selector", "figure svg")) == 2
    assert browser.get_log("browser") == []


def test_what_was_served_tells_of_a_model_once_enough_of_it_has_labels():
    both = pd.concat([performance("as of", 500), performance("served", 1)])
    assert set(of_everyone(both)["source"]) == {"as of"}
    both = pd.concat([performance("as of", 500), performance("served", 2)])
    assert set(of_everyone(both)["source"]) == {"served"}


def test_the_mean_of_days_is_over_their_customers():
    days = performance().head(2).assign(units=[10, 30], ndcg=[0.4, 0.8])
    found = mean(days)
    assert (found.units, found.ndcg) == (40, pytest.approx(0.7))
    one = 0.03 / 1.96
    half = 1.96 * np.sqrt((one * 10) ** 2 + (one * 30) ** 2) / 40
    assert found.high - found.lead == pytest.approx(half)
    assert mean(days.assign(ripe=False)) is None


def test_from_the_graph_to_the_prompt(fresh_store, tmp_path, instance, webhook):
    home = empty_home(fresh_store, tmp_path)
    publish(home, 8, *BOUGHT)
    home.crown(on(0))
    serve(home, "first", ("buys", 2, ["p1"]), ("buys", 3, ["p5"]))
    clock = home.settings.home / "clock"
    clock.write_text(f"{on(9)}T06:00:00")
    folder = release.folder_of(home.settings.releases, NAME)
    folder.mkdir(parents=True)
    release.point_to(folder, "v1-0123456789ab")
    history.note(folder, "v1-0123456789ab", datetime.fromisoformat(f"{on(9)}T05:00"), "released")
    environment = {
        "OPS_HOME": str(home.settings.home), "OPS_DATA_PATH": str(home.settings.data_path),
        "OPS_CLOCK": str(clock), "OPS_LABEL_DAYS": "3",
    }  # fmt: skip
    given = Settings(
        home=home.settings.home, data_path=home.settings.data_path, clock=str(clock),
        label_days=3, webhook=webhook[0],
    )  # fmt: skip
    done = dg.materialize(
        [performance_asset([NAME], [ORDERS]), report_asset([NAME])],
        instance=instance,
        resources={"settings": given},
    )
    [made] = done.asset_materializations_for_node("monitor__report")
    assert "![performance](data:image/png;base64," in made.metadata[f"{NAME} pictures"].value
    assert [one["text"].splitlines()[0] for one in webhook[1]] == [
        f"promotion: {NAME} v1 serves: released"
    ]
    [measured] = done.asset_materializations_for_node("monitor__performance")
    assert measured.metadata["days_ripened"].value == 6
    assert "| estimated |" not in measured.metadata["performance"].value
    assert "waits for labels" in measured.metadata["performance"].value

    def ops(*arguments: str):
        return CliRunner().invoke(app, ["monitor", *arguments], env=environment)

    # Python reads a NaN, which is no JSON.
    told = json.loads(ops("--json", "--days", "4").stdout, parse_constant=pytest.fail)
    assert (told["champion"], told["age_days"], told["days_waiting"]) == (1, 8, 2)
    assert [day["period"][:10] for day in told["days"]] == [
        str(on(8) - timedelta(days=n)) for n in (3, 2, 1, 0)
    ]
    assert told["days"][-1]["ndcg"] is None
    assert told["page"] == made.metadata[f"{NAME} page"].value
    shown = ops().stdout
    assert f"champion is version 1, as of {on(0)}, 8 days old" in shown
    assert "right today? yes: no alarm" in shown and "watched too: purchase_probability" in shown
    assert "promotion: recommender v1 serves: released; the gate let it pass" in shown
    wrong = ops("nobody")
    assert wrong.exit_code == 1 and "there is no model 'nobody': name one of" in wrong.stderr
    environment["OPS_RETRAINING_POLICY"] = "nonsense"
    assert "no retraining policy 'nonsense'" in ops().stderr


def test_the_page_follows_what_it_is_made_of():
    asset = report_asset([NAME])
    (key,) = asset.keys
    assert asset.asset_deps[key] == {KEY, INPUTS_KEY, PERFORMANCE_KEY, RELEASE}


def test_an_alarm_of_the_inputs_is_told_with_what_changed(home):
    day = date(2024, 5, 20)
    changed = FeatureJudged("interactions/price", 9.0, day - timedelta(3), "fine")
    judged = DayJudged(day, 9.0, 8.0, True, "alarm", (changed,))
    rows = rows_of(NAME, 1, judged, {"": {}}, {})
    write_to(home.lake, lambda c: keep(c, NAME, None, rows, (day, b"")))
    found = gather(home.lake, home.registry, home.settings.releases, NAME, NOON, "")
    assert found.events == [
        Event("2024-05-20", "alarm", "inputs since 2024-05-17: interactions/price")
    ]


def test_a_model_without_a_page_keeps_no_other_from_its(home, instance, orders):
    home.publish(orders())
    broken = release.folder_of(home.settings.releases, "stranger")
    broken.mkdir(parents=True)
    (broken / release.POINTER).write_text("nonsense")
    done = dg.materialize(
        [report_asset(["stranger", NAME])],
        instance=instance,
        resources={"settings": home.settings},
        raise_on_error=False,
    )
    failure = done.failure_data_for_node("monitor__report").user_failure_data
    assert failure.description.startswith("stranger: ")
    assert newest(home.settings.home / "monitor", NAME) is not None


def test_where_nothing_has_run_retraining_waits_for_nothing():
    with dg.DagsterInstance.ephemeral() as nowhere:
        assert retraining_waits_for(nowhere) == ""


def test_what_retraining_waits_for_is_what_the_last_whole_tick_said(instance):
    state = InstigatorState(ORIGIN, InstigatorType.SENSOR, InstigatorStatus.RUNNING)
    instance.add_instigator_state(state)
    assert retraining_waits_for(instance) == ""
    said_at = " (of all models, said at 1970-01-01 00:00 UTC)"
    for second, status, why, told in (
        (1.0, TickStatus.SKIPPED, "no reason", f"no reason{said_at}"),
        (2.0, TickStatus.STARTED, None, f"no reason{said_at}"),
        (3.0, TickStatus.SUCCESS, None, f"a run that it has asked for{said_at}"),
        (4.0, TickStatus.FAILURE, None, "its sensor failed, see its ticks"),
    ):
        instance.create_tick(
            TickData(
                ORIGIN.get_id(), RETRAINING, InstigatorType.SENSOR, status, second,
                run_ids=[], skip_reason=why, selector_id=state.selector_id,
                error=FAILED if status == TickStatus.FAILURE else None,
            )
        )  # fmt: skip
        assert retraining_waits_for(instance) == told
