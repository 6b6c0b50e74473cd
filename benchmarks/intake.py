"""What the contract costs: 10 million order lines taken in, against the bare typed read of them.

`python -m benchmarks.intake KIND FOLDER HOME` is one measurement in a process of its own, so that
its peak memory is its own: `contract` takes the files of FOLDER into a new lake at HOME with
ledger, quarantine and digests; `bare` is an `INSERT ... SELECT` of the same typed read into the
same table of such a lake, without a look at any rule.
"""

import json
import resource
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.graph import Home
from ops_platform.ingest import rows
from ops_platform.ingest.contract import Contract
from ops_platform.ingest.contract_file import read_contract
from ops_platform.ingest.deliveries import find
from ops_platform.ingest.sql import quoted
from ops_platform.ingest.take_in import take_in
from ops_platform.ingest.typed_read import FILE, read_text, typed, typed_rows
from ops_platform.lake.location import Lake
from ops_platform.lake.write import write
from ops_platform.settings import PROJECT

LINES, FILES = 10_000_000, 100
BAD_ONE_IN = 1000
KINDS = ("bare", "contract")
GIB = 1 << 20  # of ru_maxrss, which counts KiB
NOW = datetime(2024, 1, 1)
# The same bytes on every machine: all is a hash of the line's number.
_SHOP = """
COPY (
    SELECT 500000 + i // 20 AS InvoiceNo,
           (10000 + hash(i) % 4000)::VARCHAR AS StockCode,
           CASE WHEN hash(i) % 50 = 0 THEN 'SET OF 3, CAKE TINS'
                ELSE 'PRODUCT NUMBER ' || (hash(i) % 4000) END AS Description,
           CASE WHEN hash(i + 7) % {bad} = 0 THEN 'many'
                ELSE (1 + hash(i + 1) % 12)::VARCHAR END AS Quantity,
           TIMESTAMP '2010-01-01' + to_days({number}) + to_seconds(i % {lines} // 20)
               AS InvoiceDate,
           (10 + hash(i + 2) % 2000)::DECIMAL(10, 2) / 100 AS UnitPrice,
           CASE WHEN hash(i // 20) % 4 > 0 THEN (12000 + hash(i // 20) % 6000) || '.0' END
               AS CustomerID,
           'United Kingdom' AS Country
    FROM range({number} * {lines}, ({number} + 1) * {lines}) AS lines(i)
) TO '{path}' (HEADER)
"""


def make_files(folder: Path, lines: int = LINES, files: int = FILES) -> None:
    """Write so many order lines, a file a day; one line in a thousand breaks the contract."""
    folder.mkdir(parents=True)
    with duckdb.connect() as connection:
        for number in range(files):
            path = folder / f"{number:04}.csv"
            sizes = {"number": number, "lines": lines // files, "bad": BAD_ONE_IN}
            connection.execute(_SHOP.format(**sizes, path=path))


def measure(kind: str, orders: Path, folder: Path) -> dict[str, Any]:
    """Seconds, processor seconds, peak memory in GiB and rows of one kind, in a new process."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.intake", kind, str(orders), str(folder)],
        env=Home(folder, orders).environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _bare(lake: Lake, contract: Contract, orders: Path) -> int:
    paths = [file.path for file in find(contract, orders)]
    read = typed_rows(contract, read_text(contract, contract.inputs, paths), NOW)
    names = ", ".join(quoted(column.name) for column in contract.columns)
    values = ", ".join(typed(column.name) for column in contract.columns)

    def insert(connection: duckdb.DuckDBPyConnection) -> int:
        rows.make_tables(connection, contract)
        # The optimizer leaves out `is_good`, which nobody asks for.
        row = connection.execute(
            f"INSERT INTO raw.{quoted(contract.name)} ({names}, _delivery) "
            f"SELECT {values}, {quoted(FILE)} FROM ({read})"
        ).fetchone()
        return int(row[0]) if row else 0

    return write(lake, insert)


def _contract(lake: Lake, contract: Contract, orders: Path) -> int:
    return sum(entry.records for entry in take_in(lake, contract, orders, NOW).changed)


def main(kind: str, orders: Path, home: Path) -> int:
    """Measure in this process and print it as JSON."""
    lake = Lake(home, home / "data")
    contract = read_contract(PROJECT / "contracts" / "orders.odcs.yaml")
    start = time.monotonic()
    count = (_bare if kind == "bare" else _contract)(lake, contract, orders)
    seconds, used = time.monotonic() - start, resource.getrusage(resource.RUSAGE_SELF)
    figures = {
        "seconds": seconds,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "gib": used.ru_maxrss / GIB,
        "rows": count,
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
