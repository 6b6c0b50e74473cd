"""How good a ranked list is, customer by customer."""

import numpy as np


def ndcg_at_k(hits: np.ndarray, relevant: np.ndarray, k: int) -> np.ndarray:
    """NDCG@k of each ranked list with binary relevance (Jarvelin and Kekalainen, 2002).

    The gain at rank r (from 1) is 1 / log2(r + 1); the ideal list has its first
    min(k, relevant) places right.

    Parameters
    ----------
    hits : bool (n, m), whether the product at each rank is relevant; m may be below k
        where the catalogue is shorter, the missing places count as misses.
    relevant : int (n,), how many products are relevant for each customer, at least 1.
    k : length of the judged list.

    Returns
    -------
    float64 (n,), each between 0 and 1.

    Raises
    ------
    ValueError : k < 1, shapes that don't fit, or a customer with nothing relevant.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    hits, relevant = np.asarray(hits, dtype=bool), np.asarray(relevant)
    if hits.ndim != 2 or relevant.shape != hits.shape[:1]:
        raise ValueError(
            f"hits must be (n, m) and relevant (n,), got {hits.shape} and {relevant.shape}"
        )
    if (relevant < 1).any():
        raise ValueError("NDCG is not defined for a customer with nothing relevant")
    gains = 1.0 / np.log2(np.arange(2, k + 2))
    ranked = hits[:, :k]
    ideal = np.cumsum(gains)[np.minimum(relevant, k) - 1]
    # A sum along one axis of a small array; matmul would depend on the BLAS kernel.
    return np.asarray((ranked * gains[: ranked.shape[1]]).sum(axis=1) / ideal)
