"""Gradient-boosted trees as plain arrays: taken from scikit-learn, followed with numpy alone."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

# Of scikit-learn's nodes; children are positions within the tree.
_FIELDS = ("value", "feature_idx", "num_threshold", "missing_go_to_left", "left", "right")
# By array, as a node of a tree is kept; `start` says where each tree begins.
ARRAYS = ("start", "is_leaf", *_FIELDS, "baseline")


def arrays_of(model: "HistGradientBoostingClassifier") -> dict[str, np.ndarray]:
    """The fitted trees of a classifier with two classes and no categories, by ARRAYS."""
    # The nodes have no public way out; that `decisions` follows them exactly is tested.
    trees = [tree.nodes for (tree,) in model._predictors]
    nodes = np.concatenate(trees)
    starts = np.cumsum([0, *(len(tree) for tree in trees[:-1])], dtype=np.int64)
    return {
        "start": starts,
        "is_leaf": nodes["is_leaf"].astype(bool),
        **{name: np.ascontiguousarray(nodes[name]) for name in _FIELDS},
        "baseline": np.asarray(model._baseline_prediction, dtype=float).reshape(1),
    }


def decisions(arrays: Mapping[str, np.ndarray], features: np.ndarray) -> np.ndarray:
    """The log-odds of each row: float64 (n,), to the last bit those of scikit-learn.

    Parameters
    ----------
    features : float64 (n, m), NaN where a value is missing.
    """
    odds = np.full(len(features), arrays["baseline"][0])
    for start in arrays["start"].tolist():
        odds += arrays["value"][_leaves(arrays, features, start)]
    return odds


def _leaves(arrays: Mapping[str, np.ndarray], features: np.ndarray, start: int) -> np.ndarray:
    """The node in which each row ends, in the tree that begins at `start`."""
    node = np.full(len(features), start)
    rows = np.arange(len(features))
    while len(rows := rows[~arrays["is_leaf"][node[rows]]]):
        at = node[rows]
        value = features[rows, arrays["feature_idx"][at]]
        missing = np.isnan(value)
        left = np.where(
            missing, arrays["missing_go_to_left"][at] > 0, value <= arrays["num_threshold"][at]
        )
        node[rows] = start + np.where(left, arrays["left"][at], arrays["right"][at])
    return node
