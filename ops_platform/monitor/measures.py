"""How far apart two distributions are: effect sizes of two profiles of a column."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.spatial.distance import jensenshannon
from scipy.special import chdtrc

from ops_platform.lake.profile import BINS_A_DECADE, Profile
from ops_platform.monitor.input_shape import NOT_FINITE, is_number, place, shape_of

# Bins of a reference, of about equal shares of its rows.
BINS = 10
# The share that an empty bin is taken to have: the index has a logarithm.
EMPTY = 1e-4


@dataclass(frozen=True)
class Measures:
    """The difference of a window from its reference; each is 0 where they are alike.

    Parameters
    ----------
    psi : population stability index; the field calls 0.1 a small and 0.25 a large one.
    jensen_shannon : distance in base 2, from 0 to 1.
    cramers_v, chi_square_p : effect size, from 0 to 1, and p-value of the chi-square test.
    wasserstein : the mean way that a value has to move, in decades; None of texts.
    kolmogorov_smirnov : greatest difference of the distribution functions, None of texts.
    """

    psi: float
    jensen_shannon: float
    cramers_v: float
    chi_square_p: float
    wasserstein: float | None
    kolmogorov_smirnov: float | None


def psi(reference: np.ndarray, window: np.ndarray) -> float:
    """The population stability index of counts by bin: the sum of (q - p) ln(q / p).

    >>> round(psi(np.array([50, 50]), np.array([60, 40])), 4)
    0.0405
    """
    p, q = (np.maximum(counts / counts.sum(), EMPTY) for counts in (reference, window))
    return float(np.sum((q - p) * np.log(q / p)))


def of_profiles(reference: Profile, window: Profile) -> Measures | str:
    """The measures of two profiles of a column, on bins of the reference; or why there are none.

    Nulls are left out. A reference with fewer rows than BINS can't be binned.
    """
    rows = reference.rows - reference.nulls
    if rows < BINS:
        return f"the reference has {rows} rows with a value, {BINS} are needed"
    if window.rows == window.nulls:
        return "all null" if window.rows else "no rows"
    if is_number(reference) != is_number(window):
        return "another type"
    shape = shape_of(reference, BINS)
    counts = shape.counts(reference.parts), shape.counts(window.parts)
    if not is_number(reference):
        return _measures(*counts, None, None)
    finite = [_finite(profile.parts) for profile in (reference, window)]
    if not all(finite):
        return _measures(*counts, None, None)
    places = sorted({*finite[0], *finite[1]}, key=place)
    p, q = (np.array([one.get(part, 0) for part in places], dtype=float) for one in finite)
    at = np.array([place(part) for part in places]) / BINS_A_DECADE
    below = np.cumsum(p) / p.sum(), np.cumsum(q) / q.sum()
    apart = np.abs(below[0] - below[1])
    return _measures(*counts, float(apart[:-1] @ np.diff(at)), float(apart.max()))


def _finite(parts: Mapping[str, int]) -> dict[str, int]:
    return {part: count for part, count in parts.items() if part != NOT_FINITE}


def _measures(
    reference: np.ndarray, window: np.ndarray, way: float | None, difference: float | None
) -> Measures:
    # As chi2_contingency does of two rows, which takes ten times as long.
    rows, there = reference.sum() / window.sum(), reference + window > 0
    p, q = reference[there] / np.sqrt(rows), window[there] * np.sqrt(rows)
    statistic = float(np.sum((p - q) ** 2 / (reference + window)[there]))
    chance = float(chdtrc(there.sum() - 1, statistic)) if there.sum() > 1 else 1.0
    effect = sqrt(statistic / (reference.sum() + window.sum()))
    distance = float(jensenshannon(reference, window, base=2))
    return Measures(psi(reference, window), distance, effect, chance, way, difference)
