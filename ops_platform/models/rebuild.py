"""A version made again in a process of its own: `python -m ops_platform.models.rebuild RECORD OUT`.

It runs with the code, threads and kernels that were recorded, so what calls it may be of a later
commit: RECORD is the version's provenance.json, OUT a folder that gets state.npz and rebuilt.json.
Nothing is registered, and the lake is only read.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb

from ops_platform.errors import OpsError
from ops_platform.lake.location import Lake
from ops_platform.lake.published import Published
from ops_platform.models import provenance, state
from ops_platform.models.estimators import estimator
from ops_platform.models.kinds import task_of
from ops_platform.models.recipe import recipe_of
from ops_platform.settings import Settings

STATE, REBUILT = "state.npz", "rebuilt.json"


def rebuild(lake: Lake, record: Mapping[str, Any]) -> tuple[dict[str, Any], state.State]:
    """What a record's version comes to when it is made again, and its state.

    Raises LakeError when its snapshot is gone, TrainingError when its rows can't be fitted on.
    """
    data = record["data"]
    task, kind = task_of(record["model"]), estimator(record["model"])
    pointer = Published(data["snapshot"], data["marts_snapshot"])
    rows = task.training_set(kind, lake, pointer, data["by_delivery"])
    model = kind(**{**record["params"], "seed": record["seed"]})
    with provenance.linear_algebra(record["environment"]["threads"]):
        model.fit(rows.rows, rows.as_of)
        environment = provenance.environment()
    learned = model.state()
    return {
        "data": {
            "training_set": rows.digest,
            "rows": len(rows.rows),
            "as_of": rows.as_of.isoformat(),
            "views": provenance.view_versions(),
            "features_follow_from_marts": task.follows_from_marts(lake, rows),
        },
        "recipe": recipe_of(model),
        "params": model.get_params(),
        "environment": environment,
        "state_digest": state.digest(learned),
    }, learned


def main() -> None:
    """Rebuild by the settings of the environment; what can't be is said in rebuilt.json."""
    record, out = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2])
    try:
        found, learned = rebuild(Lake.at(Settings()), record)
        state.save(learned, out / STATE)
    except (OpsError, duckdb.Error) as error:
        found = {"failed": str(error)}
    (out / REBUILT).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
