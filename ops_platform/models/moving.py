"""EASE as of one day after another: its inverse is moved along by what was bought meanwhile."""

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from ops_platform.models.interactions import Interactions, positions
from ops_platform.models.item_item import inverse, matrix, weights


class MovingEase:
    """The item-item weights of EASE for histories that follow one another.

    The Gram matrix is a sum over customers, so of a later history only the customers count whose
    purchases differ; its inverse follows by Woodbury's identity (Hager, "Updating the Inverse of a
    Matrix", SIAM Review 1989). That costs O(m^2 r) for m products and r such customers where the
    inverse from scratch costs O(m^3). The weights differ from those from scratch by rounding alone.

    Parameters
    ----------
    regularisation, threads : of `ease`.
    """

    def __init__(self, regularisation: float, threads: int) -> None:
        """Store the parameters."""
        self.regularisation = regularisation
        self.threads = threads
        self._customers = self._products = np.array([], dtype=str)
        self._bought = sparse.csr_array((0, 0))
        self._inverse = np.empty((0, 0))

    def weights(self, known: Interactions) -> np.ndarray:
        """Of the products of this history, as `ease` gives them: float64 (m, m).

        Raises
        ------
        TrainingError : as `ease`.
        """
        bought = (matrix(known, np.ones(len(known.age))) > 0).astype(float)
        customers = np.union1d(self._customers, known.customers)
        # A product whose purchases were all cancelled stays: it goes with nothing any more.
        products = np.union1d(self._products, known.products)
        before = _spread(self._bought, self._customers, self._products, customers, products)
        now = _spread(bought, known.customers, known.products, customers, products)
        changed = np.unique((now - before).nonzero()[0])
        if len(self._products) == 0 or len(changed) > len(self._products) // 4:
            self._inverse = inverse(now, self.regularisation, self.threads)
        else:
            self._grow(products)
            self._move(now[changed], before[changed])
        self._customers, self._products, self._bought = customers, products, now
        kept = positions(known.products, products)
        if len(kept) == len(products):
            return weights(self._inverse)
        return weights(self._inverse[np.ix_(kept, kept)])

    def _grow(self, products: np.ndarray) -> None:
        """Let the inverse have a row and a column for each product, at first without purchases."""
        if len(products) == len(self._products):
            return
        at = positions(self._products, products)
        grown = np.zeros((len(products), len(products)))
        np.fill_diagonal(grown, 1 / self.regularisation)
        grown[np.ix_(at, at)] = self._inverse
        self._inverse = grown

    def _move(self, now: sparse.csr_array, before: sparse.csr_array) -> None:
        """Add the customers' purchases as they are to the Gram matrix, take away what they were."""
        rows = sparse.vstack([now, before], format="csr")
        signs = np.repeat([1.0, -1.0], now.shape[0])
        with threadpool_limits(limits=self.threads):
            projected = rows @ self._inverse
            small = np.diag(signs) + projected @ rows.T
            self._inverse -= projected.T @ np.linalg.solve(small, projected)


def _spread(
    rows: sparse.csr_array,
    customers: np.ndarray,
    products: np.ndarray,
    all_customers: np.ndarray,
    all_products: np.ndarray,
) -> sparse.csr_array:
    """The same matrix with a row and a column for each of all customers and products."""
    entries = rows.tocoo()
    at = (
        positions(customers, all_customers)[entries.row],
        positions(products, all_products)[entries.col],
    )
    shape = (len(all_customers), len(all_products))
    return sparse.csr_array((entries.data, at), shape=shape)
