"""A small shop: a lake, the orders' real contract, a folder of files, and what came of them."""

import csv
import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest

from ops_platform.ingest import ledger
from ops_platform.ingest.contract import Contract
from ops_platform.ingest.contract_file import read_contract
from ops_platform.ingest.take_in import Intake, take_in
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.settings import PROJECT
from tests.postgres import postgres_server, postgres_url  # noqa: F401

NOW = datetime(2024, 6, 1)
HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
COLUMNS = HEADER.split(",")


def order(number: int = 1, **changes: str) -> list[str]:
    """The fields of a good order line, but for `changes`."""
    good = [str(number), "22423", "CAKE STAND", "2", "2024-05-01 10:00:00", "1.25", "17.0", "UK"]
    return [changes.get(name, value) for name, value in zip(COLUMNS, good, strict=True)]


@dataclass
class Shop:
    """What a test does with a source, and what it sees of the lake after."""

    contract: Contract
    lake: Lake
    folder: Path
    now: datetime = NOW
    said: list[str] = field(default_factory=list)

    def deliver(self, name: str, *records: list[str]) -> Path:
        """Write a file of these records as `csv` does."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([COLUMNS, *records])
        return path

    def deliver_bytes(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def run(self) -> Intake:
        return take_in(self.lake, self.contract, self.folder, self.now, self.said.append)

    def query(self, sql: str) -> list[tuple]:
        with connect(self.lake) as connection:
            return connection.execute(sql).fetchall()

    def entries(self) -> list[ledger.Entry]:
        with connect(self.lake) as connection:
            return ledger.read(connection, self.contract.name)

    def status(self) -> list[tuple[str, str]]:
        return [(Path(entry.path).name, entry.status) for entry in self.entries()]

    def raw(self, columns: str = "order_id") -> list:
        """The rows of the raw table, sorted; a single column as plain values."""
        rows = self.query(f"SELECT {columns} FROM raw.{self.contract.name} ORDER BY ALL")
        return [row[0] for row in rows] if len(rows and rows[0]) == 1 else rows

    def quarantined(self) -> list[tuple[int | None, list[str], dict | None]]:
        rows = self.query(
            f"SELECT line, reasons, record FROM quarantine.{self.contract.name} ORDER BY ALL"
        )
        return [(line, reasons, record and json.loads(record)) for line, reasons, record in rows]

    def reasons(self) -> list[tuple[int | None, list[str]]]:
        return [(line, reasons) for line, reasons, _ in self.quarantined()]


@pytest.fixture(scope="session")
def orders_contract() -> Contract:
    return read_contract(PROJECT / "contracts" / "orders.odcs.yaml")


@pytest.fixture
def shop(orders_contract: Contract, tmp_path: Path) -> Shop:
    folder = tmp_path / "orders"
    folder.mkdir()
    return Shop(orders_contract, Lake(tmp_path / "lake", tmp_path / "lake" / "data"), folder)


@pytest.fixture
def a_row():
    """Makes the fields of a good order line, but for what is named: `a_row(3, Quantity="x")`."""
    return order
