import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from ops_platform.lake import catalog
from ops_platform.lake.connect import attach, connect, make_ready
from ops_platform.lake.digest import digest_rows
from ops_platform.lake.location import Lake
from ops_platform.lake.lock import write_lock
from ops_platform.lake.write import open_writer, record_digests, write
from tests.postgres import postgres_server, postgres_url  # noqa: F401

NOW = datetime(2024, 2, 1, 12)
HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    """An empty lake, on each kind of catalog."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    return Lake(tmp_path / "lake", tmp_path / "lake" / "data", url, lock_seconds=10)


@pytest.fixture
def sqlite_lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake", tmp_path / "lake" / "data", lock_seconds=10)


def run(lake: Lake, *statements: str) -> int:
    """Run the statements in one write; the id of the snapshot that they made."""
    write(lake, lambda connection: [connection.execute(sql) for sql in statements])
    return catalog.head(lake)


def steps(lake: Lake, *statements: str) -> list[int]:
    """Run each statement as a commit of its own, on one connection; the snapshots that they made."""
    with write_lock(lake):
        with open_writer(lake) as connection:
            made = []
            for sql in statements:
                connection.execute(sql)
                made.append(catalog.head(lake))
        record_digests(lake)
    return made


def digests(lake: Lake, table: str, snapshots: Iterable[int]) -> dict[int, str]:
    """The digest of the table's rows at each of these snapshots."""
    with duckdb.connect() as connection:
        make_ready(connection, lake)
        for snapshot in snapshots:
            attach(connection, lake, f"at_{snapshot}", snapshot=snapshot)
        return {n: digest_rows(connection, f"FROM at_{n}.{table}") for n in snapshots}


def read(lake: Lake, query: str, snapshot: int | None = None) -> list[tuple]:
    with connect(lake, snapshot=snapshot) as connection:
        return connection.execute(query).fetchall()


def data_file(lake: Lake, schema: str) -> Path:
    return min(
        file.path
        for file in catalog.files(lake)
        if file.path.is_relative_to(lake.data_path / schema)
    )


def flip_a_bit(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def deliver(lake: Lake, folder: Path, *days: int) -> None:
    """Take in one good and one bad order line for each of these days of January 2024."""
    from ops_platform.ingest.contract_file import read_contract
    from ops_platform.ingest.take_in import take_in
    from ops_platform.settings import PROJECT

    folder.mkdir(exist_ok=True)
    for day in days:
        (folder / f"2024-01-{day:02}.csv").write_text(
            HEADER
            + f"5370{day:02},44481,BOTTLE,4,2024-01-{day:02} 09:21:00,6.85,12535.0,France\n"
            + f"5371{day:02},44481,BOTTLE,four,2024-01-{day:02} 09:21:00,6.85,12535.0,France\n"
        )
    take_in(lake, read_contract(PROJECT / "contracts" / "orders.odcs.yaml"), folder, NOW)


@pytest.fixture
def child() -> Iterator[Callable[..., subprocess.Popen]]:
    """Start Python on some code, with `lake` in it, and wait until it has printed a line."""
    started: list[subprocess.Popen] = []

    def start(lake: Lake, code: str) -> subprocess.Popen:
        made = (
            "from pathlib import Path\nfrom ops_platform.lake.location import Lake\n"
            f"lake = Lake(Path({str(lake.home)!r}), Path({str(lake.data_path)!r}), "
            f"{lake.catalog_url!r}, {lake.lock_seconds})\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", made + textwrap.dedent(code)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ),
        )  # fmt: skip
        started.append(process)
        assert process.stdout.readline(), "the child ended before it said anything"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


HOLDER = """
    import sys
    from ops_platform.lake.lock import write_lock
    with write_lock(lake):
        print("held", flush=True)
        sys.stdin.read()
"""


@contextmanager
def quick(lake: Lake, seconds: float = 0.3) -> Iterator[Lake]:
    """The same lake for a writer that does not wait for long."""
    yield Lake(lake.home, lake.data_path, lake.catalog_url, seconds)
