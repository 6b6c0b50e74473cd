"""Trees and figures of probabilities, held against scikit-learn's own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import average_precision_score, brier_score_loss

from ops_platform.models import odds_metrics, trees


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_trees_followed_with_numpy_say_what_scikit_learn_says(missing):
    rng = np.random.default_rng(3)
    features = rng.normal(size=(3000, 5)).round(1)
    features[rng.random(features.shape) < missing] = np.nan
    is_true = np.nan_to_num(features[:, 0]) + rng.normal(size=3000) > 0.3
    model = HistGradientBoostingClassifier(max_iter=40, max_leaf_nodes=12).fit(features, is_true)

    asked = rng.normal(size=(5000, 5)).round(1)
    asked[rng.random(asked.shape) < missing] = np.nan
    found = trees.decisions(trees.arrays_of(model), asked)
    assert np.array_equal(found, model.decision_function(asked))


# Few different probabilities, so that many tie.
CASES = st.lists(st.tuples(st.booleans(), st.sampled_from([0.1, 0.2, 0.5, 0.9])), min_size=2)


@settings(deadline=None)
@given(cases=CASES, seed=st.integers(0, 99))
def test_average_precision_and_brier_score_are_scikit_learns_in_every_resample(cases, seed):
    is_true, probability = (np.array(one) for one in zip(*cases, strict=True))
    counts = np.random.default_rng(seed).integers(0, 3, size=(4, len(cases)))
    counts[0] = 1
    precision = odds_metrics.average_precision(is_true, probability, counts)
    for row, weights in enumerate(counts):
        if not weights @ is_true:
            assert np.isnan(precision[row])
            continue
        expected = average_precision_score(is_true, probability, sample_weight=weights)
        assert precision[row] == pytest.approx(expected)
        brier = odds_metrics.brier_score(is_true, probability, counts[row : row + 1])
        expected = brier_score_loss(is_true, probability, sample_weight=weights)
        assert brier[0] == pytest.approx(expected)


def test_the_reliability_curve_is_by_tenths_of_growing_probability():
    probability = np.arange(100)[::-1] / 100
    curve = odds_metrics.reliability(probability > 0.495, probability)
    assert [one["customers"] for one in curve] == [10.0] * 10
    assert [one["observed"] for one in curve] == [0.0] * 5 + [1.0] * 5
    assert [one["foretold"] for one in curve] == pytest.approx(np.arange(0.045, 1, 0.1))
