"""A test of a mean that may be looked at after each observation, as often as one likes."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import bisect

# Of the largest bet that could lose all; as the paper has it.
CAP = 0.5
PRECISION = 1e-4


@dataclass(frozen=True)
class Sequence:
    """What observations so far say of their mean.

    Parameters
    ----------
    mean : of the observations.
    low, high : the confidence sequence: with 1 - alpha it holds the mean at every time; both None
        where no mean fits all that was seen, which then has changed meanwhile.
    p_value : that the mean is zero, at any time: it may be acted on whenever it is looked at.
    """

    mean: float
    low: float | None
    high: float | None
    p_value: float


def sequence(values: np.ndarray, low: float, high: float, alpha: float) -> Sequence:
    """The hedged betting confidence sequence of the mean, within [-1, 1], of bounded observations.

    Waudby-Smith and Ramdas (2024), Estimating means of bounded random variables by betting, JRSS B
    86(1), theorem 3, with its predictable plug-in bets. It supposes no distribution, only that each
    observation has the same mean given those before. A mean is rejected once the capital that bets
    against it has grown to 1 / alpha, which happens to the true one with no more than alpha, ever.

    Parameters
    ----------
    values : float (n,), in the order in which they were seen, n at least 1.
    low, high : the bounds of each observation.
    """
    width = high - low
    scaled, bets = (values - low) / width, _bets((values - low) / width, alpha)

    def beyond(mean: float) -> float:
        return _log_capital(scaled, bets, (mean - low) / width) + float(np.log(alpha))

    mean = float(values.mean())
    p_value = float(np.exp(-max(0.0, _log_capital(scaled, bets, -low / width))))
    if beyond(mean) > 0:
        return Sequence(mean, None, None, p_value)
    ends = [max(-1.0, low), min(1.0, high)]
    found = [bisect(beyond, mean, end, xtol=PRECISION) if beyond(end) > 0 else end for end in ends]
    return Sequence(mean, float(found[0]), float(found[1]), p_value)


def _bets(scaled: np.ndarray, alpha: float) -> np.ndarray:
    """Of each observation, from those before it alone."""
    n = np.arange(1, len(scaled) + 1)
    means = (0.5 + np.cumsum(scaled)) / (n + 1)
    variances = (0.25 + np.cumsum((scaled - means) ** 2)) / (n + 1)
    before = np.concatenate([[0.25], variances[:-1]])
    return np.asarray(np.sqrt(2 * np.log(2 / alpha) / (before * n * np.log1p(n))))


def _log_capital(scaled: np.ndarray, bets: np.ndarray, mean: float) -> float:
    """The logarithm of the most that half a unit on each side of a mean has ever grown to."""
    # Beyond its bounds a mean is impossible, and at one of them all is lost by a bet on that side.
    inside = min(max(mean, 1e-12), 1 - 1e-12)
    above = np.log1p(np.minimum(bets, CAP / inside) * (scaled - inside))
    below = np.log1p(-np.minimum(bets, CAP / (1 - inside)) * (scaled - inside))
    return float(max(above.cumsum().max(), below.cumsum().max()) - np.log(2))
