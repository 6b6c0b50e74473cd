"""The shop's parameters, and its order files: one CSV a trading day, as the real shop exports."""

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import partial
from pathlib import Path

import numpy as np

from ops_platform.simulate.change import Drift, World, renewed
from ops_platform.simulate.taste import draw_customers, draw_stock
from ops_platform.simulate.trade import Hours, Order, busyness, purchases, returns

HEADER = (
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
)
FIRST_INVOICE = 536_365
FIRST_CUSTOMER = 12_346

# What a line is spoilt with: each breaks the orders' contract in a way of its own.
FAULTS = (
    ("Quantity", "abc"),
    ("InvoiceNo", ""),
    ("InvoiceDate", "2024-02-31 25:61:00"),
    ("UnitPrice", "-1.0"),
)

# Second words of the seeds, so that no two generators of a shop are the same one. None is 0: numpy
# pads a seed with zeros, and [seed] would be [seed, 0].
WORLD, TRADE, DIRT, RENEWAL, DRIFT, CATALOG, PEOPLE, VISITS = 1, 2, 3, 4, 5, 6, 7, 8
RENEWAL_DAYS = 7


@dataclass(frozen=True)
class Shop:
    """A simulated gift shop: all that its files depend on; raises ValueError for no shop at all.

    `start` is its first day and `days` counts calendar days from there, Saturdays among them;
    `customers` and `products` count those with a number of their own; `dirty_rate` is the number
    of spoilt rows that are added, as a share of the good ones, 0 to 1; `renewal` is the share of
    the products that others take the place of each week. Without `drifts` the shop stays the same
    in kind, and the files of the days before a drift are the same with and without it.
    """

    seed: int = 0
    start: date = date(2024, 1, 1)
    days: int = 120
    customers: int = 400
    products: int = 300
    dirty_rate: float = 0.0005
    renewal: float = 0.01
    drifts: tuple[Drift, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what can't be simulated."""
        for name, least in (("seed", 0), ("days", 0), ("customers", 1), ("products", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}")
        for name, share in (("dirty_rate", self.dirty_rate), ("renewal", self.renewal)):
            if not 0 <= share <= 1:
                raise ValueError(f"{name} must be from 0 to 1, not {share}")


def write_orders(shop: Shop, folder: Path, first_day: date | None = None) -> list[Path]:
    """Write one CSV a trading day, `YYYY-MM-DD.csv`, and return their paths in order of the days.

    The same shop gives the same bytes, and more `days` leave the earlier files as they are. With
    `first_day` only the files from that day on are written. Raises OSError when the folder can't
    be made or written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for day, content in order_files(shop):
        if first_day is not None and day < first_day:
            continue
        path = folder / f"{day.isoformat()}.csv"
        # Whoever lists the folder meanwhile sees a whole file or none.
        aside = path.with_suffix(".csv.part")
        aside.write_bytes(content)
        aside.replace(path)
        paths.append(path)
    return paths


def order_files(shop: Shop) -> Iterator[tuple[date, bytes]]:
    """Each trading day with the content of its CSV, made when it is asked for."""
    for day in trading_days(shop):
        yield day.hours.day, order_file(shop, day)


@dataclass(frozen=True)
class TradingDay:
    """What happens on a day that the shop is open: its orders by the minute, and what is sold.

    The first order's invoice has the number `first_number`, the next the one after, and so on.
    """

    hours: Hours
    world: World
    orders: list[Order]
    first_number: int


def order_file(shop: Shop, day: TradingDay) -> bytes:
    """The content of a trading day's CSV."""
    rows = [
        row
        for number, order in enumerate(day.orders, start=day.first_number)
        for row in _rows(order, number, day.hours.day)
    ]
    dirt = np.random.default_rng([shop.seed, DIRT, day.hours.index])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(
        [HEADER, *_with_dirt(dirt, rows, shop.dirty_rate)]
    )
    return text.getvalue().encode()


def trading_days(shop: Shop) -> Iterator[TradingDay]:
    """Each day that the shop is open, made when it is asked for."""
    # Carried from day to day: the world, the next invoice number, and what comes back.
    changes = _changes(shop)
    world = first_world(shop)
    number = FIRST_INVOICE
    awaited: dict[int, list[Order]] = defaultdict(list)
    for hours in _open_hours(shop):
        while changes and changes[0][0] <= hours.index:
            world = changes.pop(0)[1](world)
        rng = np.random.default_rng([shop.seed, TRADE, hours.index])
        orders = purchases(rng, world.stock, world.customers, hours)
        for days, order in returns(rng, orders):
            awaited[_next_open(shop.start, hours.index + days)].append(order)
        orders = sorted(orders + awaited.pop(hours.index, []), key=lambda order: order.minute)
        yield TradingDay(hours, world, orders, number)
        number += len(orders)


def first_world(shop: Shop) -> World:
    """The shop as it is before its first day."""
    rng = np.random.default_rng([shop.seed, WORLD])
    stock = draw_stock(rng, shop.products)
    return World(stock, draw_customers(rng, shop.customers, stock))


def _changes(shop: Shop) -> list[tuple[int, Callable[[World], World]]]:
    """What changes the world on which day after the start, in order."""
    changes: list[tuple[int, Callable[[World], World]]] = []
    for index in range(RENEWAL_DAYS, shop.days, RENEWAL_DAYS):
        rng = np.random.default_rng([shop.seed, RENEWAL, index])
        changes.append((index, partial(renewed, rng=rng, share=shop.renewal)))
    for place, drift in enumerate(sorted(shop.drifts, key=lambda drift: drift.day)):
        rng = np.random.default_rng([shop.seed, DRIFT, place])
        changes.append(((drift.day - shop.start).days, partial(drift.change, rng=rng)))
    return sorted(changes, key=lambda change: change[0])


def _open_hours(shop: Shop) -> Iterator[Hours]:
    clock = 0.0
    for index in range(shop.days):
        day = shop.start + timedelta(days=index)
        length = busyness(day)
        if length:
            yield Hours(index, day, clock, clock + length)
        clock += length


def _next_open(start: date, index: int) -> int:
    while not busyness(start + timedelta(days=index)):
        index += 1
    return index


def _rows(order: Order, number: int, day: date) -> Iterator[list[str]]:
    written = datetime.combine(day, time()) + timedelta(minutes=order.minute)
    # The real export writes the number as a decimal.
    customer = "" if order.customer is None else f"{FIRST_CUSTOMER + order.customer}.0"
    for line in order.lines:
        yield [
            f"C{number}" if order.cancels else str(number),
            line.code,
            line.description,
            str(line.quantity),
            str(written),
            str(line.price),
            customer,
            order.country,
        ]


def _with_dirt(rng: np.random.Generator, rows: list[list[str]], rate: float) -> list[list[str]]:
    # Spoilt rows are added and no good one is lost, so that what is left after quarantine is the
    # same at every rate.
    dirty = []
    for row, spoilt in zip(rows, rng.random(len(rows)) < rate, strict=True):
        dirty.append(row)
        if spoilt:
            column, value = FAULTS[rng.integers(len(FAULTS))]
            broken = row.copy()
            broken[HEADER.index(column)] = value
            dirty.append(broken)
    return dirty
