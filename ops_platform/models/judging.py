"""How well models foretold a window of purchases, customer by customer."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import pandas as pd

from ops_platform.errors import TrainingError
from ops_platform.models.interactions import IdsLike, positions
from ops_platform.models.metrics import ndcg_at_k
from ops_platform.models.ranking import Recommendations


class Fitted(Protocol):
    """A fitted model: the ids it knows, sorted, and its ranked lists."""

    customers_: np.ndarray
    products_: np.ndarray

    def recommend(self, customers: IdsLike, k: int = 20) -> Recommendations:
        """The k best products for each of n customers."""
        ...


def judge(models: Mapping[str, Fitted], relevant: pd.DataFrame, k: int = 20) -> pd.DataFrame:
    """NDCG@k of several models on exactly the same customers and the same purchases.

    What none of the models can know is left out: customers and products that are in no
    model's training set. A model that does not know a customer whom another knows is judged
    on the popular products that it would really show.

    Parameters
    ----------
    models : fitted models by name, at least one.
    relevant : columns customer_id and product_id: what was bought in the window, net of
        cancellations known at its end; repeated rows count once.
    k : length of the judged lists.

    Returns
    -------
    One row a customer, indexed by customer_id in sorted order, one column a model;
    empty when no known customer bought a known product.

    Raises
    ------
    TrainingError : a column of `relevant` is missing.
    ValueError : k < 1.
    """
    return judge_groups(models, {"": relevant}, k)[""]


def judge_groups(
    models: Mapping[str, Fitted], groups: Mapping[str, pd.DataFrame], k: int = 20
) -> dict[str, pd.DataFrame]:
    """As `judge`, for several groups of purchases: a model ranks once for all their customers.

    Raises as `judge`.
    """
    bought = {name: _known(models, relevant) for name, relevant in groups.items()}
    customers = np.unique(
        np.concatenate([one["customer_id"].to_numpy(dtype=str) for one in bought.values()])
    )
    ranked = {name: model.recommend(customers, k) for name, model in models.items()}
    return {name: _scores(ranked, customers, one, k) for name, one in bought.items()}


def _scores(
    ranked: Mapping[str, Recommendations], customers: np.ndarray, bought: pd.DataFrame, k: int
) -> pd.DataFrame:
    """NDCG@k of the lists of those of `customers` who bought something of a group."""
    buyers, counts = np.unique(bought["customer_id"].to_numpy(dtype=str), return_counts=True)
    rows, pairs = np.searchsorted(customers, buyers), pd.MultiIndex.from_frame(bought)
    scores = {
        name: ndcg_at_k(_hits(lists.product_id[rows], buyers, pairs), counts, k)
        for name, lists in ranked.items()
    }
    return pd.DataFrame(scores, index=pd.Index(buyers, name="customer_id"))


def _known(models: Mapping[str, Fitted], relevant: pd.DataFrame) -> pd.DataFrame:
    """The distinct purchases of customers and products that some model knows."""
    missing = {"customer_id", "product_id"} - set(relevant.columns)
    if missing:
        raise TrainingError(f"The window's purchases lack the columns {sorted(missing)}.")
    bought = relevant[["customer_id", "product_id"]].astype(str).drop_duplicates()
    customers, products = (
        np.unique(np.concatenate([getattr(model, of) for model in models.values()]))
        for of in ("customers_", "products_")
    )
    known = (positions(bought["customer_id"].to_numpy(dtype=str), customers) >= 0) & (
        positions(bought["product_id"].to_numpy(dtype=str), products) >= 0
    )
    return bought[known]


def _hits(shown: np.ndarray, customers: np.ndarray, pairs: pd.MultiIndex) -> np.ndarray:
    """Bool (n, k): whether the customer of the row bought the product at each rank."""
    listed = pd.MultiIndex.from_arrays([np.repeat(customers, shown.shape[1]), shown.ravel()])
    return np.asarray(listed.isin(pairs)).reshape(shown.shape)
