"""The table of probations in the lake: what is known of each version since it was promoted."""

import duckdb

from ops_platform.lake.session import has_table
from ops_platform.monitor.probation import Probation
from ops_platform.serve.sequential import Sequence

PROBATION = "monitor.probation"
_KEY = "model VARCHAR, version BIGINT"
_SHAPE = (
    f"{_KEY}, predecessor BIGINT, since DATE, until DATE, customers BIGINT, mean DOUBLE, "
    "low DOUBLE, high DOUBLE, p_value DOUBLE, decision VARCHAR"
)


def read_probation(connection: duckdb.DuckDBPyConnection, model: str) -> dict[int, Probation]:
    """What came of the probation so far, by version."""
    if not has_table(connection, PROBATION):
        return {}
    rows = connection.execute(
        "SELECT version, predecessor, since, until, customers, decision, mean, low, high, p_value "
        f"FROM {PROBATION} WHERE model = ? ORDER BY version",
        [model],
    ).fetchall()
    found = dict[int, Probation]()
    for version, predecessor, since, until, customers, decision, *seen in rows:
        # Before the first observation there is no mean.
        difference = None if seen[0] is None else Sequence(*seen)
        found[version] = Probation(
            model, version, predecessor, since, until, customers, difference, decision
        )
    return found


def keep_probation(connection: duckdb.DuckDBPyConnection, found: Probation) -> None:
    """Put what is known of a version's probation in the place of what was (in a write)."""
    connection.execute("CREATE SCHEMA IF NOT EXISTS monitor")
    connection.execute(f"CREATE TABLE IF NOT EXISTS {PROBATION} ({_SHAPE})")
    connection.execute(
        f"DELETE FROM {PROBATION} WHERE model = ? AND version = ?", [found.model, found.version]
    )
    seen = found.difference
    connection.execute(
        f"INSERT INTO {PROBATION} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            *(found.model, found.version, found.predecessor, found.since, found.until),
            found.customers,
            *(getattr(seen, name, None) for name in ("mean", "low", "high", "p_value")),
            found.decision,
        ],
    )
