"""Estimates of days without labels, on figures made up."""

import numpy as np
import pandas as pd
import pytest

from ops_platform.monitor.estimate import DAYS_MIN, estimate


def strata(days: int, mix: list[tuple[int, int, float, float]], first: str = "2024-01-01"):
    """Rows of monitor.calibration, each day of this mix: stratum, answers, hit rate, NDCG."""
    rows = [
        {"period": day, "version": 1, "stratum": stratum, "answers": answers,
         "hits": answers * rate, "buyers": answers, "ndcg": answers * ndcg}
        for day in pd.date_range(first, periods=days)
        for stratum, answers, rate, ndcg in mix
    ]  # fmt: skip
    return pd.DataFrame(rows)


RIPE = strata(DAYS_MIN, [(0, 50, 0.2, 0.1), (8, 50, 0.8, 0.5)])


def test_another_mix_of_answers_changes_the_estimate_by_its_strata():
    day = strata(1, [(0, 75, 0, 0), (8, 25, 0, 0)], "2024-02-01")
    found = estimate(RIPE, day).loc[(1, pd.Timestamp("2024-02-01"))]
    assert found["hit_rate"] == pytest.approx(0.75 * 0.2 + 0.25 * 0.8)
    assert found["ndcg"] == pytest.approx(0.75 * 0.1 + 0.25 * 0.5)
    assert found["hit_rate_low"] < found["hit_rate"] < found["hit_rate_high"]


def test_a_stratum_that_was_never_seen_is_as_all_are():
    day = strata(1, [(4, 10, 0, 0)], "2024-02-01")
    assert estimate(RIPE, day)["ndcg"].iloc[0] == pytest.approx(0.3)


def test_too_few_days_give_no_estimate():
    day = strata(1, [(0, 10, 0, 0)], "2024-02-01")
    few = RIPE[RIPE["period"] < RIPE["period"].max()]
    assert estimate(few, day).empty


def test_the_interval_holds_95_percent_of_days_that_are_like_the_others():
    rng = np.random.default_rng(1)
    rates = {0: 0.2, 5: 0.5, 8: 0.8}
    inside = []
    for _ in range(4):
        rows = []
        for day in pd.date_range("2024-01-01", periods=130):
            # Days differ by more than chance: each has a mood of its own.
            mood = rng.normal(0, 0.05)
            for stratum, answers in zip(rates, rng.integers(10, 60, 3), strict=True):
                hits = rng.binomial(answers, np.clip(rates[stratum] + mood, 0, 1))
                rows.append((day, 1, stratum, answers, hits, answers, hits * 0.3))
        frame = pd.DataFrame(
            rows, columns=["period", "version", "stratum", "answers", "hits", "buyers", "ndcg"]
        )
        is_ripe = frame["period"] < pd.Timestamp("2024-01-31")
        found = estimate(frame[is_ripe], frame[~is_ripe]).droplevel("version")
        sums = frame[~is_ripe].groupby("period")[["hits", "answers"]].sum()
        seen = sums["hits"] / sums["answers"]
        inside += seen.between(found["hit_rate_low"], found["hit_rate_high"]).tolist()
    assert len(inside) == 400
    assert 0.9 <= np.mean(inside) <= 0.99
