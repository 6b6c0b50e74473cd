"""The recipe of a model: its code, by which two versions are told to be of the same."""

import hashlib
import inspect
import sys

from ops_platform.models.estimators import Estimator

ROOM = "ops_platform.models."


def recipe_of(model: Estimator) -> str:
    """Digest of the model's file and of all files of this room that it imports, or from."""
    names, waiting = set[str](), [type(model).__module__]
    while waiting:
        name = waiting.pop()
        if name in names or not name.startswith(ROOM):
            continue
        names.add(name)
        held = vars(sys.modules[name]).values()
        waiting += [
            one.__name__ if inspect.ismodule(one) else getattr(one, "__module__", None) or ""
            for one in held
        ]
    sources = [inspect.getsource(sys.modules[name]) for name in sorted(names)]
    return hashlib.sha256("\n".join(sources).encode()).hexdigest()
