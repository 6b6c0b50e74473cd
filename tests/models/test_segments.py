"""The guarded segments, and the gate that a version may not pass to their cost."""

import json
from datetime import date

import numpy as np
import pandas as pd
import pytest

from ops_platform.models.gate import decide, guard
from ops_platform.models.segments import newcomers, of_customers

CUT = date(2011, 11, 9)
KNOWN = pd.DataFrame(
    [
        ("ann", "p1", "2011-01-10"),
        ("ann", "p2", "2011-11-08"),
        ("ben", "p1", "2011-08-11"),
        ("cat", "p3", "2011-10-10"),
        ("dan", "p3", "2011-08-10"),
    ],
    columns=["customer_id", "product_id", "day"],
)
COUNTRIES = {"ann": "France", "ben": "United Kingdom", "cat": "United Kingdom"}


def test_customers_are_new_for_ninety_days_and_at_home_where_most_are():
    found = {name: list(ids) for name, ids in of_customers(KNOWN, COUNTRIES, CUT).items()}
    assert found == {
        "new customers": ["ben", "cat"],
        "returning customers": ["ann", "dan"],
        "customers in United Kingdom": ["ben", "cat"],
        "customers elsewhere": ["ann"],
    }


def test_without_countries_there_are_no_segments_of_them():
    assert list(of_customers(KNOWN, {}, CUT)) == ["new customers", "returning customers"]


def test_of_countries_with_as_many_customers_home_is_the_first_by_alphabet():
    assert "customers in Austria" in of_customers(KNOWN, {"ann": "France", "ben": "Austria"}, CUT)


def test_products_are_newcomers_for_thirty_days():
    assert list(newcomers(KNOWN, CUT)) == ["p2"]
    assert list(newcomers(KNOWN[KNOWN["day"] < "2011-08-20"], date(2011, 8, 20))) == ["p3"]
    assert list(newcomers(KNOWN, date(2011, 11, 10))) == ["p2"]


def both(loss: float, customers: int, noise: float = 0.02) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    champion = rng.uniform(0.2, 0.4, customers)
    return pd.DataFrame(
        {"champion": champion, "challenger": champion - loss + rng.normal(0, noise, customers)}
    )


@pytest.fixture(scope="module")
def passed():
    scores = both(-0.02, 2000)
    return decide(
        scores["champion"], scores["challenger"], start=CUT, end=date(2011, 12, 9), margin=0.01
    )


def test_a_version_that_is_better_is_held_back_for_a_segment_that_surely_loses(passed):
    assert passed.promote
    held = guard(passed, {"new customers": both(0.03, 100), "elsewhere": both(0.0, 100)})
    assert (held.promote, held.decision) == (False, "loses a segment")
    assert "for new customers (100: " in held.reason
    assert "elsewhere" not in held.reason
    assert [one.is_lost for one in held.segments] == [True, False]
    assert json.loads(json.dumps(held.as_dict()))["segments"][0]["name"] == "new customers"


def test_a_loss_within_the_margin_or_of_too_few_or_that_may_be_chance_holds_nothing_back(passed):
    harmless = {
        "small loss": both(0.01, 100),
        "few": both(0.2, 29),
        "chance": both(0.03, 30, noise=0.3),
    }
    verdict = guard(passed, harmless)
    assert (verdict.promote, verdict.decision) == (True, "better")
    assert [one.name for one in verdict.segments] == ["small loss", "chance"]
    assert not guard(passed, harmless, margin=0.01).promote


def test_what_is_worse_anyway_stays_so(passed):
    scores = both(0.05, 500)
    worse = decide(
        scores["champion"], scores["challenger"], start=CUT, end=date(2011, 12, 9), margin=0.01
    )
    assert guard(worse, {"new customers": both(0.03, 100)}).decision == "worse"
