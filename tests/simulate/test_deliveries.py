"""What the shop's other systems deliver fits its orders, is the same each time, and grows."""

import csv
import json
import sqlite3
from collections import defaultdict
from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ops_platform.simulate.change import PriceShift
from ops_platform.simulate.deliveries import write_sources
from ops_platform.simulate.shop import Shop, write_orders

SHOP = Shop(seed=2, days=30, customers=60, products=60, dirty_rate=0)


def products(folder: Path) -> list[dict]:
    return [
        json.loads(line)
        for path in sorted((folder / "products").iterdir())
        for line in path.read_text().splitlines()
    ]


def customers(folder: Path) -> list[tuple]:
    with sqlite3.connect(folder / "customers" / "customers.sqlite") as database:
        return database.execute("SELECT * FROM customers ORDER BY 1").fetchall()


def orders(folder: Path) -> list[dict]:
    found = []
    for path in sorted((folder / "orders").iterdir()):
        with path.open(newline="") as file:
            found += csv.DictReader(file)
    return [row for row in found if row["StockCode"] != "POST"]


@pytest.fixture(scope="module")
def month(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("month")
    write_sources(SHOP, folder)
    return folder


def test_the_same_shop_delivers_the_same_and_more_days_only_add(month, tmp_path):
    write_sources(replace(SHOP, days=60), tmp_path)
    for source in ("orders", "products", "events"):
        early = {path.name: path.read_bytes() for path in (month / source).iterdir()}
        longer = {path.name: path.read_bytes() for path in (tmp_path / source).iterdir()}
        assert early.items() < longer.items(), source
    alone = write_orders(SHOP, tmp_path / "alone")
    assert [p.read_bytes() for p in alone] == [
        (month / "orders" / p.name).read_bytes() for p in alone
    ]
    assert {row[0] for row in customers(month)} <= {row[0] for row in customers(tmp_path)}


def test_every_product_is_introduced_once_and_before_it_is_sold(month):
    introduced = {one["sku"]: date.fromisoformat(one["introduced_on"]) for one in products(month)}
    assert len(introduced) == len(products(month)) > 60
    for row in orders(month):
        assert introduced[row["StockCode"]] <= date.fromisoformat(row["InvoiceDate"][:10])
    assert max(introduced.values()) > SHOP.start > min(introduced.values())


def test_products_that_come_later_have_the_prices_of_then(tmp_path):
    shop = replace(SHOP, drifts=(PriceShift(date(2024, 1, 10), 100),))
    write_sources(shop, tmp_path)
    later = [one["price"] for one in products(tmp_path) if one["introduced_on"] > "2024-01-10"]
    assert later
    assert min(later) >= 20


def test_who_buys_has_an_account_that_was_opened_before(month):
    accounts = {row[0]: row for row in customers(month)}
    first: dict[str, str] = defaultdict(lambda: "9999")
    for row in orders(month):
        if row["CustomerID"]:
            number = row["CustomerID"].removesuffix(".0")
            first[number] = min(first[number], row["InvoiceDate"][:10])
            assert accounts[number][3] == row["Country"]
    assert first
    assert all(accounts[number][4] <= day for number, day in first.items())


def test_some_change_their_mind(month, tmp_path):
    write_sources(replace(SHOP, days=120), tmp_path)
    later = {row[0]: row for row in customers(tmp_path)}
    changed = [row for row in customers(month) if later[row[0]] != row]
    assert 0 < len(changed) < len(later) / 2
    assert all(later[row[0]][:5] == row[:5] for row in changed)


def test_a_purchase_is_looked_at_and_put_into_the_cart_before(month):
    bought, steps = set(), defaultdict(dict)
    for path in (month / "events").iterdir():
        for event in pq.read_table(path).to_pylist():
            steps[event["customer"], event["product"], path.stem].setdefault(
                event["kind"], event["at"]
            )
    for row in orders(month):
        if row["CustomerID"] and not row["InvoiceNo"].startswith("C"):
            key = row["CustomerID"].removesuffix(".0"), row["StockCode"], row["InvoiceDate"][:10]
            bought.add(key)
            assert steps[key]["view"] <= steps[key]["cart"] <= steps[key]["purchase"]
            assert str(steps[key]["purchase"]) == row["InvoiceDate"]
    looked = {key for key in steps if key[0]}
    assert len(looked) > 1.3 * len(bought)
    assert {key for key in looked if "purchase" in steps[key]} == bought
    assert any(key[0] is None for key in steps)


def test_dirty_records_are_added_and_no_good_one_is_lost(month, tmp_path):
    write_sources(replace(SHOP, dirty_rate=0.05), tmp_path)
    clean, dirty = products(month), products(tmp_path)
    assert [one for one in dirty if one in clean] == clean
    assert len(dirty) > len(clean)
    assert set(customers(tmp_path)) > set(customers(month))
    name = "2024-01-02.parquet"
    good, more = (pq.read_table(at / "events" / name).to_pylist() for at in (month, tmp_path))
    assert [event for event in more if event in good] == good
    assert any(event["kind"] == "swiped" for event in more)
