"""A reader in a process of its own: it must never see a part of a delivery.

`python -m benchmarks.reader HOME RECORDS` reads the published snapshot, or with a third argument
`head` whatever was committed last, until it gets SIGTERM, then prints how often it did; exit code 1
and the reason when what it saw was not whole.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import duckdb

from benchmarks.graph import Home
from ops_platform.lake import catalog
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


@dataclass
class Seen:
    """What a reader in a process of its own saw."""

    reads: int = 0
    faults: list[str] = field(default_factory=list)


@contextmanager
def reading(home: Home, records: dict[str, int], *arguments: str) -> Iterator[Seen]:
    """A reader beside the block; what it saw is there when the block has ended."""
    known, seen = home.path.parent / "records.json", Seen()
    known.write_text(json.dumps(records), encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.reader", str(home.path), str(known), *arguments],
        env=home.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield seen
    finally:
        process.terminate()
        said, _ = process.communicate(timeout=60)
    if process.returncode:
        seen.faults.append(f"the reader: {said[-2000:]}")
    else:
        seen.reads = int(said.split()[-1])


def look(lake: Lake, records: dict[str, int], *, at_head: bool) -> list[str] | None:
    """The faults that a reader sees now; None when there is nothing to be read yet."""
    if at_head:
        if not {"raw.orders", "quarantine.orders"} <= catalog.last_changed(lake).keys():
            return None
        with connect(lake) as connection:
            return partial(connection, records)
    pointer = published_or_none(lake)
    if pointer is None:
        return None
    with connect(lake, snapshot=pointer.snapshot) as connection:
        faults = partial(connection, records) + apart(connection)
    return [f"at snapshot {pointer.snapshot}: {fault}" for fault in faults]


def main(home: Path, records: dict[str, int], *, at_head: bool) -> int:
    """Read until told to stop; the exit code."""
    stop, parent, lake = threading.Event(), os.getppid(), Lake.at(Settings(home=home))

    def ask_to_stop(number: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, ask_to_stop)
    reads = 0
    while not stop.is_set() and os.getppid() == parent:
        faults = look(lake, records, at_head=at_head)
        if faults:
            sys.stdout.write("; ".join(faults) + "\n")
            return 1
        reads += faults is not None
        # Paced, so that the reader leaves the processor to what is tortured.
        stop.wait(PACE_SECONDS)
    sys.stdout.write(f"{reads}\n")
    return 0


if __name__ == "__main__":
    known = json.loads(Path(sys.argv[2]).read_text("utf-8"))
    raise SystemExit(main(Path(sys.argv[1]), known, at_head="head" in sys.argv[3:]))
