"""The figures of a day, by hand: two customers, a model that shows the three popular products."""

from datetime import date, timedelta
from math import asin, log, log2, sqrt

import numpy as np
import pandas as pd
import pytest

from ops_platform.errors import MonitorError
from ops_platform.models.baselines import Popularity
from ops_platform.monitor.alarm_rules.cusum import Cusum
from ops_platform.monitor.effects import cohens_h, effect, standardised_difference
from ops_platform.monitor.judgement import TOLERATED_LOSS, evidence, judge
from ops_platform.monitor.profile import FEATURES, NDCG, profile
from ops_platform.monitor.reference import DAYS_MIN, Reference, calibrate, summarise

DAY = pd.Timestamp(2024, 3, 1)
KNOWN = pd.DataFrame(
    [
        ("ann", "p1", date(2024, 1, 1)),
        ("ann", "p1", date(2024, 1, 2)),
        ("ann", "p1", date(2024, 1, 3)),
        ("bob", "p2", date(2024, 1, 1)),
        ("bob", "p2", date(2024, 1, 2)),
        ("bob", "p3", date(2024, 1, 1)),
    ],
    columns=["customer_id", "product_id", "day"],
)


def lines(*rows: tuple) -> pd.DataFrame:
    columns = ["day", "order_id", "customer_id", "product_id", "unit_price"]
    return pd.DataFrame(rows, columns=columns).astype({"customer_id": object})


def seen(*rows: tuple) -> dict[str, tuple]:
    """The features of one day as (units, mean)."""
    model = Popularity().fit(KNOWN, date(2024, 1, 31))
    days = profile(model, KNOWN, lines(*rows))
    assert (days["squares"] >= days["total"] ** 2 / days["units"] - 1e-12).all()
    return {
        row.feature: (row.units, pytest.approx(row.total / row.units)) for row in days.itertuples()
    }


def test_a_day_is_what_it_is_by_hand():
    found = seen(
        # Ann buys the first product of the list, again, and one that the model can't know.
        (DAY, "1", "ann", "p1", 2.0),
        (DAY, "1", "ann", "p1", 2.0),
        (DAY, "1", "ann", "p9", 8.0),
        # Bob buys the third of the list; a stranger and a guest buy too, he for nothing.
        (DAY, "2", "bob", "p1", 2.0),
        (DAY, "3", "cat", "p2", 2.0),
        (DAY, "4", None, "p3", 0.0),
    )
    ann = 1 / (1 + 1 / log2(3))
    assert set(found) == set(FEATURES)
    assert found[NDCG] == (2, (ann + 1) / 2)
    assert found["hit_rate"] == (3, 2 / 3)
    assert found["repeat_share"] == (3, 1 / 3)
    assert found["unknown_products"] == (6, 1 / 6)
    assert found["unknown_customers"] == (3, 1 / 3)
    assert found["basket_size"] == (4, 5 / 4)
    assert found["log_price"] == (5, (4 * log(2) + log(8)) / 5)


def test_a_day_of_strangers_has_no_ndcg_and_no_row_in_the_judgement():
    days = profile(
        Popularity().fit(KNOWN, date(2024, 1, 31)), KNOWN, lines((DAY, "1", "cat", "p1", 2.0))
    )
    assert NDCG not in set(days["feature"])
    rows = judge(days, reference(), Cusum(1))
    assert rows.empty


def test_a_day_without_any_line_is_nothing():
    model = Popularity().fit(KNOWN, date(2024, 1, 31))
    assert profile(model, KNOWN, lines().astype({"day": "datetime64[us]"})).empty


def reference(mean: float = 0.5, sd: float = 0.2, dispersion: float = 1.0) -> Reference:
    features = pd.DataFrame(
        {"mean": [mean, 0.4, 12.0], "sd": [sd, 0.49, 4.0], "units": [400, 900, 300]},
        index=pd.Index([NDCG, "hit_rate", "basket_size"], name="feature"),
    )
    return Reference(features, dispersion, 24, date(2024, 2, 1), date(2024, 2, 28))


