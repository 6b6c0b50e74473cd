"""Whether a source is as fresh as its contract promises, by the platform's clock."""

from datetime import datetime

import duckdb

from ops_platform.ingest.contract import Contract
from ops_platform.ingest.sql import quoted
from ops_platform.lake import catalog
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.lake.published import published_or_none


def newest_event(lake: Lake, contract: Contract, *, published: bool) -> datetime | None:
    """The newest event of a source, None where there is none yet.

    Parameters
    ----------
    published : it counts once it is published; otherwise as soon as it is taken in.
    """
    made = catalog.last_changed(lake).get(f"raw.{contract.name}")
    if contract.event_time is None or made is None:
        return None
    pointer = published_or_none(lake)
    if published and pointer is None:
        return None
    snapshot = pointer.snapshot if published and pointer else catalog.head(lake)
    newest_time = f"max({quoted(contract.event_time)})::TIMESTAMP"
    try:
        with connect(lake, snapshot=snapshot) as connection:
            row = connection.execute(
                f"SELECT {newest_time} FROM raw.{quoted(contract.name)}"
            ).fetchone()
    except duckdb.CatalogException:
        # The table is younger than what is published.
        return None
    newest: datetime | None = row[0] if row else None
    return newest


def overdue(contract: Contract, newest: datetime | None, now: datetime) -> str | None:
    """What is missing, in a sentence, or None where nothing is."""
    if newest is None or contract.freshness is None or now - newest <= contract.freshness:
        return None
    return (
        f"{contract.name}: the newest event is of {newest:%Y-%m-%d %H:%M}, and the contract "
        f"promises one in {contract.freshness}: has the source delivered, and has the graph run? "
        "See `ops status`."
    )
