"""How far apart two distributions are, and what is said where that can't be told."""

from dataclasses import astuple

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2_contingency, wasserstein_distance

from ops_platform.lake.profile import Profile
from ops_platform.monitor.measures import Measures, of_profiles, psi
from ops_platform.monitor.whole_row import tell_apart


def number(parts: dict[str, int], nulls: int = 0) -> Profile:
    rows = sum(parts.values()) + nulls
    total = float(sum(int(part) * count for part, count in parts.items()))
    return Profile(rows, nulls, len(parts), None, None, total, total**2, parts, ())


def text(parts: dict[str, int], nulls: int = 0) -> Profile:
    rows = sum(parts.values()) + nulls
    return Profile(rows, nulls, len(parts), None, None, None, None, parts, ())


def test_the_index_is_that_of_the_formula():
    assert psi(np.array([80, 20]), np.array([60, 40])) == pytest.approx(
        (0.6 - 0.8) * np.log(0.6 / 0.8) + (0.4 - 0.2) * np.log(0.4 / 0.2)
    )


def test_alike_profiles_differ_in_nothing():
    one = number({"100": 40, "101": 30, "102": 30})
    twice = number({"100": 80, "101": 60, "102": 60})
    found = of_profiles(one, twice)
    assert isinstance(found, Measures)
    assert astuple(found) == pytest.approx((0.0, 0.0, 0.0, 1.0, 0.0, 0.0))


def test_a_number_moved_by_two_parts_is_moved_by_a_fifth_of_a_decade():
    found = of_profiles(number({"100": 50, "104": 50}), number({"102": 50, "106": 50}))
    assert isinstance(found, Measures)
    assert found.wasserstein == pytest.approx(0.2)
    assert found.kolmogorov_smirnov == pytest.approx(0.5)


def test_profiles_are_measured_as_scipy_does():
    reference = {"98": 30, "100": 200, "103": 170, "110": 100}
    window = {"100": 50, "103": 90, "110": 30, "111": 8}
    found = of_profiles(number(reference), number(window))
    assert isinstance(found, Measures)
    # The last part is new, and counts with the one nearest to it.
    table = [[30, 200, 170, 100], [0, 50, 90, 38]]
    tested = chi2_contingency(table, correction=False)
    assert found.chi_square_p == pytest.approx(tested.pvalue)
    assert found.cramers_v == pytest.approx((tested.statistic / 678) ** 0.5)
    places = [[int(part) / 10 for part in one] for one in (reference, window)]
    way = wasserstein_distance(*places, list(reference.values()), list(window.values()))
    assert found.wasserstein == pytest.approx(way)


def test_a_text_that_the_reference_lacks_counts_with_the_rest():
    reference = text({"A": 60, "B": 30, "C": 10})
    found = of_profiles(reference, text({"A": 60, "B": 30, "new": 10}))
    assert isinstance(found, Measures)
    assert found.psi > 0.1
    assert (found.wasserstein, found.kolmogorov_smirnov) == (None, None)
    assert found.chi_square_p < 0.001


@pytest.mark.parametrize(
    ("reference", "window", "told"),
    [
        (number({"100": 50}), number({}, nulls=9), "all null"),
        (number({"100": 50}), number({}), "no rows"),
        (number({"100": 50}), text({"A": 50}), "another type"),
        (number({"100": 9}, nulls=80), number({"100": 50}), "9 rows with a value"),
    ],
)
def test_what_cannot_be_compared_is_said(reference, window, told):
    assert told in of_profiles(reference, window)


def test_the_classifier_names_the_columns_that_only_together_give_it_away():
    rng = np.random.default_rng(1)

    def rows(sign: int) -> pd.DataFrame:
        x = rng.normal(size=600)
        # Each column for itself is alike on both sides.
        y = sign * x + 0.3 * rng.normal(size=600)
        return pd.DataFrame({"x": x, "y": y, "noise": rng.normal(size=600), "kind": "A"})

    found = tell_apart(rows(1), rows(-1), seed=3)
    assert found.auc > 0.9
    assert set(list(found.features)[:2]) == {"x", "y"}
    alike = tell_apart(rows(1), rows(1), seed=3)
    assert abs(alike.auc - 0.5) < 0.06


def test_the_classifier_does_without_columns_that_are_null():
    rng = np.random.default_rng(1)
    rows = pd.DataFrame({"x": rng.normal(size=400), "none": None, "nan": np.nan})
    sparse = rows["x"].where(rows.index == 7)
    found = tell_apart(rows.assign(few=sparse), rows.assign(x=rows["x"] + 9, few=sparse), seed=3)
    assert found.auc > 0.9 and list(found.features) == ["x"]
    assert tell_apart(rows[["none", "nan"]], rows[["none", "nan"]]) == "every column is null"


def test_the_classifier_says_what_it_lacks():
    few = pd.DataFrame({"x": np.arange(50.0)})
    many = pd.DataFrame({"x": np.arange(500.0)})
    assert "50 rows" in tell_apart(many, few)
    assert tell_apart(many, many.rename(columns={"x": "y"})) == "no column in common"
