"""The model registry: versions with all that is needed to trust and rebuild them (MLflow)."""

import json
import os
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ops_platform.errors import RegistryError
from ops_platform.models import artifact, runs
from ops_platform.models import state as states
from ops_platform.models.estimators import Estimator, estimator
from ops_platform.models.kinds import task_of_class
from ops_platform.models.runs import Shown
from ops_platform.models.search import Trial
from ops_platform.models.sqlite_store import SQLITE, make_store
from ops_platform.settings import telemetry_off

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

CHAMPION = "champion"
PROMOTED = "promoted"
# By these a version is one of ours.
OWN = frozenset({"estimator", "params", "state_digest"})
# When a person went back from this version, and to which: it is not promoted again by itself.
ROLLED_BACK = "rolled_back"
MLFLOW_ENVIRONMENT = {
    # An unreachable server would be asked 8 times for 4 minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    # A uv.lock that happens to lie in the working folder would be exported by a process.
    "MLFLOW_UV_AUTO_DETECT": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


@dataclass(frozen=True)
class Version:
    """A registered version of a model, with its provenance as tags.

    Attributes
    ----------
    name : of the model.
    version : number, from 1.
    tags : what the version was made of and why, as text.
    metrics : of its run, the baselines' included.
    run_id : of its run.
    """

    name: str
    version: int
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    run_id: str

    @property
    def is_to_be_promoted(self) -> bool:
        """Whether its verdict asks for a promotion that has never happened."""
        verdict = json.loads(self.tags.get("verdict", "{}"))
        return bool(verdict.get("promote")) and PROMOTED not in self.tags


class Registry:
    """Versions of models in MLflow, by a server or a SQLite file with a folder beside it.

    Parameters
    ----------
    tracking_uri : of a server, or `sqlite:///` and an absolute path.
    artifacts : folder of the artifacts; None leaves it to the server.
    """

    def __init__(self, tracking_uri: str, artifacts: Path | None = None) -> None:
        """Store where the registry is; it is opened when it is first asked."""
        self.tracking_uri = tracking_uri
        self.artifacts = artifacts
        # Before MLflow is imported, which reads some of them only then.
        telemetry_off()
        for variable, value in MLFLOW_ENVIRONMENT.items():
            os.environ.setdefault(variable, value)

    def register(
        self,
        name: str,
        model: Estimator,
        *,
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        now: datetime,
        documents: Mapping[str, bytes] | None = None,
        trials: Sequence[Trial] = (),
        shown: Shown | None = None,
    ) -> int:
        """Log a run with the fitted model and register it as a new version, not yet champion.

        The model is code and arrays: no pickle is written. Besides `tags` the version carries
        `estimator`, `params` (JSON) and `state_digest`, which `load` verifies; tags and metrics
        are also written beside the arrays, where `verify` reads them.

        Parameters
        ----------
        name : of the model, which is the name of its file in `zoo/`.
        model : fitted.
        metrics : of the model and of the baselines, on the window that judged it.
        tags : provenance: seed, snapshot, as_of, training_set, cause, verdict and so on.
        now : time of the run, naive UTC.
        documents : files that are kept with the run, by name.
        trials : of the search before it; each becomes a run nested in the version's.
        shown : what MLflow's pages say of it besides.

        Returns
        -------
        The number of the version.

        Raises
        ------
        RegistryError : the registry can't be reached or refuses.
        """
        state, params, shown = model.state(), model.get_params(), shown or Shown()
        recipe: dict[str, Any] = {
            "estimator": name,
            "params": params,
            "state_digest": states.digest(state),
        }
        all_tags = {
            **tags,
            "estimator": name,
            "params": json.dumps(params, sort_keys=True),
            "state_digest": recipe["state_digest"],
        }
        with self._reached(f"register a version of {name!r}"):
            experiment, client = self._experiment(name), self._client
            titled = {**all_tags, runs.TITLE: shown.title, runs.NOTE: shown.summary}
            run_id = runs.start(client, experiment, params, metrics, titled, now)
            with runs.failed_unless_done(client, run_id):
                if shown.rows is not None:
                    runs.log_training_set(client, run_id, f"models/{name}/training_set", shown.rows)
                runs.log_documents(client, run_id, documents or {})
                for number, trial in enumerate(trials):
                    runs.log_trial(client, experiment, run_id, number, trial, now)
                origin = artifact.origin(all_tags, metrics)
                signature = task_of_class(type(model)).signature(model)
                model_id, place = self._log_model(name, run_id, state, recipe, origin, signature)
                runs.log_model_made(client, run_id, model_id)
                self._name(name, type(model))
                # A source of the form models:/<id> would be looked up in MLflow's global store.
                made = client.create_model_version(
                    name, place, run_id, tags=all_tags, model_id=model_id, description=shown.summary
                )
            # Only a run whose version exists is finished.
            client.set_terminated(run_id, end_time=runs.milliseconds(now))
        return int(made.version)

    def _name(self, name: str, kind: type[Estimator]) -> None:
        """Have the registered model, described by the first line of its file."""
        if self._registered(name) is None:
            told = sys.modules[kind.__module__].__doc__ or ""
            self._client.create_registered_model(name, description=told.partition("\n")[0])

    def champion(self, name: str) -> Version | None:
        """The version that the alias champion names, None before the first promotion."""
        with self._reached(f"look up the champion of {name!r}"):
            registered = self._registered(name)
            if registered is None or CHAMPION not in registered.aliases:
                return None
            return self._version(self._existing(name, registered.aliases[CHAMPION]))

    def numbers(self, name: str) -> list[int]:
        """The versions that exist, oldest first: any may have been deleted in MLflow by hand.

        What something else has registered under the name is none.
        """
        with self._reached(f"list the versions of {name!r}"):
            found, token = [], None
            while True:
                page = self._client.search_model_versions(
                    f"name='{name}'", order_by=["version_number ASC"], page_token=token
                )
                found += [int(version.version) for version in page if _lacks(version) != OWN]
                if not (token := page.token):
                    return found

    def newest(self, name: str) -> Version | None:
        """The version that was registered last, None where there is none."""
        numbers = self.numbers(name)
        return self.version(name, numbers[-1]) if numbers else None

    def to_be_promoted(self, name: str) -> Version | None:
        """The newest version that a verdict asks to promote, if none since was promoted."""
        with self._reached(f"look up what of {name!r} is to be promoted"):
            for found in self._client.search_model_versions(
                f"name='{name}'", order_by=["version_number DESC"]
            ):
                if _lacks(found) == OWN:
                    continue
                if {PROMOTED, ROLLED_BACK} & found.tags.keys():
                    return None
                version = self._version(found)
                if version.is_to_be_promoted:
                    return version
        return None

    def version(self, name: str, version: int) -> Version:
        """A version by its number; raises RegistryError where there is none."""
        with self._reached(f"look up version {version} of {name!r}"):
            return self._version(self._existing(name, version))

    def versions(self, name: str) -> list[Version]:
        """Every version that exists, oldest first."""
        return [self.version(name, number) for number in self.numbers(name)]

    def document(self, version: Version, name: str) -> bytes:
        """A file that is kept with a version; raises RegistryError where there is none."""
        with (
            self._reached(f"read {name} of version {version.version} of {version.name!r}"),
            TemporaryDirectory() as folder,
        ):
            return Path(self._client.download_artifacts(version.run_id, name, folder)).read_bytes()

    def set_tag(self, name: str, version: int, tag: str, value: str | None) -> None:
        """Set a tag of a version, or take it off where `value` is None."""
        with self._reached(f"tag version {version} of {name!r}"):
            there = self._existing(name, version).tags
            if value is not None:
                self._client.set_model_version_tag(name, str(version), tag, value)
            elif tag in there:
                self._client.delete_model_version_tag(name, str(version), tag)

    def promote(self, name: str, version: int) -> None:
        """Let the alias champion name this version; promoting it again changes nothing."""
        with self._reached(f"promote version {version} of {name!r}"):
            self._existing(name, version)
            self._client.set_registered_model_alias(name, CHAMPION, str(version))
            # Told apart from a version that a killed run has still to promote.
            self._client.set_model_version_tag(name, str(version), PROMOTED, "true")

    def load(self, name: str, version: int) -> Estimator:
        """The fitted model of a version, after its state's digest was verified.

        Raises
        ------
        RegistryError : there is no such version, or it was not registered here.
        StateError : its arrays are not those that were registered.
        """
        tags, state = self._stored(name, version)
        return estimator(tags["estimator"]).from_state(json.loads(tags["params"]), state)

    def state(self, version: Version) -> states.State:
        """The arrays that a version has learned, verified; raises as `load`."""
        return self._stored(version.name, version.version)[1]

    def verify(self, name: str, version: int) -> None:
        """Hold a version's arrays, tags and metrics against what was written at registration.

        Raises
        ------
        RegistryError : a tag or metric was changed, what was registered is not on record, or there
            is no such version.
        StateError : its arrays are not those that were registered.
        """
        self.load(name, version)
        with self._reached(f"verify version {version} of {name!r}"), TemporaryDirectory() as folder:
            found = self._existing(name, version)
            written = artifact.read_origin(self._origin(found, folder))
            metrics = self._client.get_run(found.run_id).data.metrics
        changed = artifact.differences(written, artifact.origin(found.tags, metrics))
        if changed:
            raise RegistryError(
                f"Version {version} of {name!r} in the model registry {self.tracking_uri} is not "
                f"as it was registered, by {artifact.ORIGIN} of its artifact: {'; '.join(changed)}."
                " Restore it from a backup, or set it right by hand in MLflow."
            )

    def make_ready(self) -> None:
        """Make the embedded store where there is none yet."""
        with self._reached("make the store"):
            _ = self._client

    @cached_property
    def _client(self) -> "MlflowClient":
        if self.tracking_uri.startswith(SQLITE):
            make_store(Path(self.tracking_uri.removeprefix(SQLITE)))
        from mlflow import MlflowClient

        return MlflowClient(self.tracking_uri, self.tracking_uri)

    @contextmanager
    def _reached(self, aim: str) -> Iterator[None]:
        """Turn what MLflow and its store raise into an error that says what to do."""
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (MlflowException, SQLAlchemyError, OSError, sqlite3.Error) as error:
            raise RegistryError(
                f"Can't {aim} in the model registry {self.tracking_uri}: {error}. "
                "See that it runs and can be written to, then try again."
            ) from error

    def _log_model(
        self,
        name: str,
        run_id: str,
        state: states.State,
        recipe: dict[str, Any],
        origin: artifact.Origin,
        signature: Any,
    ) -> tuple[str, str]:
        """Log code and arrays, as `mlflow.pyfunc.log_model` without its globals: id and place."""
        from mlflow.entities import LoggedModelStatus

        logged = self._client.create_logged_model(self._experiment(name), name, run_id)
        with TemporaryDirectory() as folder:
            saved = Path(folder, "model")
            artifact.write(saved, run_id, logged.model_id, state, recipe, origin, signature)
            self._client.log_model_artifacts(logged.model_id, str(saved))
        self._client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
        return logged.model_id, logged.artifact_location

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        # A place within the server's own store where none is given.
        place = None if self.artifacts is None else self.artifacts.absolute().as_uri()
        return str(self._client.create_experiment(name, place, tags=runs.OF_MODELS))

    def _registered(self, name: str) -> "RegisteredModel | None":
        found = self._client.search_registered_models(f"name='{name}'", max_results=1)
        return found[0] if found else None

    def _existing(self, name: str, version: int | str) -> "ModelVersion":
        from mlflow.exceptions import MlflowException
        from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

        try:
            return self._client.get_model_version(name, str(version))
        except MlflowException as error:
            if error.error_code != ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
                raise
            there = ", ".join(map(str, self.numbers(name))) or "no version"
            raise RegistryError(
                f"There is no version {version} of {name!r} in the model registry "
                f"{self.tracking_uri}, which has {there}: it was deleted, or is of another registry"
            ) from error

    def _stored(self, name: str, version: int) -> tuple[Mapping[str, str], states.State]:
        """The tags and the arrays of a version."""
        with self._reached(f"load version {version} of {name!r}"), TemporaryDirectory() as folder:
            found = self._existing(name, version)
            _require_ours(found)
            stored = self._download(found, artifact.STATE, folder)
            return found.tags, states.load(stored, found.tags["state_digest"])

    def _origin(self, found: "ModelVersion", folder: str) -> Path:
        from mlflow.exceptions import MlflowException

        try:
            return self._download(found, artifact.ORIGIN, folder)
        except (OSError, MlflowException) as error:
            raise RegistryError(
                f"Version {found.version} of {found.name!r} has no {artifact.ORIGIN} that says how "
                "it was registered: put its artifact back from a backup, or delete the version in "
                "MLflow and train again."
            ) from error

    def _download(self, found: "ModelVersion", file: str, folder: str) -> Path:
        from mlflow.artifacts import download_artifacts

        place = self._client.get_model_version_download_uri(found.name, str(found.version))
        return Path(
            download_artifacts(
                f"{place}/artifacts/{file}", dst_path=folder, tracking_uri=self.tracking_uri
            )
        )

    def _version(self, found: "ModelVersion") -> Version:
        _require_ours(found)
        run = self._client.get_run(found.run_id)
        return Version(
            found.name, int(found.version), dict(found.tags), dict(run.data.metrics), found.run_id
        )


def _lacks(found: "ModelVersion") -> frozenset[str]:
    """Of the tags OWN those that are not there; they all lack where it is none of ours."""
    return OWN - set(found.tags)


def _require_ours(found: "ModelVersion") -> None:
    if missing := _lacks(found):
        raise RegistryError(
            f"Version {found.version} of {found.name!r} lacks the tags "
            f"{', '.join(sorted(missing))}: it was registered by something else; "
            "take the alias champion off it, or register the model again."
        )
