"""From scores of all products to ranked lists, the same on every machine."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# 256 customers by 100,000 products are 205 MB of scores.
BLOCK = 256


@dataclass(frozen=True)
class Recommendations:
    """Ranked products for n customers, best first.

    Attributes
    ----------
    product_id : str (n, k); fewer columns where the catalogue has fewer products than k, and ""
        where what may be recommended to the customer is fewer.
    scores : float64 (n, k), falling in each row, -inf where the product is "".
    known : bool (n,), False for a customer who is not in the training set.
    """

    product_id: np.ndarray
    scores: np.ndarray
    known: np.ndarray


def recommend(
    score: Callable[[np.ndarray], np.ndarray],
    position: np.ndarray,
    products: np.ndarray,
    k: int,
) -> Recommendations:
    """Rank the products for customers block by block, so that memory stays bounded.

    Parameters
    ----------
    score : from customer positions (b,), -1 for unknown ones, to scores (b, n_products); -inf for
        what may not be recommended.
    position : int (n,), position of each customer in the training set, or -1.
    products : str (n_products,), sorted.
    k : length of the lists.

    Raises
    ------
    ValueError : k < 1.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    k = min(k, len(products))
    top = np.empty((len(position), k), dtype=np.int64)
    scores = np.empty((len(position), k))
    for start in range(0, len(position), BLOCK):
        block = slice(start, start + BLOCK)
        top[block], scores[block] = top_k(score(position[block]), k)
    product_id = np.where(np.isneginf(scores), "", products[top])
    return Recommendations(product_id, scores, position >= 0)


def top_k(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns and values of the k best scores of each row; a tie goes to the first column.

    Parameters
    ----------
    scores : float (n, m) without NaN, m >= k.

    Returns
    -------
    Columns int (n, k) and their scores (n, k), best first.
    """
    at_least = np.partition(scores, scores.shape[1] - k, axis=1)[:, -k]
    # All that tie with the k-th stay in until here: a partition picks among them as it likes.
    row, column = np.nonzero(scores >= at_least[:, None])
    value = scores[row, column]
    order = np.lexsort((column, -value, row))
    starts = np.searchsorted(row, np.arange(len(scores)))
    chosen = order[starts[:, None] + np.arange(k)]
    return column[chosen], value[chosen]
