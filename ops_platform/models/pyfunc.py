"""A registered version as an MLflow pyfunc: this file is logged as the model's code.

MLflow runs it when a version is saved and when it is loaded with `mlflow.pyfunc.load_model`;
both need this package to be installed. The state's digest is verified before it is used.
"""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd

from ops_platform.models import state
from ops_platform.models.estimators import estimator


class RankedProducts(mlflow.pyfunc.PythonModel):
    """From customers to their 20 best products."""

    def load_context(self, context: Any) -> None:
        """Build the model from the logged arrays; raises StateError when they were changed."""
        config = context.model_config
        arrays = state.load(Path(context.artifacts["state"]), config["state_digest"])
        self._model = estimator(config["estimator"]).from_state(config["params"], arrays)

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """Rows customer_id, rank (from 1), product_id, score for each customer_id of the input."""
        customers = model_input["customer_id"].to_numpy(dtype=str)
        ranked = self._model.recommend(customers)
        n, k = ranked.product_id.shape
        return pd.DataFrame(
            {
                "customer_id": np.repeat(customers, k),
                "rank": np.tile(np.arange(1, k + 1), n),
                "product_id": ranked.product_id.ravel(),
                "score": ranked.scores.ravel(),
            }
        )


mlflow.models.set_model(RankedProducts())
