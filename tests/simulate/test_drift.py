"""What changes in the shop by the day: its assortment always, and drifts where they are asked."""

import csv
import math
from collections import defaultdict
from dataclasses import replace
from datetime import date
from pathlib import Path
from statistics import fmean, median

import pytest

from ops_platform.simulate.change import NewAssortment, NewCategory, PriceShift, TasteShift
from ops_platform.simulate.shop import Shop, order_files, write_orders

DAY = date(2024, 3, 14)
SMALL = Shop(days=110, customers=80, products=80, dirty_rate=0, renewal=0)
DRIFTS = (TasteShift(DAY, 0.5), PriceShift(DAY, 1.5), NewCategory(DAY), NewAssortment(DAY, 0.3))

Row = dict[str, str]


def rows(shop: Shop) -> list[Row]:
    return [
        row
        for _, content in order_files(shop)
        for row in csv.DictReader(content.decode().splitlines())
        if not row["InvoiceNo"].startswith("C") and row["StockCode"] != "POST"
    ]


def split(read: list[Row]) -> tuple[list[Row], list[Row]]:
    """The rows before DAY, and those from it on."""
    late = [row["InvoiceDate"] >= DAY.isoformat() for row in read]
    return (
        [row for row, is_late in zip(read, late, strict=True) if not is_late],
        [row for row, is_late in zip(read, late, strict=True) if is_late],
    )


def bought_before(read: list[Row]) -> dict[str, float]:
    """For each customer, which share of what was bought from DAY on had been bought before."""
    early, late = split(read)
    had = {(row["CustomerID"], row["StockCode"]) for row in early}
    repeated: dict[str, list[bool]] = defaultdict(list)
    for row in late:
        if row["CustomerID"]:
            key = row["CustomerID"], row["StockCode"]
            repeated[row["CustomerID"]].append(key in had)
    return {customer: fmean(again) for customer, again in repeated.items()}


@pytest.mark.parametrize("drift", DRIFTS, ids=lambda drift: type(drift).__name__)
def test_a_drift_leaves_the_days_before_it_as_they_are(drift) -> None:
    shop = replace(SMALL, renewal=0.02, dirty_rate=0.01)
    plain, drifted = dict(order_files(shop)), dict(order_files(replace(shop, drifts=(drift,))))
    assert plain.keys() == drifted.keys()
    assert all(plain[day] == drifted[day] for day in plain if day < DAY)
    assert plain[DAY] != drifted[DAY]
    assert drifted == dict(order_files(replace(shop, drifts=(drift,))))


def test_a_later_drift_leaves_what_an_earlier_one_did() -> None:
    first, later = TasteShift(date(2024, 2, 1), 0.5), PriceShift(DAY, 2)
    alone = dict(order_files(replace(SMALL, drifts=(first,))))
    # In whatever order they are given.
    both = dict(order_files(replace(SMALL, drifts=(later, first))))
    assert all(alone[day] == both[day] for day in alone if day < DAY)


def test_writing_goes_on_from_a_day(tmp_path: Path) -> None:
    shop = replace(SMALL, renewal=0.02, drifts=DRIFTS)
    whole = {path.name: path.read_bytes() for path in write_orders(shop, tmp_path / "whole")}
    write_orders(replace(shop, days=60), tmp_path / "parts")
    later = write_orders(shop, tmp_path / "parts", first_day=date(2024, 3, 1))
    assert later[0].name == "2024-03-01.csv"
    parts = {path.name: path.read_bytes() for path in (tmp_path / "parts").iterdir()}
    assert parts == whole


def test_as_many_customers_shift_as_the_strength_says() -> None:
    plain = bought_before(rows(SMALL))
    shifted = bought_before(rows(replace(SMALL, drifts=(TasteShift(DAY, 0.25),))))
    changed = {customer for customer in plain if plain[customer] != shifted[customer]}
    # Others keep their taste; an exact tie of a shifted customer is unlikely.
    assert 0.15 * len(plain) < len(changed) <= 0.25 * 80
    assert fmean(shifted[c] for c in changed) < 0.6 * fmean(plain[c] for c in changed)


def test_a_stronger_shift_is_a_weaker_one_and_more() -> None:
    plain = bought_before(rows(SMALL))
    weak, strong = (
        {
            customer
            for customer, share in bought_before(
                rows(replace(SMALL, drifts=(TasteShift(DAY, strength),)))
            ).items()
            if share != plain[customer]
        }
        for strength in (0.2, 0.6)
    )
    assert weak < strong


