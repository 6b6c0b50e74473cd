"""Which days have all their labels: the days after are over, published and not at fault."""

from collections.abc import Iterable, Set
from datetime import date, timedelta

import duckdb

from ops_platform.lake.faults import faults
from ops_platform.lake.location import Lake

_TRADED = "SELECT DISTINCT purchased_on FROM marts.fct_interactions"


def unfit_days(lake: Lake, sources: Set[str]) -> dict[date, str]:
    """The days whose data is at fault, with what is wrong, of the sources of purchases."""
    return {one.day: one.told for one in faults(lake) if one.source in sources and one.is_open}


def waiting(
    connection: duckdb.DuckDBPyConnection,
    days: Iterable[date],
    newest: date,
    label_days: int,
    unfit: dict[date, str],
) -> dict[date, str]:
    """Those of the days that are not ripe, each with why.

    Parameters
    ----------
    connection : pinned to what is published.
    newest : the newest day that is over and published.
    label_days : so many days from the answer on count, its own among them.
    unfit : see `unfit_days`.
    """
    traded = {day for (day,) in connection.execute(_TRADED).fetchall()}
    found = dict[date, str]()
    for day in days:
        window = [day + timedelta(days=n) for n in range(label_days)]
        faulty = [unfit[one] for one in window if one in unfit]
        if window[-1] > newest:
            found[day] = f"what is bought up to {window[-1]} counts"
        elif faulty:
            found[day] = f"the data is at fault: {faulty[0]}"
        elif traded.isdisjoint(window):
            found[day] = f"nobody has bought anything from {day} to {window[-1]}"
    return found
