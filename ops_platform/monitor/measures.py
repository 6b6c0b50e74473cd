"""How far apart two distributions are: effect sizes on two profiles' parts, or on two samples."""

from dataclasses import dataclass

import numpy as np

# Bins of a reference, of about equal shares.
BINS = 10
# The share that an empty bin is taken to have: the index has a logarithm.
EMPTY = 1e-4


@dataclass(frozen=True)
class Measures:
    """The differences of a window from its reference, each 0 where they are alike.

    Parameters
    ----------
    psi : population stability index, sum of (q - p) ln(q / p); 0.1 and 0.25 are the field's marks.
    jensen_shannon : distance in base 2, from 0 to 1.
    cramers_v : effect size of the chi-square test, from 0 to 1.
    chi_square_p : its p-value.
    wasserstein, kolmogorov_smirnov : of numbers, else None: the mean way that a value has to move,
        of profiles in tenths of a decade, of samples in the reference's standard deviations; and
        the greatest difference of the distribution functions.
    """

    psi: float
    jensen_shannon: float
    cramers_v: float
    chi_square_p: float
    wasserstein: float | None
    kolmogorov_smirnov: float | None


def psi(reference: np.ndarray, window: np.ndarray) -> float:
    """The population stability index of two rows of counts by bin.

    >>> round(psi(np.array([50, 50]), np.array([60, 40])), 4)
    0.0405
    """
    p, q = (np.maximum(counts / counts.sum(), EMPTY) for counts in (reference, window))
    return float(np.sum((q - p) * np.log(q / p)))
