"""What a feature view is, and where views are found: one file each in `features/views/`."""

import hashlib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import pandera.ibis as pa

# Exact sums, so that the same rows give the same bytes whatever the number of threads.
MONEY = dt.Decimal(18, 3)


@dataclass(frozen=True)
class FeatureView:
    """Features of one entity, computed in the engine as of a day.

    Parameters
    ----------
    name : of the view and its table.
    entity : the columns that identify a row.
    mart : the mart that it is computed from.
    expression : `(mart, as_of) -> table`; uses only rows known by `as_of`, a DATE.
    schema : the pandera schema that its table must satisfy.
    description, owner : for whom it is shown to.
    """

    name: str
    entity: tuple[str, ...]
    mart: str
    expression: Callable[[ibis.Table, date], ibis.Table]
    schema: pa.DataFrameSchema
    description: str
    owner: str

    @property
    def table(self) -> str:
        """The view's table in the lake."""
        return f"features.{self.name}"

    @property
    def version(self) -> str:
        """SHA-256 of the file that defines the view."""
        return hashlib.sha256(Path(inspect.getfile(self.expression)).read_bytes()).hexdigest()


def find_views() -> list[FeatureView]:
    """Every view in `features/views/`, by name."""
    package: Any = import_module("ops_platform.features.views")
    modules = [
        import_module(f"{package.__name__}.{m.name}")
        for m in pkgutil.iter_modules(package.__path__)
    ]
    return sorted((module.VIEW for module in modules), key=lambda view: str(view.name))
