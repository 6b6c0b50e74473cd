"""Both arms of an experiment, from what was served and what was bought then."""

import json
import uuid
from datetime import date, datetime, timedelta
from decimal import Decimal

import pandas as pd
import pytest
from typer.testing import CliRunner

from ops_platform.cli import app
from ops_platform.ingest.contract_file import read_contract
from ops_platform.ingest.take_in import take_in
from ops_platform.serve import outcomes, release
from ops_platform.serve.experiment import FILE, Experiment
from ops_platform.serve.outcomes import Arm, report
from ops_platform.settings import PROJECT
from tests.monitor.conftest import NAME, Home, fresh_store, new_home  # noqa: F401

CHALLENGER, CHAMPION = "v2-0123456789ab", "v1-0123456789ab"
START, DAYS = datetime(2024, 3, 1), 7
CONTRACT = read_contract(PROJECT / "contracts" / "served.odcs.yaml")


@pytest.fixture(autouse=True)
def taken(monkeypatch) -> None:
    """The challenger's share of the customers, by name."""
    names = {"takes", "twice", "c2"}
    monkeypatch.setattr(Experiment, "takes", lambda self, customer: customer in names)


@pytest.fixture
def home(new_home) -> Home:  # noqa: F811
    return new_home("home")


def tried(mode: str = "split", share: float = 0.5) -> Experiment:
    return Experiment(CHALLENGER, mode, share, START.isoformat())


def serve(home: Home, *answers: tuple[str, str, int, str], **more) -> None:
    """Answers as (arm, customer, day, product), taken in as the service delivers them."""
    lines = []
    for number, (arm, customer, day, product) in enumerate(answers):
        lines.append(
            {
                "answer_id": uuid.uuid5(uuid.NAMESPACE_OID, str(number)).hex,
                "served_at": (START + timedelta(days=day, seconds=number)).isoformat() + "Z",
                "customer_id": customer, "known": True, "rank": 1, "product_id": product,
                "score": 0.5, "model": NAME, "model_version": 1,
                "release": CHALLENGER if arm == "challenger" else CHAMPION,
                "arm": arm, "shown": True, **more.get(arm, {}),
            }
        )  # fmt: skip
    path = home.settings.served / "20240401T000000.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    take_in(home.lake, CONTRACT, home.settings.served, START + timedelta(days=60))


def publish(home: Home, *bought: tuple[str, int, str], until: int = 20) -> None:
    """Purchases as (customer, day, product); somebody else's on the last day."""
    rows = [("else", until, "p9"), *bought]
    orders = pd.DataFrame(
        {
            "order_line_id": range(len(rows)),
            "order_id": [str(number) for number in range(len(rows))],
            "customer_id": [customer for customer, _, _ in rows],
            "product_id": [product for _, _, product in rows],
            "quantity": 1, "unit_price": Decimal("2.500"),
            "ordered_on": [pd.Timestamp(START) + timedelta(days=day) for _, day, _ in rows],
            "is_purchase": True, "is_product": True,
        }
    )  # fmt: skip
    home.publish(orders, date(2024, 3, 1) + timedelta(days=until))


def arms(home: Home, experiment: Experiment) -> dict[str, Arm]:
    return report(home.lake, NAME, experiment, DAYS).arms


def test_before_anything_was_served_there_is_nothing_to_compare(home):
    found = report(home.lake, NAME, tried(), DAYS)
    assert (found.observations, found.difference) == (0, None)
    assert found.arms == {"champion": Arm(0, None), "challenger": Arm(0, None)}


def test_who_bought_what_was_shown_first_in_time_counts_once(home):
    serve(
        home,
        *[("champion", one, 2, "p1") for one in ("buys", "late", "early", "other", "last day")],
        # What is shown later changes nothing.
        ("champion", "other", 3, "p2"),
        ("challenger", "takes", 2, "p1"), ("challenger", "twice", 2, "p1"),
        # Before its worker had taken the experiment up.
        ("champion", "takes", 1, "p2"),
        # Before the experiment, and too late for its days to be over.
        ("champion", "before", -1, "p1"), ("champion", "young", 15, "p1"),
    )  # fmt: skip
    publish(
        home,
        ("buys", 2, "p1"), ("last day", 8, "p1"), ("late", 9, "p1"), ("early", 1, "p1"),
        ("other", 4, "p2"), ("takes", 3, "p1"), ("twice", 3, "p1"), ("twice", 4, "p1"),
        ("before", 2, "p1"), ("young", 16, "p1"),
    )  # fmt: skip
    assert arms(home, tried()) == {"champion": Arm(5, 2 / 5), "challenger": Arm(2, 1.0)}
    found = report(home.lake, NAME, tried(), DAYS)
    # What each did less the share of those before, of whom one of two counts from the start.
    champions = (1 - 1 / 2) + (0 - 2 / 3) + (0 - 2 / 4) + (0 - 2 / 5) + (1 - 2 / 6)
    challengers = (1 - 3 / 7) + (1 - 4 / 8)
    assert found.difference.mean == pytest.approx(2 * (challengers - champions) / 7)
    # So many days more must have passed.
    assert arms_of_days(home, 30) == {"champion": Arm(0, None), "challenger": Arm(0, None)}


def arms_of_days(home: Home, days: int) -> dict[str, Arm]:
    return report(home.lake, NAME, tried(), days).arms


def test_a_shadow_counts_as_shown_in_no_split_and_is_paired_where_it_is_one(home):
    everyone = [f"c{number}" for number in range(30)]
    serve(
        home,
        *[("champion", one, 1, "p1") for one in everyone],
        *[("challenger", one, 1, "p2") for one in everyone[1:]],
        challenger={"shown": False},
    )
    publish(home, *[(one, 2, "p2") for one in everyone], ("c1", 2, "p1"))
    assert arms(home, tried())["challenger"] == Arm(0, None)
    found = report(home.lake, NAME, tried("shadow"), DAYS)
    assert found.arms == {"champion": Arm(30, 1 / 30), "challenger": Arm(29, 1.0)}
    assert (found.observations, found.difference.mean) == (29, pytest.approx(28 / 29))
    assert found.difference.p_value < 0.05 and found.difference.low > 0


def test_lines_of_before_there_were_arms_are_the_champions(home):
    serve(home, ("champion", "c1", 1, "p1"), champion={"arm": None, "shown": None})
    publish(home, ("c1", 2, "p1"))
    assert arms(home, tried())["champion"] == Arm(1, 1.0)


def test_the_command_tells_both_arms(home):
    serve(home, ("champion", "c1", 1, "p1"), ("challenger", "c2", 1, "p1"))
    publish(home, ("c2", 2, "p1"))
    folder = release.folder_of(home.settings.releases, NAME)
    folder.mkdir(parents=True)
    (folder / FILE).write_text(json.dumps(vars(tried())))
    environment = {"OPS_HOME": str(home.settings.home)}

    def ops(*more: str) -> str:
        done = CliRunner().invoke(app, ["experiment", "show", *more], env=environment)
        assert done.exit_code == 0, done.output
        return done.stdout

    told = json.loads(ops("--json", "--days", "7"))
    assert told["arms"]["challenger"] == {"customers": 1, "share": 1.0}
    assert (told["release"], told["alpha"]) == (CHALLENGER, outcomes.ALPHA)
    assert "no difference is shown yet" in ops("--days", "7")
    assert "No customer's 90 days are over yet" in ops("--days", "90")
