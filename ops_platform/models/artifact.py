"""What the artifact of a version holds: code, arrays, and the tags and metrics it came with."""

import json
import warnings
from collections.abc import Mapping
from importlib.metadata import version as installed
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ops_platform.errors import RegistryError
from ops_platform.models import state as states

STATE, ORIGIN = "state.npz", "origin.json"
# Given explicitly: MLflow starts a process of its own to guess them, which takes 5 s.
REQUIREMENTS = ("numpy", "pandas", "scipy", "scikit-learn", "threadpoolctl")
# By "tag <name>" or "metric <name>" the value, as text.
Origin = Mapping[str, str]


def origin(tags: Mapping[str, str], metrics: Mapping[str, float]) -> Origin:
    """Tags and metrics as the file beside the arrays has them; metrics to their last digit."""
    return {f"tag {name}": value for name, value in tags.items()} | {
        f"metric {name}": repr(float(value)) for name, value in metrics.items()
    }


def differences(written: Origin, found: Origin) -> list[str]:
    """What of `written` is missing in `found` or is another there; what came later is not asked."""
    return [
        f"{name} is {found.get(name, 'missing')!r}, and was {value!r}"
        for name, value in written.items()
        if found.get(name) != value
    ]


def read_origin(path: Path) -> Origin:
    """Read the file; raises RegistryError where it can't be read as one."""
    try:
        read = json.loads(path.read_bytes())
        return {str(name): str(value) for name, value in read.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise RegistryError(
            f"{path.name} of the artifact can't be read ({error}): restore it from a backup"
        ) from error


def write(
    folder: Path,
    run_id: str,
    model_id: str,
    state: states.State,
    recipe: dict[str, Any],
    origin: Origin,
    signature: Any,
) -> None:
    """Write the new folder that MLflow, and `Registry.load`, read a model from."""
    from mlflow.models import Model
    from mlflow.pyfunc import save_model

    with TemporaryDirectory() as aside, warnings.catch_warnings():
        # An example would be predicted with at every save; the signature says the same.
        warnings.filterwarnings("ignore", ".*input example was not provided")
        arrays, told = Path(aside, STATE), Path(aside, ORIGIN)
        states.save(state, arrays)
        told.write_text(json.dumps(origin, indent=1), encoding="utf-8")
        save_model(
            str(folder),
            python_model=str(Path(__file__).with_name("pyfunc.py")),
            artifacts={"state": str(arrays), "origin": str(told)},
            model_config=recipe,
            signature=signature,
            pip_requirements=[f"{package}=={installed(package)}" for package in REQUIREMENTS],
            mlflow_model=Model(run_id=run_id, model_id=model_id),
        )
