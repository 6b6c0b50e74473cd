"""The simulated shop: files in the real shape, the same each time, with something to learn in."""

import csv
import re
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pytest

from ops_platform.simulate.shop import Shop, write_orders

REAL_HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
SMALL = Shop(days=40, customers=60, products=80, dirty_rate=0)

Row = dict[str, str]


def read(paths: list[Path]) -> list[Row]:
    rows = []
    for path in paths:
        with path.open(newline="", encoding="utf-8") as file:
            rows += list(csv.DictReader(file))
    return rows


def content(paths: list[Path]) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in paths}


def is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def breaks_the_contract(row: Row) -> bool:
    return not (
        is_time(row["InvoiceDate"])
        and re.fullmatch(r"-?\d+", row["Quantity"])
        and re.fullmatch(r"C?\d+", row["InvoiceNo"])
        and float(row["UnitPrice"]) >= 0
    )


def is_purchase(row: Row) -> bool:
    return not row["InvoiceNo"].startswith("C") and row["StockCode"] != "POST"


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """The clean lines of the default shop, in the order of the files."""
    return read(write_orders(Shop(dirty_rate=0), tmp_path_factory.mktemp("orders")))


def test_same_shop_same_bytes(tmp_path: Path) -> None:
    shop = replace(SMALL, dirty_rate=0.05)
    first = content(write_orders(shop, tmp_path / "first"))
    assert content(write_orders(shop, tmp_path / "second")) == first
    assert content(write_orders(shop, tmp_path / "first")) == first


def test_seeds_differ_on_every_day(tmp_path: Path) -> None:
    paths = write_orders(SMALL, tmp_path / "one")
    other_paths = write_orders(replace(SMALL, seed=1), tmp_path / "other")
    one, other = content(paths), content(other_paths)
    assert one.keys() == other.keys()
    assert all(one[name] != other[name] for name in one)
    codes, other_codes = ({row["StockCode"] for row in read(x)} for x in (paths, other_paths))
    assert len(codes & other_codes) < len(codes) / 10


def test_more_days_leave_the_earlier_files_as_they_are(tmp_path: Path) -> None:
    short = replace(SMALL, days=30, dirty_rate=0.05)
    first = content(write_orders(short, tmp_path / "short"))
    longer = content(write_orders(replace(short, days=60), tmp_path / "longer"))
    assert len(longer) > len(first) > 20
    assert first == {name: longer[name] for name in first}


def test_files_are_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    paths = write_orders(SMALL, tmp_path)
    assert sorted(tmp_path.iterdir()) == paths
    assert all(path.read_text(encoding="utf-8").splitlines()[0] == REAL_HEADER for path in paths)
    assert all(path.read_bytes().endswith(b"\n") for path in paths)
    assert not any(b"\r" in path.read_bytes() for path in paths)


def test_a_file_a_day_but_saturdays(tmp_path: Path) -> None:
    paths = write_orders(Shop(days=14, customers=5, products=20), tmp_path)
    days = [date.fromisoformat(path.stem) for path in paths]
    assert [day.day for day in days] == [1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 14]
    for path in paths:
        assert all(row["InvoiceDate"].startswith(path.stem) for row in read([path]))


def test_fields_are_written_as_in_the_real_files(orders: list[Row]) -> None:
    shapes = {
        "InvoiceNo": r"C?\d{6}",
        "StockCode": r"\d{5}[A-Z]?|POST",
        "Description": r"[A-Z',\- 0-9]+",
        "Quantity": r"-?[1-9]\d*",
        "InvoiceDate": r"2024-\d\d-\d\d \d\d:\d\d:00",
        "UnitPrice": r"\d+\.\d{1,2}",
        "CustomerID": r"(\d{5}\.0)?",
        "Country": r"[A-Za-z ]+",
    }
    for column, shape in shapes.items():
        wrong = [row[column] for row in orders if not re.fullmatch(shape, row[column])]
        assert wrong == [], column
    assert any("," in row["Description"] for row in orders)
    assert any(row["StockCode"][-1].isalpha() for row in orders if row["StockCode"] != "POST")


def test_an_invoice_is_one_customers_at_one_time(orders: list[Row]) -> None:
    heads = {
        (row["InvoiceNo"], row["InvoiceDate"], row["CustomerID"], row["Country"]) for row in orders
    }
    numbers = [number for number, *_ in sorted(heads, key=lambda head: head[0].lstrip("C"))]
    assert len(numbers) == len(set(numbers))
    assert [int(number.lstrip("C")) for number in numbers] == list(
        range(536365, 536365 + len(numbers))
    )


