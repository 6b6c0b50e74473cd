"""The real order files, all of them, against what Python's csv and the publisher say of them."""

import csv
from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest

from ops_platform.ingest import ledger
from ops_platform.ingest.take_in import take_in
from ops_platform.lake.check import check
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake

pytestmark = pytest.mark.real_data
LINES, NEGATIVE_PRICES, WITHOUT_CUSTOMER = 541_909, 2, 135_080


@pytest.fixture(scope="module")
def counted(online_retail):
    """How many records csv reads in each file, and of all, how many lack a customer."""
    by_file, guests = {}, 0
    for path in sorted(online_retail.glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            records = list(csv.DictReader(file))
        by_file[str(path)] = len(records)
        guests += sum(record["CustomerID"] == "" for record in records)
    return by_file, guests


@pytest.fixture(scope="module")
def lake(online_retail, orders_contract, tmp_path_factory):
    home = tmp_path_factory.mktemp("real")
    lake = Lake(home, home / "data")
    intake = take_in(lake, orders_contract, online_retail, datetime(2012, 1, 1))
    assert intake.count("taken") == len(intake.changed) == 305
    return lake


@pytest.fixture(scope="module")
def reader(lake):
    with connect(lake) as connection:
        yield connection


def test_each_delivery_has_the_rows_that_csv_counts(reader, counted):
    by_file, guests = counted
    assert (sum(by_file.values()), guests) == (LINES, WITHOUT_CUSTOMER)
    entries = ledger.read(reader, "orders")
    assert {entry.path: entry.rows_raw + entry.rows_quarantined for entry in entries} == by_file
    ((raw, bad),) = reader.execute(
        "SELECT (SELECT count(*) FROM raw.orders), (SELECT count(*) FROM quarantine.orders)"
    ).fetchall()
    assert (raw, bad) == (LINES - NEGATIVE_PRICES, NEGATIVE_PRICES)


def test_two_lines_are_in_quarantine_for_their_price_and_found_at_their_line(reader):
    rows = reader.execute(
        "SELECT path, line, reasons, record->>'UnitPrice', record->>'CustomerID' "
        "FROM quarantine.orders JOIN ledger.deliveries ON sha256 = _delivery"
    ).fetchall()
    assert len(rows) == NEGATIVE_PRICES
    for path, line, reasons, price, customer in rows:
        assert reasons == ["unit_price: below 0"]
        assert customer is None
        lines = Path(path).read_text(encoding="utf-8").split("\n")
        assert f",{price}," in lines[line - 1]


def test_the_values_are_those_that_are_known_of_them(reader):
    facts = reader.execute(
        """
        SELECT count(*) FILTER (customer_id IS NULL), count(*) FILTER (quantity < 0),
               count(DISTINCT order_id), count(*) FILTER (contains(customer_id, '.')),
               min(ordered_at), max(ordered_at)::DATE::VARCHAR,
               sum(quantity), sum(quantity * unit_price)
        FROM raw.orders
        """
    ).fetchall()
    without, negative, _, dotted, first, last, *_ = facts[0]
    # Both lines in quarantine are of no customer and of one piece each.
    assert without == WITHOUT_CUSTOMER - NEGATIVE_PRICES
    assert negative == 10_624
    assert dotted == 0
    assert first == datetime(2010, 12, 1, 8, 26)
    assert last == "2011-12-09"


def test_quantities_and_prices_add_up_to_those_of_the_files(reader, online_retail):
    quantity, codes = 0, Counter()
    for path in online_retail.glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            for record in csv.DictReader(file):
                if not record["UnitPrice"].startswith("-"):
                    quantity += int(record["Quantity"])
                    codes[record["StockCode"]] += 1
    assert reader.execute("SELECT sum(quantity) FROM raw.orders").fetchall() == [(quantity,)]
    found = reader.execute("SELECT product_id, count(*) FROM raw.orders GROUP BY 1").fetchall()
    assert dict(found) == dict(codes)


def test_the_lake_holds(lake):
    assert check(lake) == []
