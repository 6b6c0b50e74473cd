"""Whether whole rows differ: a classifier that is to tell a window's rows from a reference's."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

# Rows of each side that are looked at, and how often all are split into those to learn from and
# those to be told apart.
ROWS, FOLDS = 5000, 5
ROWS_MIN = 100
FEATURES_TOLD = 5


@dataclass(frozen=True)
class WholeRow:
    """How well rows are told apart that the classifier has not seen.

    Parameters
    ----------
    auc : the chance that of a row of each the window's is taken for it: 0.5 where none differs.
    features : those that give it away, with what the AUC loses when their values are shuffled.
    """

    auc: float
    features: dict[str, float]

    @property
    def told(self) -> str:
        """In a line."""
        by = ", ".join(f"{name} {loss:.2f}" for name, loss in self.features.items())
        return f"AUC {self.auc:.3f}, by {by or 'no feature alone'}"


def tell_apart(reference: pd.DataFrame, window: pd.DataFrame, seed: int = 0) -> WholeRow | str:
    """Fit and judge the classifier on the columns that both have; or why it can't be.

    Numbers are taken as they are and texts as categories; a null is a value of its own.
    """
    columns = [name for name in reference.columns if name in window.columns]
    if not columns:
        return "no column in common"
    fewest = min(len(reference), len(window))
    if fewest < ROWS_MIN:
        return f"{fewest} rows on one side, {ROWS_MIN} are needed"
    rows = min(ROWS, fewest)
    sides = [side[columns].sample(rows, random_state=seed) for side in (reference, window)]
    values = _numbers(pd.concat(sides, ignore_index=True))
    if values.empty:
        return "every column is null"
    return _judged(values, np.repeat([0, 1], rows), seed)


def _judged(values: pd.DataFrame, is_window: np.ndarray, seed: int) -> WholeRow:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.inspection import permutation_importance
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    said = np.empty(len(values))
    lost = np.zeros(values.shape[1])
    # Of so few rows threads wait for each other longer than they work.
    with threadpool_limits(limits=1):
        for known, unseen in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(
            values, is_window
        ):
            model = HistGradientBoostingClassifier(max_iter=50, max_depth=4, random_state=seed)
            model.fit(values.iloc[known], is_window[known])
            said[unseen] = model.predict_proba(values.iloc[unseen])[:, 1]
            lost += permutation_importance(
                model,
                values.iloc[unseen],
                is_window[unseen],
                scoring="roc_auc",
                n_repeats=1,
                random_state=seed,
            ).importances_mean
    found = pd.Series(lost / FOLDS, index=values.columns).sort_values(ascending=False)
    strongest = found[found > 0].head(FEATURES_TOLD)
    return WholeRow(
        float(roc_auc_score(is_window, said)),
        {str(name): float(loss) for name, loss in strongest.items()},
    )


def _numbers(rows: pd.DataFrame) -> pd.DataFrame:
    """Texts as the position of their value in both together, most frequent first."""
    made = {}
    for name, column in rows.items():
        if pd.api.types.is_numeric_dtype(column):
            made[name] = column.astype(float)
        else:
            frequent = column.value_counts()
            order = sorted(frequent.index, key=lambda value: (-frequent[value], str(value)))
            made[name] = column.map({value: float(at) for at, value in enumerate(order)})
    # Below all others: a column that is null in one fold alone has no bins there.
    return pd.DataFrame(
        {name: one.astype(float).fillna(one.min() - 1) for name, one in made.items()}
    ).dropna(axis="columns")
