"""Which products go with which: the item-item weights of EASE, and the strongest of them."""

import numpy as np
from scipy import sparse
from scipy.linalg import lapack
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from ops_platform.errors import TrainingError
from ops_platform.models.interactions import Interactions

# Rows at a time, where a copy of all would take gigabytes.
BLOCK = 512
# With several threads OpenBLAS writes beyond its buffers, and the process dies: seen with 20,000
# products and not with 14,000 (as OpenMathLib/OpenBLAS#2562). With one it does not.
THREADED_MAX = 14_000


def matrix(known: Interactions, weight: np.ndarray) -> sparse.csr_array:
    """Customers by products, CSR: the summed weights, an entry for each that has interactions."""
    shape = (len(known.customers), len(known.products))
    summed = sparse.csr_array((weight, (known.customer, known.product)), shape=shape)
    summed.sum_duplicates()
    return summed


def ease(rows: sparse.csr_array, regularisation: float, threads: int) -> np.ndarray:
    """The item-item weights of EASE in closed form: -P / diag(P), zero on the diagonal.

    P is the inverse of the regularised Gram matrix (Steck, "Embarrassingly Shallow Autoencoders
    for Sparse Data", WWW 2019), by Cholesky, which takes a third of the time of a general inverse.
    It costs O(m^3) time and two m x m float64 arrays for m products.

    Parameters
    ----------
    rows : CSR (n_customers, m).
    regularisation : above 0, added to the diagonal of the Gram matrix.
    threads : of BLAS, fixed because the last digits depend on it.

    Returns
    -------
    float64 (m, m); column j foretells product j.

    Raises
    ------
    TrainingError : the Gram matrix is not positive definite in floating point.
    """
    return weights(inverse(rows, regularisation, threads))


def inverse(rows: sparse.csr_array, regularisation: float, threads: int) -> np.ndarray:
    """The inverse of the regularised Gram matrix, float64 (m, m): given and failing as `ease`."""
    gram = (rows.T @ rows).toarray(order="F")
    gram[np.diag_indices_from(gram)] += regularisation
    with threadpool_limits(limits=threads if len(gram) <= THREADED_MAX else 1):
        factor, failed = lapack.dpotrf(gram, lower=1, overwrite_a=1)
        if failed:
            raise TrainingError(
                f"EASE can't invert the co-purchases with regularisation={regularisation}: "
                "raise it."
            )
        found, _ = lapack.dpotri(factor, lower=1, overwrite_c=1)
    # LAPACK fills the lower triangle only.
    for start in range(0, len(found), BLOCK):
        rest = slice(start + BLOCK, None)
        block = found[start : start + BLOCK, start : start + BLOCK]
        block[:] = np.tril(block) + np.tril(block, -1).T
        found[start : start + BLOCK, rest] = found[rest, start : start + BLOCK].T
    return np.asarray(found)


def weights(inverse: np.ndarray) -> np.ndarray:
    """What `ease` returns, from the inverse (m, m)."""
    found = np.asarray(inverse / -np.diag(inverse))
    np.fill_diagonal(found, 0.0)
    return found


def strongest(weights: np.ndarray, neighbours: int) -> sparse.csr_array:
    """The `neighbours` largest weights, by absolute value, in each row: CSR of the same shape."""
    n = min(neighbours, weights.shape[1])
    column = np.empty((len(weights), n), dtype=np.int64)
    for start in range(0, len(weights), BLOCK):
        block = np.abs(weights[start : start + BLOCK])
        column[start : start + BLOCK] = np.argpartition(-block, n - 1, axis=1)[:, :n]
    row = np.repeat(np.arange(len(weights)), n)
    kept = np.take_along_axis(weights, column, axis=1).ravel()
    links = sparse.csr_array((kept, (row, column.ravel())), shape=weights.shape)
    # One representation for one matrix, so that equal states have equal digests.
    links.sum_duplicates()
    links.eliminate_zeros()
    return links