def test_postage_is_paid_from_abroad_only(orders: list[Row]) -> None:
    countries = {row["Country"] for row in orders if row["StockCode"] == "POST"}
    assert countries
    assert "United Kingdom" not in countries
    assert all(int(row["Quantity"]) > 0 for row in orders if row["StockCode"] == "POST")


def test_some_buy_as_guests(orders: list[Row]) -> None:
    share = sum(row["CustomerID"] == "" for row in orders) / len(orders)
    assert 0.05 < share < 0.4
    thursdays: dict[date, set[str]] = defaultdict(set)
    for row in orders:
        day = datetime.fromisoformat(row["InvoiceDate"]).date()
        if row["CustomerID"] == "" and day.weekday() == 3:
            thursdays[day].add(row["InvoiceNo"])
    # Trade falls from Thursday to Thursday until spring; were chance the same each day, so would
    # these.
    counts = [len(invoices) for _, invoices in sorted(thursdays.items())]
    assert counts != sorted(counts, reverse=True)


def test_some_lines_stand_twice(orders: list[Row]) -> None:
    lines = Counter(tuple(row.values()) for row in orders)
    share = sum(count - 1 for count in lines.values()) / len(orders)
    assert 0.001 < share < 0.01
    assert max(lines.values()) == 2


def test_cancellations_take_back_what_the_customer_bought_before(orders: list[Row]) -> None:
    bought: dict[tuple[str, str], int] = defaultdict(int)
    last: dict[tuple[str, str], str] = {}
    same_day = 0
    later: Counter[int] = Counter()
    # The files' own order is the order of time, so what was bought before has been seen.
    for row in orders:
        key = row["CustomerID"], row["StockCode"]
        if row["InvoiceNo"].startswith("C"):
            assert row["CustomerID"] != ""
            assert int(row["Quantity"]) < 0
            bought[key] += int(row["Quantity"])
            assert bought[key] >= 0
            assert last[key] <= row["InvoiceDate"]
            if last[key][:10] == row["InvoiceDate"][:10]:
                same_day += 1
            else:
                later[datetime.fromisoformat(row["InvoiceDate"]).weekday()] += 1
        else:
            assert int(row["Quantity"]) > 0
            bought[key] += int(row["Quantity"])
            last[key] = row["InvoiceDate"]
    assert 0.3 < same_day / (same_day + later.total()) < 0.6
    # What was due on a closed Saturday is brought on Sunday.
    assert later[6] > 1.4 * later.total() / 6


def test_dirty_rows_are_added_at_their_rate(tmp_path: Path) -> None:
    shop = Shop(days=60, customers=100, products=100, dirty_rate=0.02)
    clean = read(write_orders(replace(shop, dirty_rate=0), tmp_path / "clean"))
    dirty = read(write_orders(shop, tmp_path / "dirty"))
    broken = [row for row in dirty if breaks_the_contract(row)]
    assert [row for row in dirty if not breaks_the_contract(row)] == clean
    assert len(broken) == pytest.approx(0.02 * len(clean), rel=0.3)
    assert any(row["Quantity"] == "abc" for row in broken)
    assert any(row["InvoiceNo"] == "" for row in broken)
    assert any(float(row["UnitPrice"]) < 0 for row in broken)
    assert any(not is_time(row["InvoiceDate"]) for row in broken)


def test_the_default_shop_is_a_little_dirty(tmp_path: Path) -> None:
    rows = read(write_orders(Shop(), tmp_path))
    assert 40_000 < len(rows) < 60_000
    months = Counter(row["InvoiceDate"][:7] for row in rows if not breaks_the_contract(row))
    assert sorted(months) == ["2024-01", "2024-02", "2024-03", "2024-04"]
    assert 10 <= sum(map(breaks_the_contract, rows)) <= 45


def test_weekdays_and_the_season_move_trade(tmp_path: Path) -> None:
    paths = write_orders(Shop(days=500, customers=60, products=60), tmp_path)
    lines = {date.fromisoformat(path.stem): len(read([path])) for path in paths}
    sundays = [count for day, count in lines.items() if day.weekday() == 6]
    thursdays = [count for day, count in lines.items() if day.weekday() == 3]
    assert sum(thursdays) > 1.4 * sum(sundays)
    # The spring after, so that customers who joined late can't be what makes November larger.
    november = sum(count for day, count in lines.items() if (day.year, day.month) == (2024, 11))
    april = sum(count for day, count in lines.items() if (day.year, day.month) == (2025, 4))
    assert november > 1.3 * april


