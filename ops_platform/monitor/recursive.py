"""What a day was expected to be, by the days before it: recursive least squares.

Each residual, over the root of 1 + its leverage, has one spread where the regression is right,
however little it was learned from (Brown, Durbin and Evans, "Techniques for Testing the Constancy
of Regression Relationships over Time", 1975): they can be ranked among each other.
"""

from collections.abc import Sequence

import numpy as np

# A residual so many times its usual size moves the regression no further (Huber, 1964).
CLIPPED = 3.0
# By how much the level's variance grows where it is to be learned anew.
RELEARNED = 25.0


class Recursive:
    """A linear regression of several streams, each on regressors of its own.

    Parameters
    ----------
    streams : their number.
    prior : variance of each weight, in that of the noise, before anything was learned.

    Attributes
    ----------
    weights_ : (streams, regressors).
    covariance_ : (streams, regressors, regressors), in variances of the noise.
    squares_, days_ : sum of the squared residuals, (streams,), and the days learned from.
    """

    def __init__(self, streams: int, prior: Sequence[float]) -> None:
        """Begin with what is known of no stream."""
        self.weights_ = np.zeros((streams, len(prior)))
        self.covariance_ = np.tile(np.diag(prior), (streams, 1, 1))
        self.squares_ = np.zeros(streams)
        self.days_ = 0

    def expected(self, regressors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What a day is expected to be, and the leverage of its regressors: (streams,) both."""
        along = (self.covariance_ @ regressors[:, :, None])[:, :, 0]
        return (self.weights_ * regressors).sum(axis=1), (along * regressors).sum(axis=1)

    def learn(self, values: np.ndarray, regressors: np.ndarray) -> np.ndarray:
        """Learn from a day: values (streams,), regressors (streams, regressors).

        Returns how far the values were from what was expected.
        """
        along = (self.covariance_ @ regressors[:, :, None])[:, :, 0]
        root = np.sqrt(1 + (along * regressors).sum(axis=1))
        away = values - (self.weights_ * regressors).sum(axis=1)
        residuals = away / root
        if self.days_ >= 2 * self.weights_.shape[1]:
            residuals = self.within(residuals, CLIPPED)
        along /= root[:, None]
        self.days_ += 1
        self.squares_ += residuals**2
        self.weights_ += along * residuals[:, None]
        self.covariance_ -= along[:, :, None] * along[:, None, :]
        return np.asarray(away)

    def within(self, residuals: np.ndarray, times: float) -> np.ndarray:
        """Residuals, (..., streams), none further out than so many times the usual.

        Where there has never been any, each is as it is.
        """
        usual = np.sqrt(self.squares_ / max(1, self.days_))
        bound = np.where(usual > 0, times * usual, np.inf)
        return np.asarray(np.minimum(np.maximum(residuals, -bound), bound))

    def relevel(self) -> None:
        """Have the first weight, the level, learned anew."""
        self.covariance_[:, 0, 0] += RELEARNED
