"""The test may be looked at always: it is wrong no more often than it says."""

import numpy as np
import pytest

from ops_platform.serve.outcomes import weighed
from ops_platform.serve.sequential import sequence

ALPHA, SIMULATIONS, LENGTH, SHARE = 0.05, 400, 800, 0.2


def split(rng, n: int, lift: float = 0.0, base: float | np.ndarray = 0.15) -> np.ndarray:
    """What a split observes."""
    is_challenger = rng.random(n) < SHARE
    bought = rng.random(n) < base + lift * is_challenger
    return weighed(bought.astype(float), is_challenger, SHARE)


def shadow(rng, n: int) -> np.ndarray:
    return rng.choice([-1.0, 0.0, 1.0], n, p=[0.1, 0.8, 0.1])


@pytest.mark.parametrize("kind", ["split", "drifting split", "shadow"])
def test_without_a_difference_it_rejects_no_more_than_alpha_though_looked_at_always(kind):
    rng, rejected = np.random.default_rng(7), 0
    season = 0.15 + 0.1 * np.sin(np.arange(LENGTH) / 60)
    for _ in range(SIMULATIONS):
        if kind == "shadow":
            values, bounds = shadow(rng, LENGTH), (-1.0, 1.0)
        else:
            base = season if kind == "drifting split" else 0.15
            values, bounds = split(rng, LENGTH, base=base), (-1 / SHARE, 1 / SHARE)
        # The p-value is the smallest of all looks so far.
        rejected += sequence(values, *bounds, ALPHA).p_value <= ALPHA
    assert rejected <= ALPHA * SIMULATIONS


def test_the_same_looks_reject_too_often_by_a_test_that_allows_one_look():
    """So that the simulations above can fail."""
    rng, rejected = np.random.default_rng(7), 0
    for _ in range(SIMULATIONS):
        values = shadow(rng, LENGTH)
        z = values.cumsum() / np.sqrt(np.maximum((values**2).cumsum(), 1))
        rejected += (np.abs(z[50:]) > 1.96).any()
    assert rejected > 3 * ALPHA * SIMULATIONS


def test_a_difference_is_found_and_the_interval_holds_it():
    found = sequence(split(np.random.default_rng(4), 30_000, lift=0.06), -5.0, 5.0, ALPHA)
    assert found.p_value < 0.001
    assert 0 < found.low < 0.06 < found.high < 0.12


def test_where_nearly_all_buy_the_sizes_of_the_arms_do_not_count_as_a_difference():
    rng = np.random.default_rng(3)
    found = sequence(split(rng, 2_000, base=0.9), -5.0, 5.0, ALPHA)
    assert abs(found.mean) < 0.05
    assert found.high - found.low < 0.2
    assert sequence(split(rng, 3_000, lift=0.07, base=0.9), -5.0, 5.0, ALPHA).low > 0


def test_it_never_looks_ahead_and_is_the_same_turned_round():
    values = shadow(np.random.default_rng(2), 300)
    p_values = [sequence(values[:n], -1.0, 1.0, ALPHA).p_value for n in (1, 50, 299, 300)]
    assert p_values == sorted(p_values, reverse=True)
    one, other = sequence(values, -1.0, 1.0, ALPHA), sequence(-values, -1.0, 1.0, ALPHA)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low), abs=1e-3)


def test_where_the_mean_has_changed_no_interval_is_told():
    values = np.concatenate([np.full(500, 0.9), np.full(500, -0.9)])
    assert sequence(values, -1.0, 1.0, ALPHA).low is None