def test_products_have_a_season_of_their_own(tmp_path: Path) -> None:
    paths = write_orders(Shop(days=366, customers=100, products=60), tmp_path)
    by_half: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for row in filter(is_purchase, read(paths)):
        thing = " ".join(row["Description"].split()[2:])
        by_half["2024-04" <= row["InvoiceDate"][:7] < "2024-10"][thing] += 1
    summer, winter = (
        {thing: count / half.total() for thing, count in half.items()}
        for half in (by_half[True], by_half[False])
    )
    ratios = [summer[thing] / winter[thing] for thing in winter]
    assert min(ratios) < 0.8
    assert max(ratios) > 1.25


def test_customers_keep_a_rhythm_of_their_own(orders: list[Row]) -> None:
    days: dict[str, set[date]] = defaultdict(set)
    for row in filter(is_purchase, orders):
        days[row["CustomerID"]].add(datetime.fromisoformat(row["InvoiceDate"]).date())
    halves = [
        (
            sum(day < date(2024, 3, 1) for day in customer_days),
            sum(day >= date(2024, 3, 1) for day in customer_days),
        )
        for customer, customer_days in days.items()
        if customer and min(customer_days) < date(2024, 1, 20)
    ]
    often = [later for early, later in halves if early >= 8]
    seldom = [later for early, later in halves if early <= 4]
    assert min(len(often), len(seldom)) >= 10
    assert sum(often) / len(often) > 2 * sum(seldom) / len(seldom)


@pytest.fixture(scope="module")
def before_and_after(orders: list[Row]) -> tuple[np.ndarray, np.ndarray]:
    """On how many days each customer bought each product until the last 20 days, and in these."""
    bought = {
        (row["CustomerID"], row["StockCode"], row["InvoiceDate"][:10])
        for row in orders
        if row["CustomerID"] and is_purchase(row)
    }
    customers = sorted({customer for customer, _, _ in bought})
    products = sorted({product for _, product, _ in bought})
    counts = np.zeros((2, len(customers), len(products)))
    for customer, product, day in bought:
        counts[int(day >= "2024-04-10"), customers.index(customer), products.index(product)] += 1
    seen_in_both = counts.any(axis=2).all(axis=0)
    before, after = counts[:, seen_in_both]
    return before, after


def hit_rate(score: np.ndarray, after: np.ndarray, k: int = 10) -> float:
    """Which part of each customer's k best scores was bought, over all customers."""
    best = np.argsort(-score, axis=1, kind="stable")[:, :k]
    return float((np.take_along_axis(after, best, axis=1) > 0).mean())


def ease(bought: np.ndarray, regularization: float = 50) -> np.ndarray:
    """Scores of the item-item model (Steck, 2019)."""
    inverse = np.linalg.inv(bought.T @ bought + regularization * np.eye(bought.shape[1]))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return np.asarray(bought @ weights)


def test_personal_frequency_foretells_better_than_popularity(
    before_and_after: tuple[np.ndarray, np.ndarray],
) -> None:
    before, after = before_and_after
    assert len(before) > 200
    popular = np.broadcast_to(before.sum(axis=0), before.shape)
    assert hit_rate(before, after) > 2.5 * hit_rate(popular, after)
    # Not by heart either: there is something left to recommend that was never bought.
    assert 0.1 < (after[before == 0] > 0).sum() / (after > 0).sum() < 0.6


def test_likeness_of_products_foretells_what_is_new_better_than_popularity(
    before_and_after: tuple[np.ndarray, np.ndarray],
) -> None:
    before, after = before_and_after
    popular = np.broadcast_to(before.sum(axis=0), before.shape)
    alike = ease((before > 0).astype(float))
    assert hit_rate(alike, after) > 1.5 * hit_rate(popular, after)
    new = after * (before == 0)
    unseen = [np.where(before == 0, score, -np.inf) for score in (alike, popular)]
    assert hit_rate(unseen[0], new) > 1.4 * hit_rate(unseen[1], new)


@pytest.mark.parametrize(
    "wrong", [{"customers": 0}, {"products": 0}, {"days": -1}, {"seed": -1}, {"dirty_rate": 1.5}]
)
def test_a_shop_that_can_not_be_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        Shop(**wrong)  # type: ignore[arg-type]
