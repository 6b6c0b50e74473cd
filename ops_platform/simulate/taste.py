"""What the shop sells and who buys there, as it is drawn; `change.py` lets it change by the day."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# One kind of thing is one product group: what customers have a taste for, and what has a season.
THINGS = (
    "T-LIGHT HOLDER",
    "JUMBO BAG",
    "CAKE TINS, SET OF 3",
    "LUNCH BOX",
    "ALARM CLOCK",
    "PAPER CHAIN KIT",
    "HOT WATER BOTTLE",
    "TEA TOWEL",
    "PICTURE FRAME",
    "CHILDREN'S APRON",
    "BIRD ORNAMENT",
    "GARDEN KNEELING PAD",
    "DOORMAT",
    "WRITING SET",
    "WALL SIGN",
    "COFFEE MUG",
    "CUSHION COVER",
    "STORAGE JAR",
    "WRAPPING PAPER",
    "JEWELLERY BOX",
)
COLOURS = ("RED", "WHITE", "PINK", "BLUE", "CREAM", "GREEN", "IVORY", "BLACK", "SILVER")
PATTERNS = ("RETROSPOT", "HEART", "VINTAGE", "PAISLEY", "WOODLAND", "REGENCY", "STAR", "SKULL")
COUNTRIES = ("United Kingdom", "Germany", "France", "EIRE", "Netherlands", "Spain")
COUNTRY_SHARE = (0.88, 0.04, 0.04, 0.02, 0.01, 0.01)

VISITS_DRAWN = 64  # after so many visits a customer's early and late ones repeat


@dataclass(frozen=True)
class Stock:
    """What can be bought, one entry a product; a group's season is in days of the year."""

    codes: tuple[str, ...]
    descriptions: tuple[str, ...]
    prices: np.ndarray  # pounds sterling a piece
    appeal: np.ndarray  # log weight with the average customer
    group: np.ndarray
    peak: np.ndarray  # the group's best day of the year, 1 to 365
    swing: np.ndarray  # log weight that the group gains then, and loses half a year later
    things: tuple[str, ...]  # what the products of each group are
    unused: np.ndarray  # product numbers that have never been given out
    price_factor: float = 1.0  # on the prices of products that are still to come


@dataclass(frozen=True)
class Customers:
    """Who has a customer number, one entry a customer; time is in average trading days."""

    countries: tuple[str, ...]
    taste: np.ndarray  # share of each group in what is liked: (n_customers, n_groups)
    liking: np.ndarray  # log weight of each product: (n_customers, n_products)
    pace: np.ndarray  # from one visit to the next
    phase: np.ndarray  # which part of that time has gone by at the start, 0 to 1
    lateness: np.ndarray  # of each visit, as a part of the pace: (VISITS_DRAWN, n_customers)
    joined: np.ndarray  # days after the shop's start, before which the customer never comes
    basket: np.ndarray  # average number of products in an order, less one


@dataclass(frozen=True)
class Products:
    """Products that have just been drawn, one entry each; fields as in Stock."""

    codes: tuple[str, ...]
    descriptions: tuple[str, ...]
    prices: np.ndarray
    appeal: np.ndarray
    numbers: np.ndarray  # that their codes begin with


def draw_products(
    rng: np.random.Generator, things: Sequence[str], unused: np.ndarray, price_factor: float = 1.0
) -> Products:
    """Draw one product for each of `things`; raises ValueError when the numbers run out."""
    count = len(things)
    numbers = rng.choice(unused, count, replace=False)
    letters = np.where(rng.random(count) < 0.2, rng.choice(list("ABCD"), count), "")
    colours = rng.choice(COLOURS, count)
    patterns = rng.choice(PATTERNS, count)
    prices = np.maximum(np.round(rng.lognormal(0.9, 0.8, count) * 20), 4) / 20
    return Products(
        codes=tuple(f"{number}{letter}" for number, letter in zip(numbers, letters, strict=True)),
        descriptions=tuple(
            f"{colour} {pattern} {thing}"
            for colour, pattern, thing in zip(colours, patterns, things, strict=True)
        ),
        prices=pounds(prices * price_factor),
        appeal=rng.normal(0, 0.8, count),
        numbers=numbers,
    )


def pounds(prices: np.ndarray) -> np.ndarray:
    """Prices as they can be written: in whole pence, at least one."""
    return np.maximum(np.round(prices, 2), 0.01)


def draw_stock(rng: np.random.Generator, n_products: int) -> Stock:
    """Draw the products, in groups of about one size; raises ValueError above 70,000 products."""
    group = np.arange(n_products) % len(THINGS)
    numbers = np.arange(20_000, 90_000)
    drawn = draw_products(rng, [THINGS[of] for of in group], numbers)
    return Stock(
        codes=drawn.codes,
        descriptions=drawn.descriptions,
        prices=drawn.prices,
        appeal=drawn.appeal,
        group=group,
        peak=rng.uniform(1, 366, len(THINGS)),
        swing=rng.uniform(0, 0.8, len(THINGS)),
        things=THINGS,
        unused=np.setdiff1d(numbers, drawn.numbers),
    )


def draw_taste(rng: np.random.Generator, n_customers: int, n_groups: int) -> np.ndarray:
    """Draw the share of each group in what each customer likes: (n_customers, n_groups)."""
    return rng.dirichlet(np.full(n_groups, 0.15), n_customers)


def draw_liking(
    rng: np.random.Generator, taste: np.ndarray, appeal: np.ndarray, group: np.ndarray
) -> np.ndarray:
    """Draw how much customers like products, given their appeal and group: a log weight each."""
    own = rng.normal(0, 1.2, (len(taste), len(group)))
    # The addend lets everybody buy from every group now and then, at a present, say.
    return np.asarray(appeal + np.log(taste[:, group] + 0.004) + own)


def draw_customers(rng: np.random.Generator, n_customers: int, stock: Stock) -> Customers:
    """Draw the customers: each likes a few groups, and some products more than their group."""
    taste = draw_taste(rng, n_customers, len(stock.things))
    liking = draw_liking(rng, taste, stock.appeal, stock.group)
    newcomer = rng.random(n_customers) < 0.3
    return Customers(
        countries=tuple(rng.choice(COUNTRIES, n_customers, p=COUNTRY_SHARE).tolist()),
        taste=taste,
        liking=liking,
        # At least 3: a customer comes once a day at most, on the busiest day too.
        pace=np.maximum(rng.lognormal(np.log(11), 0.6, n_customers), 3),
        phase=rng.random(n_customers),
        lateness=rng.random((VISITS_DRAWN, n_customers)),
        joined=np.where(newcomer, rng.exponential(90, n_customers), 0),
        basket=rng.lognormal(np.log(10), 0.5, n_customers),
    )
