"""A registered version as an MLflow pyfunc: this file is logged as the model's code.

MLflow runs it when a version is saved and when it is loaded with `mlflow.pyfunc.load_model`;
both need this package to be installed. The state's digest is verified before it is used.
"""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd

from ops_platform.models import state
from ops_platform.models.estimators import estimator
from ops_platform.models.kinds import task_of


class Answers(mlflow.pyfunc.PythonModel):
    """What a version answers, as its kind of model does."""

    def load_context(self, context: Any) -> None:
        """Build the model from the logged arrays; raises StateError when they were changed."""
        config = context.model_config
        arrays = state.load(Path(context.artifacts["state"]), config["state_digest"])
        self._task = task_of(config["estimator"])
        self._model = estimator(config["estimator"]).from_state(config["params"], arrays)

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """The 20 best products of each `customer_id`, or the `probability` of each row."""
        return self._task.predict(self._model, model_input)


mlflow.models.set_model(Answers())
