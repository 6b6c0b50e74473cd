"""A reader in a process of its own: it must never see a part of a delivery.

`python -m benchmarks.reader HOME RECORDS` reads the published snapshot until it gets SIGTERM, then
prints how often it did; exit code 1 and the reason when what it saw was not whole.
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

import duckdb

from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.lake.published import published_or_none
from ops_platform.settings import Settings

PACE_SECONDS = 0.05
BY_DELIVERY = """
SELECT _delivery, count(*) FROM
(SELECT _delivery FROM raw.orders UNION ALL SELECT _delivery FROM quarantine.orders) GROUP BY 1
"""
APART = """
SELECT count(*) FROM (SELECT _delivery AS delivery, count(*) AS n FROM raw.orders GROUP BY 1) raw
FULL JOIN (SELECT delivery, count(*) AS n FROM marts.fct_order_lines GROUP BY 1) mart
USING (delivery) WHERE raw.n IS DISTINCT FROM mart.n
"""


def partial(connection: duckdb.DuckDBPyConnection, records: dict[str, int]) -> list[str]:
    """Each delivery of which raw and quarantine do not hold exactly what its file holds."""
    return [
        f"delivery {sha[:12]} has {count} rows, its file {records.get(sha)}"
        for sha, count in connection.execute(BY_DELIVERY).fetchall()
        if count != records.get(sha)
    ]


def apart(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Whether the mart of order lines holds each delivery as raw does."""
    row = connection.execute(APART).fetchone()
    return [f"{row[0]} deliveries differ between raw and marts"] if row and row[0] else []


def main(home: Path, records: dict[str, int]) -> int:
    """Read until told to stop; the exit code."""
    stop, parent, lake = threading.Event(), os.getppid(), Lake.at(Settings(home=home))

    def ask_to_stop(number: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, ask_to_stop)
    reads = 0
    while not stop.is_set() and os.getppid() == parent:
        pointer = published_or_none(lake)
        if pointer is not None:
            with connect(lake, snapshot=pointer.snapshot) as connection:
                faults = partial(connection, records) + apart(connection)
            if faults:
                sys.stdout.write(f"at snapshot {pointer.snapshot}: {'; '.join(faults)}\n")
                return 1
            reads += 1
        # Paced, so that the reader leaves the processor to what is tortured.
        stop.wait(PACE_SECONDS)
    sys.stdout.write(f"{reads}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text("utf-8"))))
