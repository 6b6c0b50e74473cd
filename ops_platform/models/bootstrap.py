"""The bootstrap over customers (Efron, 1979): resamples, and means within their 95 % intervals."""

from collections.abc import Iterator

import numpy as np

RESAMPLES = 2000
WITHIN = [0.025, 0.975]
# Customers that are drawn at once, of one resample or of several: 8 MB.
AT_ONCE = 1_000_000


def counts(n: int, seed: int) -> Iterator[np.ndarray]:
    """How often each of n customers is in each of RESAMPLES resamples: int64 (r, n), in batches."""
    rng = np.random.default_rng(seed)
    batch = max(1, AT_ONCE // n)
    for start in range(0, RESAMPLES, batch):
        rows = min(batch, RESAMPLES - start)
        drawn = rng.integers(n, size=(rows, n)) + n * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)


def means(values: np.ndarray, seed: int) -> np.ndarray:
    """Means over resampled customers, the same ones in each column.

    Parameters
    ----------
    values : float64 (n, m), a customer a row.

    Returns
    -------
    float64 (RESAMPLES, m).
    """
    # Not by matmul, which would depend on the BLAS kernel.
    sums = [np.einsum("rn,nm->rm", drawn, values) for drawn in counts(len(values), seed)]
    return np.asarray(np.concatenate(sums) / len(values))
