"""What was served is replayed through training's features, and a difference is found."""

import json
import uuid
from datetime import date, datetime, timedelta

import dagster as dg
import pandas as pd
import pytest

from ops_platform.features.online_export import read_rows
from ops_platform.features.view import find_views
from ops_platform.ingest.contract_file import read_contract
from ops_platform.ingest.take_in import take_in
from ops_platform.lake.connect import connect
from ops_platform.lake.published import published
from ops_platform.serve import parity, release
from ops_platform.serve.checks import parity_check
from ops_platform.serve.parity import replay
from ops_platform.settings import PROJECT, Settings
from tests.monitor.conftest import Home, fresh_store, new_home  # noqa: F401
from tests.monitor.conftest import orders as bought  # noqa: F401
from tests.serve.conftest import NAME, NOW, fitted

AS_OF, LATER = date(2024, 4, 1), date(2024, 4, 19)
VIEWS = tuple(one for one in find_views() if one.name in ("customer_activity", "product_demand"))
CONTRACT = read_contract(PROJECT / "contracts" / "served.odcs.yaml")


@pytest.fixture
def orders(bought):  # noqa: F811
    def of():
        return bought().assign(ordered_at=bought()["ordered_on"], is_cancellation=False)

    return of


@pytest.fixture
def home(new_home, orders) -> Home:  # noqa: F811
    home = new_home("home")
    home.publish(orders(), AS_OF, VIEWS)
    return home


def released(home: Home, change=None) -> str:
    """A release of the published features, one of which may be changed on purpose."""
    with connect(home.lake, snapshot=published(home.lake).snapshot) as connection:
        features = read_rows(connection, list(VIEWS), AS_OF)
    if change is not None:
        change(features["customer_activity"].features["frequency"].values)
    origin = release.Origin(NAME, 1, AS_OF.isoformat(), 1, "0" * 64, "0" * 64)
    return release.write(folder(home), origin, fitted().state(), {}, NOW, features)


def folder(home: Home):
    return release.folder_of(home.settings.releases, NAME)


def serve(home: Home, made: str, customers: list[str], at: datetime = NOW, known=True) -> None:
    """Take in a delivery of what the release has answered these customers."""
    products = [one for (one,) in home.read("SELECT product_id FROM features.product_demand")]
    lines = [
        {
            "answer_id": uuid.uuid5(uuid.NAMESPACE_OID, f"{at} {number}").hex, "served_at": at.isoformat() + "Z",
            "customer_id": customer, "known": known, "rank": 1,
            "product_id": products[number % len(products)],
            "score": 0.5, "model": NAME, "model_version": 1, "release": made,
        }
        for number, customer in enumerate(customers)
    ]  # fmt: skip
    path = home.settings.served / f"{at:%Y%m%dT%H%M%S}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    take_in(home.lake, CONTRACT, home.settings.served, at + timedelta(minutes=1))


def customers(home: Home) -> list[str]:
    found = home.read("SELECT customer_id FROM features.customer_activity ORDER BY customer_id")
    return [one for (one,) in found]


def checked(settings: Settings) -> dg.AssetCheckResult:
    return parity_check()(settings)


def test_before_anything_was_served_the_check_passes_and_says_so(home):
    assert checked(Settings(home=home.settings.home / "none")).passed
    result = checked(home.settings)
    assert (result.passed, result.metadata["lines"].value) == (True, 0)
    assert result.description.startswith("Nothing was served yet")


def test_what_was_served_is_what_training_makes_though_later_days_have_come(home, orders):
    made, everyone = released(home), customers(home)
    serve(home, made, everyone)
    home.publish(orders(), LATER, VIEWS)

    found = replay(home.lake, folder(home), seed=0)

    assert found.lines == len(everyone)
    told = {(one.view, one.feature): one for one in found.features}
    assert {view for view, _ in told} == {"customer_activity", "product_demand"}
    assert told["customer_activity", "frequency"].entities == len(everyone)
    assert [one for one in found.features if one.mismatches] == []
    assert checked(home.settings).passed


def test_a_feature_that_is_made_to_differ_fails_the_check(home):
    def change(values):
        values[::2] += 1

    serve(home, released(home, change), customers(home))
    result = checked(home.settings)
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert result.description.startswith("customer_activity.frequency differs for ")
    (one,) = replay(home.lake, folder(home), seed=0).beyond(0.01)
    assert one.mismatches == (len(customers(home)) + 1) // 2
    assert result.metadata["failures"].value == one.mismatches


def test_late_deliveries_may_change_so_many_as_the_setting_says(home, orders):
    made, everyone = released(home), customers(home)
    serve(home, made, everyone)
    late = orders()
    # An order of before the release that was delivered after it: of another day than its others.
    first = late[late["customer_id"] == everyone[0]].iloc[[0]]
    first = first.assign(order_id="late", order_line_id=10**9, quantity=7)
    first["ordered_on"] = first["ordered_at"] = pd.Timestamp(2024, 3, 31)
    assert not ((late["customer_id"] == everyone[0]) & (late["ordered_on"] == "2024-03-31")).any()
    late = pd.concat([late, first], ignore_index=True)
    home.publish(late, AS_OF, VIEWS)

    differing = {one.feature: one for one in replay(home.lake, folder(home), seed=0).features}
    assert differing["frequency"].mismatches == 1
    assert everyone[0] in differing["frequency"].example
    strict = home.settings.model_copy(update={"parity_allowance": 0.0})
    wide = home.settings.model_copy(update={"parity_allowance": 0.5})
    assert (checked(strict).passed, checked(wide).passed) == (False, True)


def test_a_known_customer_whom_the_store_lacks_differs_in_every_feature(home, orders):
    made = released(home)
    serve(home, made, ["nobody"], known=False)
    assert replay(home.lake, folder(home), seed=0).lines == 0
    (home.settings.served / "20240401T120000.jsonl").unlink()
    home.publish(orders().assign(customer_id="somebody"), AS_OF, VIEWS)
    serve(home, made, ["somebody"], NOW + timedelta(days=1))
    found = [one for one in replay(home.lake, folder(home), 0).features if one.mismatches]
    assert {one.view for one in found} >= {"customer_activity"}
    assert "says None of somebody" in found[0].example


def test_the_newest_deliveries_are_sampled_first_and_the_same_lines_for_a_seed(home):
    old, new = released(home), customers(home)
    serve(home, old, new[:40])
    broken = released(home, lambda values: values.__iadd__(1))
    serve(home, broken, new[:40], NOW + timedelta(days=1))

    def differing(seed: int, lines: int) -> int:
        found = replay(home.lake, folder(home), seed, lines).features
        return next(one.mismatches for one in found if one.feature == "frequency")

    assert differing(0, 40) == differing(1, 80) == 40
    assert (
        len({parity._sample(home.lake, folder(home), seed, 5).to_json() for seed in (3, 3, 4)}) == 2
    )


def test_lines_of_a_release_that_is_not_kept_are_passed_over(home):
    serve(home, "v1-0123456789ab", customers(home))
    assert replay(home.lake, folder(home), seed=0).lines == 0
