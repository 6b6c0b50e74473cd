"""One day's trade: who comes, what they buy, and what of it they will bring back."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from ops_platform.simulate.taste import VISITS_DRAWN, Customers, Stock

WEEKDAYS = (1.0, 1.1, 1.05, 1.2, 0.9, 0.0, 0.6)  # Monday to Sunday; closed on Saturdays
BEST_DAY = 325  # of the year: the presents for Christmas are bought in late November
GUESTS_A_CUSTOMER = 0.016  # on an average trading day
RETURN_RATE = 0.02
SAME_DAY_RETURNS = 0.4
LONGEST_RETURN = 20  # days
DUPLICATE_RATE = 0.005
POSTAGE_RATE = 0.6
PIECES = (1, 2, 3, 4, 6, 8, 12, 24)
PIECES_SHARE = (0.28, 0.18, 0.08, 0.10, 0.14, 0.05, 0.13, 0.04)


@dataclass(frozen=True)
class Line:
    """One order line; a price in pounds sterling a piece, a negative quantity takes back."""

    code: str
    description: str
    quantity: int
    price: float


@dataclass(frozen=True)
class Order:
    """One invoice without its number; `minute` is after midnight, `customer` None for a guest."""

    minute: int
    customer: int | None
    country: str
    lines: tuple[Line, ...]
    cancels: bool = False


@dataclass(frozen=True)
class Hours:
    """A trading day on two clocks: the calendar's, and the shop's own in average trading days."""

    index: int  # days after the shop's start
    day: date
    opens: float
    closes: float


def season(day: date, peak: float | np.ndarray) -> float | np.ndarray:
    """Where the day stands in a yearly season: 1 on its peak (day of the year), -1 opposite."""
    return np.cos(2 * np.pi * (day.timetuple().tm_yday - peak) / 365.25)


def busyness(day: date) -> float:
    """How much trade the calendar brings, in average trading days; 0 when the shop is closed."""
    return float(WEEKDAYS[day.weekday()] * (1 + 0.4 * season(day, BEST_DAY)))


def visitors(customers: Customers, hours: Hours) -> np.ndarray:
    """Who comes on that day: positions of customers, ascending.

    A customer's n-th visit falls into the n-th span of their own pace, somewhat late in it. As the
    spans are laid on the shop's own clock, a busy day is a long one and brings more of them, and
    nothing of the days before has to be known.
    """
    opens = hours.opens / customers.pace + customers.phase
    closes = hours.closes / customers.pace + customers.phase
    comes = np.zeros(len(customers.pace), dtype=bool)
    for span in (np.floor(opens), np.floor(closes)):
        late = customers.lateness[span.astype(int) % VISITS_DRAWN, np.arange(len(comes))]
        comes |= (opens <= span + late) & (span + late < closes)
    return np.flatnonzero(comes & (customers.joined <= hours.index))


def purchases(
    rng: np.random.Generator, stock: Stock, customers: Customers, hours: Hours
) -> list[Order]:
    """The orders of one day, customers' first, then guests': the same for the same generator."""
    known = visitors(customers, hours)
    # A guest shops like some customer, without saying who.
    n_guests = rng.poisson(GUESTS_A_CUSTOMER * len(customers.pace) * (hours.closes - hours.opens))
    likes = np.concatenate([known, rng.integers(0, len(customers.pace), n_guests)])
    sizes = 1 + rng.poisson(customers.basket[likes])
    minutes = rng.triangular(8 * 60, 12.5 * 60, 18 * 60, len(likes)).astype(int)
    in_season = (stock.swing * season(hours.day, stock.peak))[stock.group]
    # The largest k of log weight plus Gumbel noise are a draw of k without replacement.
    wanted = customers.liking[likes] + in_season + rng.gumbel(size=(len(likes), len(stock.codes)))
    ranked = np.argsort(-wanted, axis=1)
    return [
        Order(
            minute=int(minutes[i]),
            customer=int(likes[i]) if i < len(known) else None,
            country=customers.countries[likes[i]],
            lines=tuple(_basket(rng, stock, ranked[i, : sizes[i]], customers.countries[likes[i]])),
        )
        for i in range(len(likes))
    ]


def _basket(
    rng: np.random.Generator, stock: Stock, products: np.ndarray, country: str
) -> Iterator[Line]:
    pieces = rng.choice(PIECES, len(products), p=PIECES_SHARE)
    twice = rng.random(len(products)) < DUPLICATE_RATE
    for product, quantity, again in zip(products, pieces, twice, strict=True):
        line = Line(
            stock.codes[product],
            stock.descriptions[product],
            int(quantity),
            float(stock.prices[product]),
        )
        yield line
        if again:
            yield line
    if country != "United Kingdom" and rng.random() < POSTAGE_RATE:
        yield Line("POST", "POSTAGE", int(rng.integers(1, 4)), 18.0)


def returns(rng: np.random.Generator, orders: list[Order]) -> Iterator[tuple[int, Order]]:
    """What customers will bring back of these orders: days until then, and the cancellation."""
    for order in orders:
        brought = rng.random(len(order.lines)) < RETURN_RATE
        # Guests have no number that a cancellation could be booked on; nobody sends postage back.
        lines = [
            replace(line, quantity=-int(rng.integers(1, line.quantity + 1)))
            for line, back in zip(order.lines, brought, strict=True)
            if back and order.customer is not None and line.code != "POST"
        ]
        if lines:
            later = int(rng.integers(1, LONGEST_RETURN + 1))
            days = 0 if rng.random() < SAME_DAY_RETURNS else later
            minute = order.minute + int(rng.integers(1, 60))
            yield days, replace(order, minute=minute, lines=tuple(lines), cancels=True)
