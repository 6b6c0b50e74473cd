"""A peer to compare with, where the optional package `implicit` is installed: its ALS."""

from importlib.util import find_spec

import numpy as np

from ops_platform.models.baselines import Baseline
from ops_platform.models.interactions import Interactions

FACTORS, ITERATIONS = 128, 15


def is_installed() -> bool:
    """Whether the package `implicit` is there."""
    return find_spec("implicit") is not None


class ImplicitAls(Baseline):
    """Matrix factorisation by alternating least squares (Hu, Koren and Volinsky, ICDM 2008).

    Parameters
    ----------
    threads : of the factorisation.
    seed : of its random start.
    """

    def __init__(self, threads: int = 2, seed: int = 0) -> None:
        """Store the parameters."""
        self.threads = threads
        self.seed = seed

    def _learn(self, known: Interactions) -> None:
        from implicit.cpu.als import (  # type: ignore[import-not-found, unused-ignore]
            AlternatingLeastSquares,
        )
        from scipy.sparse import csr_matrix

        model = AlternatingLeastSquares(
            factors=FACTORS,
            iterations=ITERATIONS,
            num_threads=self.threads,
            random_state=self.seed,
        )
        model.fit(csr_matrix(self.days_), show_progress=False)
        self.user_factors_, self.item_factors_ = model.user_factors, model.item_factors

    def _score(self, position: np.ndarray, days: np.ndarray) -> np.ndarray:
        factors = self.user_factors_[np.maximum(position, 0)]
        return np.asarray(factors @ self.item_factors_.T, dtype=float)
