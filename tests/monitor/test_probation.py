"""Probation on real parts: a lake, a registry, releases, Dagster's instance and a webhook."""

import json
from dataclasses import replace
from datetime import date, datetime, timedelta

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from ops_platform.errors import RegistryError
from ops_platform.lake import catalog
from ops_platform.lake.connect import connect
from ops_platform.lake.write import write
from ops_platform.models.recommending import interactions_by
from ops_platform.models.registry import ROLLED_BACK
from ops_platform.models.zoo.recommender import Recommender
from ops_platform.monitor import assets, judge_probation, probation
from ops_platform.monitor.assets import performance_asset
from ops_platform.monitor.probation import GOES_ON, PASSED, WORSE, Probation, on_probation, term
from ops_platform.monitor.probation_table import read_probation
from ops_platform.serve import history, release
from ops_platform.serve.assets import RELEASE
from ops_platform.serve.promotion import put_in_service
from ops_platform.serve.rollback import roll_back
from ops_platform.serve.sequential import sequence
from ops_platform.settings import Settings
from tests.monitor.conftest import AS_OF, NAME, Home
from tests.monitor.live import ORDERS, copy_of, empty_home

NOW = datetime(2024, 3, 21, 6)
LATER = AS_OF + timedelta(days=12)
PRODUCTS = """
CREATE OR REPLACE TABLE marts.dim_products AS
SELECT DISTINCT product_id, product_id AS description, NULL::VARCHAR AS title,
       NULL::VARCHAR AS category FROM marts.fct_order_lines
"""


@pytest.fixture(scope="module")
def known(orders, tmp_path_factory, fresh_store):
    """A home with a good version that serves, trained on what is published up to AS_OF."""
    home = empty_home(fresh_store, tmp_path_factory.mktemp("probation"))
    home.publish(orders(0.0), AS_OF)
    write(home.lake, lambda connection: connection.execute(PRODUCTS))
    serve(home, interactions(home))
    home.publish(orders(0.0), LATER)
    return home


@pytest.fixture
def home(known, tmp_path):
    return copy_of(known, tmp_path / "home")


def interactions(home: Home) -> pd.DataFrame:
    with connect(home.lake) as connection:
        return interactions_by(connection, AS_OF)


def shuffled(rows: pd.DataFrame) -> pd.DataFrame:
    """The same customers and days, with products of other rows."""
    order = np.random.default_rng(0).permutation(len(rows))
    mixed = rows.assign(product_id=rows["product_id"].to_numpy()[order])
    return mixed.drop_duplicates(ignore_index=True)


def serve(home: Home, rows: pd.DataFrame, **parameters) -> int:
    """Train a version on these rows and let it serve, whatever a gate would have said."""
    tags = {
        "as_of": AS_OF.isoformat(), "snapshot": str(catalog.head(home.lake)),
        "training_set": "0" * 64, "verdict": json.dumps({"promote": True}),
    }  # fmt: skip
    model = Recommender(threads=1, **parameters).fit(rows, AS_OF)
    version = home.registry.register(NAME, model, metrics={}, tags=tags, now=NOW)
    served = put_in_service(home.lake, home.registry, home.settings.releases, NAME, NOW)
    assert served.version == version
    return version


def run(home: Home, instance, webhook: str) -> dg.ExecuteInProcessResult:
    """The asset monitor/performance, on the morning after LATER."""
    clock = home.settings.home / "clock"
    clock.write_text(f"{LATER + timedelta(days=1)}T06:00:00")
    given = Settings(
        home=home.settings.home, data_path=home.settings.data_path, clock=str(clock),
        webhook=webhook, label_days=3,
    )  # fmt: skip
    return dg.materialize(
        [performance_asset([NAME], [ORDERS])], instance=instance, resources={"settings": given}
    )


def serving(home: Home) -> tuple[int, int]:
    """The versions of the pointer and of the alias."""
    folder = release.folder_of(home.settings.releases, NAME)
    pointed = release.version_of(release.pointed(folder), folder)
    return pointed, home.registry.champion(NAME).version