def test_a_shift_of_nobody_changes_nothing() -> None:
    assert rows(replace(SMALL, drifts=(TasteShift(DAY, 0),))) == rows(SMALL)


def test_prices_are_multiplied_and_nothing_else() -> None:
    factor = 1.5
    plain, shifted = rows(SMALL), rows(replace(SMALL, drifts=(PriceShift(DAY, factor),)))
    for before, after in zip(plain, shifted, strict=True):
        rate = factor if before["InvoiceDate"] >= DAY.isoformat() else 1
        assert float(after["UnitPrice"]) == pytest.approx(
            float(before["UnitPrice"]) * rate, abs=0.0051
        )
        assert after | {"UnitPrice": ""} == before | {"UnitPrice": ""}


def test_products_that_arrive_after_a_price_shift_have_its_prices() -> None:
    shop = replace(SMALL, renewal=0.2, products=200)
    plain, shifted = rows(shop), rows(replace(shop, drifts=(PriceShift(date(2024, 1, 2), 3),)))
    late = [row for row in plain if row["InvoiceDate"] >= "2024-03-10"]
    late_shifted = [row for row in shifted if row["InvoiceDate"] >= "2024-03-10"]
    ratio = median(float(row["UnitPrice"]) for row in late_shifted) / median(
        float(row["UnitPrice"]) for row in late
    )
    assert ratio == pytest.approx(3, rel=0.05)


def test_a_new_category_is_bought_from_its_day_on() -> None:
    plain = {row["StockCode"] for row in rows(SMALL)}
    early, late = split(rows(replace(SMALL, drifts=(NewCategory(DAY, 15, 0.2),))))
    assert {row["StockCode"] for row in early} <= plain
    new = [row for row in late if row["StockCode"] not in plain]
    assert len({row["StockCode"] for row in new}) == 15
    assert 0.15 < len(new) / len(late) < 0.6
    # By many, not by a few who can't have enough of it.
    assert len({row["CustomerID"] for row in new}) > 50
    assert len({row["Description"].split(" ", 2)[2] for row in new}) == 1


def test_a_new_assortment_replaces_its_share_of_the_products_at_once() -> None:
    early, late = split(rows(replace(SMALL, drifts=(NewAssortment(DAY, 0.3),))))
    before, after = ({row["StockCode"] for row in part} for part in (early, late))
    assert len(after - before) == len(before - after) == pytest.approx(0.3 * 80, abs=10)
    kinds = [{row["Description"].split(" ", 2)[2] for row in part} for part in (early, late)]
    assert kinds[0] == kinds[1]


def test_products_leave_and_others_come_at_their_rate() -> None:
    shop = replace(SMALL, renewal=0.03, days=150)
    read = rows(shop)
    sold: dict[str, list[str]] = defaultdict(list)
    for row in read:
        sold[row["StockCode"]].append(row["InvoiceDate"][:10])
    gone = sum(days[-1] < "2024-04-01" for days in sold.values())
    weeks = 21
    assert len(sold) == pytest.approx(80 + 80 * 0.03 * weeks, rel=0.2)
    assert gone > 80 * 0.03 * weeks * 0.3
    # A number is never given to a second product.
    called: dict[str, set[str]] = defaultdict(set)
    for row in read:
        called[row["StockCode"]].add(row["Description"])
    assert all(len(names) == 1 for names in called.values())


def test_renewal_changes_the_assortment_and_not_its_kind() -> None:
    read = rows(Shop(days=240, customers=150, products=150, dirty_rate=0, renewal=0.03))
    quarters = [
        [row for row in read if first <= row["InvoiceDate"] < last]
        for first, last in (("2024-01-15", "2024-03-15"), ("2024-06-15", "2024-08-15"))
    ]
    products = [len({row["StockCode"] for row in quarter}) for quarter in quarters]
    prices = [fmean(math.log(float(row["UnitPrice"])) for row in quarter) for quarter in quarters]
    assert products[1] == pytest.approx(products[0], rel=0.1)
    assert prices[1] == pytest.approx(prices[0], abs=0.25)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TasteShift(DAY, 1.2), "strength"),
        (lambda: PriceShift(DAY, 0), "factor"),
        (lambda: NewCategory(DAY, products=0), "products"),
        (lambda: NewCategory(DAY, attraction=0), "attraction"),
        (lambda: NewAssortment(DAY, 1.1), "share"),
        (lambda: Shop(renewal=-0.1), "renewal"),
    ],
)
def test_a_change_that_can_not_be_is_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
