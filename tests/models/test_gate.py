import json
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from ops_platform.errors import TrainingError
from ops_platform.models.gate import decide, first, too_early, window

FIRST_DAY = date(2010, 12, 1)

DAYS = {"start": date(2011, 11, 9), "end": date(2011, 12, 9)}


def scores(shift: float = 0.0, noise: float = 0.02, customers: int = 500) -> pd.Series:
    rng = np.random.default_rng(11)
    base = rng.uniform(0.2, 0.4, customers)
    own = np.random.default_rng(12).normal(shift, noise, customers) if shift or noise else 0
    return pd.Series(base + own, index=[f"c{number:04}" for number in range(customers)])


CHAMPION = scores(0.0, 0.0)


@pytest.mark.parametrize(
    ("shift", "noise", "decision", "promote"),
    [
        (0.01, 0.02, "better", True),
        (0.0, 0.02, "no worse and fresher", True),
        (-0.02, 0.02, "worse", False),
        # As good on average, but so uneven that a loss can't be excluded.
        (0.0, 0.3, "worse", False),
    ],
)
def test_the_lower_bound_decides(shift, noise, decision, promote):
    verdict = decide(CHAMPION, scores(shift, noise), **DAYS)
    assert (verdict.decision, verdict.promote) == (decision, promote)
    assert verdict.lower < verdict.difference < verdict.upper
    assert verdict.difference == pytest.approx(verdict.challenger - verdict.champion)
    assert verdict.customers == 500
    assert "500 customers" in verdict.reason


def test_the_bounds_are_one_sided_ones_of_95_percent():
    challenger = scores(0.001)
    verdict = decide(CHAMPION, challenger, **DAYS)
    error = (challenger - CHAMPION).std() / np.sqrt(len(CHAMPION))
    assert (verdict.difference - verdict.lower) / error == pytest.approx(1.645, abs=0.06)
    assert (verdict.upper - verdict.difference) / error == pytest.approx(1.645, abs=0.06)


def test_the_same_model_again_is_no_worse():
    verdict = decide(CHAMPION, CHAMPION.copy(), **DAYS)
    assert verdict.decision == "no worse and fresher"
    assert verdict.lower == verdict.difference == verdict.upper == 0


def test_without_a_margin_no_loss_is_allowed():
    assert decide(CHAMPION, scores(-0.001, 0.0005), margin=0.0, **DAYS).decision == "worse"
    assert decide(CHAMPION, scores(-0.001, 0.0005), margin=0.01, **DAYS).promote


def test_a_seed_gives_the_same_verdict_again():
    challenger = scores(0.001)
    assert decide(CHAMPION, challenger, seed=4, **DAYS) == decide(
        CHAMPION, challenger, seed=4, **DAYS
    )
    assert decide(CHAMPION, challenger, seed=4, **DAYS) != decide(
        CHAMPION, challenger, seed=5, **DAYS
    )


def test_a_challenger_that_is_no_better_is_rarely_called_better():
    rng = np.random.default_rng(0)
    called = 0
    for seed in range(100):
        champion, challenger = (pd.Series(rng.uniform(size=60)) for _ in range(2))
        called += decide(champion, challenger, seed=seed, **DAYS).decision == "better"
    # One in twenty by construction; 11 or more of 100 have a chance of about 1 %.
    assert called <= 10


def test_other_customers_are_refused():
    with pytest.raises(TrainingError, match="different customers"):
        decide(CHAMPION, scores(customers=499), **DAYS)


@pytest.mark.parametrize("customers", [0, 1])
def test_too_few_customers_are_refused(customers):
    with pytest.raises(TrainingError, match=f"Only {customers} known customers"):
        decide(CHAMPION[:customers], CHAMPION[:customers], **DAYS)


def test_the_verdict_is_plain_json():
    plain = json.loads(json.dumps(decide(CHAMPION, scores(), **DAYS).as_dict()))
    assert plain["window_start"] == "2011-11-09"
    assert plain["customers"] == 500


@pytest.mark.parametrize(
    ("as_of", "champion", "cut"),
    [
        (date(2011, 12, 9), None, date(2011, 11, 9)),
        (date(2011, 12, 9), date(2011, 10, 1), date(2011, 11, 9)),
        (date(2011, 12, 9), date(2011, 11, 20), date(2011, 11, 21)),
        # Seven days, 3 to 9 December, are enough; six are not.
        (date(2011, 12, 9), date(2011, 12, 2), date(2011, 12, 3)),
        (date(2011, 12, 9), date(2011, 12, 3), None),
        (date(2011, 12, 9), date(2011, 12, 9), None),
        (date(2011, 12, 9), date(2012, 1, 1), None),
    ],
)
def test_the_window_begins_after_what_the_champion_has_seen(as_of, champion, cut):
    assert window(as_of, champion, FIRST_DAY) == cut


@pytest.mark.parametrize(("days", "cut"), [(62, 31), (40, 20), (14, 7), (12, None)])
def test_the_first_window_is_at_most_the_later_half_of_the_history(days, cut):
    as_of = FIRST_DAY + timedelta(days=days - 1)
    found = window(as_of, None, FIRST_DAY)
    assert found == (None if cut is None else FIRST_DAY + timedelta(days=cut))


def test_too_early_says_what_is_missing():
    verdict = too_early(date(2011, 12, 9), date(2011, 12, 5), FIRST_DAY)
    assert not verdict.promote
    assert "after 2011-12-05 and up to 2011-12-09 there are not 7 days" in verdict.reason
    first_ever = too_early(FIRST_DAY + timedelta(days=10), None, FIRST_DAY)
    assert "after 2010-12-06 and up to 2010-12-11" in first_ever.reason
    assert window(date(2011, 12, 12), date(2011, 12, 5), FIRST_DAY) is not None
    assert window(date(2011, 12, 11), date(2011, 12, 5), FIRST_DAY) is None


def test_the_first_version_is_promoted_even_where_nothing_can_be_judged():
    assert first(CHAMPION, **DAYS).challenger == pytest.approx(CHAMPION.mean())
    empty = first(CHAMPION[:0], **DAYS)
    assert (empty.promote, empty.decision, empty.challenger) == (True, "first", None)