def test_a_version_that_does_worse_goes_back_by_itself(home, instance, webhook):
    address, got = webhook
    assert serve(home, shuffled(interactions(home))) == 2
    done = run(home, instance, address)

    assert serving(home) == (1, 1)
    assert home.registry.version(NAME, 2).tags[ROLLED_BACK].endswith("to version 1")
    folder = release.folder_of(home.settings.releases, NAME)
    assert history.read(folder)[-1].why == "rolled back from version 2"
    with connect(home.lake) as connection:
        found = read_probation(connection, NAME)[2]
    assert (found.decision, found.predecessor) == (WORSE, 1)
    assert found.difference.high < 0

    [observed] = done.get_asset_observation_events()
    assert observed.asset_key == RELEASE
    said = observed.asset_observation_data.asset_observation.description
    assert "went back from version 2 to version 1: NDCG -0." in said
    [told] = [one["text"] for one in got]
    assert told.startswith("rollback: recommender v1 serves again: rolled back from version 2")
    assert f"how sure: {found.told}" in told and "done: the pointer and the alias" in told

    # It is not promoted again, and who came back is on no probation.
    again = put_in_service(home.lake, home.registry, home.settings.releases, NAME, NOW)
    assert (again.version, again.moved) == (1, False)
    assert term(home.settings.releases, NAME) is None


def test_a_version_that_was_promoted_meanwhile_is_not_left(home, instance, webhook, monkeypatch):
    address, got = webhook
    serve(home, shuffled(interactions(home)))

    def judged_slowly(*arguments, **more):
        assert known == ["orders"]
        found = on_probation(*arguments, **more)
        serve(home, interactions(home), repeat_weight=0.4)
        return found

    monkeypatch.setattr(judge_probation, "on_probation", judged_slowly)
    known = []
    # What is wrong with the data is known before anything is judged by it.
    monkeypatch.setattr(
        assets,
        "judge_sources",
        lambda lake, sources, now: known.extend(one.name for one in sources),
    )
    assert run(home, instance, address).success
    assert serving(home) == (3, 3)
    assert all(ROLLED_BACK not in home.registry.version(NAME, one).tags for one in (2, 3))
    assert got == []


def judged(
    home: Home, probation_days: int = 28, moved_at: datetime = NOW, over: date = LATER
) -> Probation:
    found = replace(term(home.settings.releases, NAME), moved_at=moved_at)
    return on_probation(
        home.lake, home.registry, found, NAME,
        over=over, label_days=3, probation_days=probation_days, sources=set(),
    )  # fmt: skip


def test_a_version_that_does_as_well_stays_until_its_days_are_over(home):
    assert serve(home, interactions(home), repeat_weight=0.4) == 2
    found = judged(home, over=AS_OF)
    assert (found.decision, found.customers, found.difference) == (GOES_ON, 0, None)
    assert found.told.startswith("no customer's days are over yet")
    found = judged(home)
    assert found.decision == GOES_ON and found.customers > 30
    assert found.until == NOW.date() + timedelta(days=28)
    # The clock is ahead of the data, as where a history is loaded.
    found = judged(home, 5, moved_at=datetime(2026, 3, 25))
    assert (found.decision, found.until) == (PASSED, AS_OF + timedelta(days=5))


def test_a_version_that_begins_well_and_goes_stale_does_not_pass():
    seen = np.repeat([0.2, -0.3], [100, 300])
    difference = sequence(seen, -1.0, 1.0, probation.ALPHA)
    assert difference.high is None
    assert probation._decision(difference, is_over=True) == probation.WORSE
    assert probation._decision(sequence(-seen, -1.0, 1.0, 0.05), is_over=True) == probation.PASSED


def test_who_is_on_probation(home):
    releases = home.settings.releases
    assert term(releases, NAME) is None
    serve(home, interactions(home), repeat_weight=0.4)
    found = term(releases, NAME)
    assert (found.version, found.predecessor, found.moved_at) == (2, 1, NOW)
    roll_back(home.lake, home.registry, releases, NAME, NOW)
    assert term(releases, NAME) is None
    # A person has named it.
    roll_back(home.lake, home.registry, releases, NAME, NOW, to=2)
    assert term(releases, NAME) is None


def test_a_predecessor_that_is_gone_is_said(home):
    serve(home, shuffled(interactions(home)))
    home.registry._client.delete_model_version(NAME, "1")
    with pytest.raises(RegistryError, match="There is no version 1 of 'recommender'"):
        judged(home)


def test_without_its_predecessor_a_version_is_on_no_probation_and_measured(home, instance, webhook):
    serve(home, shuffled(interactions(home)))
    home.registry._client.delete_model_version(NAME, "1")
    done = run(home, instance, webhook[0])
    assert done.success and serving(home) == (2, 2)
    [made] = done.asset_materializations_for_node("monitor__performance")
    assert made.metadata["days_ripened"].value > 0
