"""The MLflow run of a version, as people look at it: training set, figures, trials, files."""

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ops_platform.models.search import Trial
from ops_platform.models.task import TrainingSet

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Tags that MLflow's pages show as the run's name and description, and by which runs are nested.
TITLE, NOTE, PARENT = "mlflow.runName", "mlflow.note.content", "mlflow.parentRunId"
# So that MLflow shows an experiment with the pages of model training.
OF_MODELS = {"mlflow.experimentKind": "custom_model_development"}
# MLflow takes no longer digest of a dataset.
DIGEST_LENGTH = 36
# So many rows tell the types of the columns.
HEAD = 100


@dataclass(frozen=True)
class Shown:
    """What MLflow's pages say of a version besides its figures.

    Parameters
    ----------
    title : the name of its run.
    summary : its description, as Markdown.
    rows : what it was fitted on.
    """

    title: str = "a version"
    summary: str = ""
    rows: TrainingSet | None = None


@contextmanager
def failed_unless_done(client: "MlflowClient", run_id: str) -> Iterator[None]:
    """Mark the run as failed where the block ends by an error, unless the store is out of reach."""
    try:
        yield
    except BaseException:
        with suppress(Exception):
            client.set_terminated(run_id, "FAILED")
        raise


def start(
    client: "MlflowClient",
    experiment: str,
    params: Mapping[str, Any],
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
    now: datetime,
) -> str:
    """Log a run that goes on, with these figures; its id."""
    from mlflow.entities import Metric, Param

    time = milliseconds(now)
    run_id: str = client.create_run(experiment, start_time=time, tags=dict(tags)).info.run_id
    client.log_batch(
        run_id,
        metrics=[Metric(key, float(value), time, 0) for key, value in metrics.items()],
        params=[Param(key, str(value)) for key, value in params.items()],
    )
    return run_id


def log_training_set(client: "MlflowClient", run_id: str, name: str, rows: TrainingSet) -> None:
    """Log what a run was trained on: its digest, the snapshot that holds it, and its columns."""
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.models import infer_signature

    source = {
        "snapshot": rows.pointer.snapshot,
        "marts_snapshot": rows.pointer.marts,
        "as_of": rows.as_of.isoformat(),
        "digest": rows.digest,
    }
    with warnings.catch_warnings():
        # Whole numbers that may be missing when predicting: this schema is only shown.
        warnings.filterwarnings("ignore", ".*integer column")
        columns = infer_signature(rows.rows.head(HEAD)).inputs.to_dict()
    dataset = Dataset(
        name,
        rows.digest[:DIGEST_LENGTH],
        "ducklake",
        json.dumps(source),
        json.dumps({"mlflow_colspec": columns}),
        json.dumps({"num_rows": len(rows.rows)}),
    )
    context = InputTag("mlflow.data.context", "training")
    client.log_inputs(run_id, datasets=[DatasetInput(dataset, [context])])


def log_model_made(client: "MlflowClient", run_id: str, model_id: str) -> None:
    """Log that a logged model came of a run."""
    from mlflow.entities import LoggedModelOutput

    client.log_outputs(run_id, [LoggedModelOutput(model_id, 0)])


def log_trial(
    client: "MlflowClient", experiment: str, parent: str, number: int, trial: Trial, now: datetime
) -> None:
    """Log a trial of a search as a run within its parent's."""
    nested = {PARENT: parent, TITLE: f"trial {number}"}
    run_id = start(client, experiment, trial.params, {"score": trial.score}, nested, now)
    client.set_terminated(run_id, end_time=milliseconds(now))


def log_documents(client: "MlflowClient", run_id: str, documents: Mapping[str, bytes]) -> None:
    """Log files by their name."""
    with TemporaryDirectory() as folder:
        for name, content in documents.items():
            Path(folder, name).write_bytes(content)
        client.log_artifacts(run_id, folder)


def milliseconds(now: datetime) -> int:
    """A time, naive UTC, as MLflow counts it."""
    return int(now.replace(tzinfo=UTC).timestamp() * 1000)
