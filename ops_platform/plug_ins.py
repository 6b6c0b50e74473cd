"""What users add as one file of a folder: found by the file's name, and never registered."""

import importlib
import pkgutil
from types import ModuleType
from typing import Any

from ops_platform.errors import OpsError


def names(package: ModuleType) -> list[str]:
    """The names of all, sorted: one for each file of the package."""
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__))


def class_named(package: ModuleType, name: str, called: str, error: type[OpsError]) -> Any:
    """The class `SalesForecast` of `sales_forecast.py` in the package, for `sales_forecast`.

    Raises `error`, which names it as it is `called`, when there is no such file, or no such class
    in it.
    """
    folder = package.__name__.removeprefix("ops_platform.").replace(".", "/")
    # Names come from settings and registries, so only a file of the package is ever imported.
    if name not in names(package):
        raise error(f"there is no {called} in {folder}/, only {', '.join(names(package))}")
    module = importlib.import_module(f"{package.__name__}.{name}")
    class_name = name.title().replace("_", "")
    try:
        return getattr(module, class_name)
    except AttributeError:
        raise error(
            f"{folder}/{name}.py must define the class {class_name}, named like its file"
        ) from None