def ndcg_days(*means: float, units: int = 16) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "day": [DAY + timedelta(days=n) for n in range(len(means))],
            "feature": NDCG,
            "units": units,
            "total": np.array(means) * units,
            "squares": np.array(means) ** 2 * units,
        }
    )


def test_evidence_is_in_standard_errors_below_what_is_tolerated():
    tolerated = 0.5 * (1 - TOLERATED_LOSS)
    days = ndcg_days(tolerated, tolerated - 0.05, tolerated + 0.1)
    assert evidence(days, reference()) == pytest.approx([0, 1, -2])
    # Days of which the visits are alike say less.
    assert evidence(days, reference(dispersion=2)) == pytest.approx([0, 0.5, -1])


def test_effects_are_those_of_the_textbook():
    assert cohens_h(0.5, 0.5) == 0
    assert cohens_h(0.75, 0.5) == pytest.approx(2 * asin(sqrt(0.75)) - np.pi / 2)
    assert cohens_h(0, 1) == pytest.approx(-np.pi)
    assert standardised_difference(9.0, 12.0, 4.0) == -0.75
    assert np.isnan(standardised_difference(9.0, 12.0, 0.0))
    assert effect("hit_rate", 0.3, 0.4, 0.49) == cohens_h(0.3, 0.4)
    assert effect("basket_size", 13.0, 12.0, 4.0) == 0.25


def test_only_the_ndcg_alarms_and_each_feature_has_its_effect():
    worse = ndcg_days(0.5, 0.3, 0.3)
    others = pd.concat(
        [
            worse.assign(feature="hit_rate", total=4.0),
            worse.assign(feature="log_price", total=9.0),
        ]
    )
    days = pd.concat([worse, others]).sort_values(["day", "feature"], ignore_index=True)
    rows = judge(days, reference(), Cusum(3))
    watched = rows[rows["feature"] == NDCG]
    assert watched["alarm"].tolist() == [False, True, True]
    assert watched["statistic"].tolist() == pytest.approx([0, 3.5, 3.5])
    assert (watched["bound"] == 3).all()
    rest = rows[rows["feature"] != NDCG]
    # The reference has no price, so there is nothing to compare a price with.
    assert set(rest["feature"]) == {"hit_rate"}
    assert not rest["alarm"].any()
    assert rest[["statistic", "bound"]].isna().all(axis=None)
    assert rest["effect"].tolist() == pytest.approx([cohens_h(0.25, 0.4)] * 3)


def test_a_reference_is_the_mean_over_all_units_with_their_spread():
    values = [0.4, 0.6] * 8
    days = ndcg_days(*values)
    found = summarise(days)
    assert found.days == 16
    assert found.features.loc[NDCG, ["mean", "sd", "units"]].tolist() == pytest.approx(
        [0.5, 0.1, 256]
    )
    # All visits of a day are alike, so 16 of them tell no more than one.
    assert found.dispersion == pytest.approx(4)
    assert (found.first_day, found.last_day) == (date(2024, 3, 1), date(2024, 3, 16))


def test_too_few_days_and_constant_visits_are_refused():
    with pytest.raises(MonitorError, match=f"bought on {DAYS_MIN - 1}; {DAYS_MIN} are needed"):
        summarise(ndcg_days(*np.linspace(0.3, 0.6, DAYS_MIN - 1)))
    with pytest.raises(MonitorError, match=r"the same NDCG, 0\.300"):
        summarise(ndcg_days(*[0.3] * 20))


def test_a_short_history_is_refused_before_anything_is_fitted():
    def fit(cut):
        raise AssertionError("fitted")

    with pytest.raises(MonitorError, match="2024-02-01 to 2024-03-01, is too short"):
        calibrate(fit, lines(), date(2024, 3, 1), date(2024, 2, 1))
