"""What a feature view is, and where views are found: one file each in `features/views/`."""

import hashlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import pandera.ibis as pa

from ops_platform.features.moment import days, happened

# Exact sums, so that the same rows give the same bytes whatever the number of threads.
MONEY = dt.Decimal(18, 3)
AS_OF = "as_of"


@dataclass(frozen=True)
class FeatureView:
    """Features of one entity, computed in the engine as of a moment or of many.

    Parameters
    ----------
    name : of the view and its table.
    entity : the columns that identify a row.
    mart : the mart that it is computed from.
    event_time : the mart's column, a time or a day, that says when a row happened.
    ttl : events that are longer ago, in whole days, are not used.
    features : `(known, *lookups) -> table`. `known` are the mart's rows, each once for every moment
        at which it is known, which is its column `as_of`; the table has the entity and `as_of`,
        and one row for each.
    schema : the pandera schema that its table must satisfy.
    description, owner : for whom it is shown to.
    keys : the mart's columns that split its rows into histories, where those are not the entity's;
        a row of features is made from one history.
    lookups : other marts that `features` joins, by name, with the columns and types that it reads.
        They are read as they are now, so name only what never changes of a row.
    online : whether a release holds it, to be read by its entity.
    """

    name: str
    entity: tuple[str, ...]
    mart: str
    event_time: str
    ttl: timedelta
    features: Callable[..., ibis.Table]
    schema: pa.DataFrameSchema
    description: str
    owner: str
    keys: tuple[str, ...] = ()
    lookups: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    online: bool = True

    @property
    def table(self) -> str:
        """The view's table in the lake."""
        return f"features.{self.name}"

    @property
    def features_named(self) -> list[str]:
        """The columns of its table that are features."""
        return [name for name in self.schema.columns if name not in self.entity]

    @property
    def version(self) -> str:
        """SHA-256 of the file that defines the view."""
        return hashlib.sha256(Path(inspect.getfile(self.features)).read_bytes()).hexdigest()

    @property
    def join_keys(self) -> tuple[str, ...]:
        """The mart's columns by which a label finds its history."""
        return self.keys or self.entity

    def expression(self, mart: ibis.Table, as_of: date) -> ibis.Table:
        """The view's rows as of the end of a day."""
        end = ibis.literal(as_of).cast("timestamp") + days(1)
        known = mart.filter(*happened(mart[self.event_time], end, self.ttl)).mutate(as_of=end)
        return self._of(known, mart).drop(AS_OF)

    def at(
        self, mart: ibis.Table, moments: ibis.Table, arrivals: ibis.Table | None = None
    ) -> ibis.Table:
        """The view's rows as of moments: a table of its keys and `as_of`, distinct.

        `arrivals`, if given, says when each `delivery` came, `delivered_at`; a row whose delivery
        it lacks is known from its event on.
        """
        conditions = [mart[key] == moments[key] for key in self.join_keys]
        conditions += happened(mart[self.event_time], moments[AS_OF], self.ttl)
        known = mart.inner_join(moments, conditions).select(
            *(mart[name] for name in mart.columns), moments[AS_OF]
        )
        if arrivals is not None:
            arrived = known.left_join(arrivals, "delivery")
            known = arrived.filter(
                arrived.delivered_at.isnull() | (arrived.delivered_at < arrived[AS_OF])
            ).select(*known.columns)
        return self._of(known, mart)

    def _of(self, known: ibis.Table, mart: ibis.Table) -> ibis.Table:
        place = mart.op().namespace
        others = (
            ibis.table(dict(columns), name=name, catalog=place.catalog, database=place.database)
            for name, columns in self.lookups.items()
        )
        return self.features(known, *others)


def find_views() -> list[FeatureView]:
    """Every view in `features/views/`, by name."""
    package: Any = import_module("ops_platform.features.views")
    modules = [
        import_module(f"{package.__name__}.{m.name}")
        for m in pkgutil.iter_modules(package.__path__)
    ]
    return sorted((module.VIEW for module in modules), key=lambda view: str(view.name))
