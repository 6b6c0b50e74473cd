"""What the shop sells and who buys there: drawn once from the seed, unchanged by the days."""

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


@dataclass(frozen=True)
class Customers:
    """Who has a customer number, one entry a customer; time is in average trading days."""

    countries: tuple[str, ...]
    liking: np.ndarray  # log weight of each product: (n_customers, n_products)
    pace: np.ndarray  # from one visit to the next
    phase: np.ndarray  # which part of that time has gone by at the start, 0 to 1
    lateness: np.ndarray  # of each visit, as a part of the pace: (VISITS_DRAWN, n_customers)
    joined: np.ndarray  # days after the shop's start, before which the customer never comes
    basket: np.ndarray  # average number of products in an order, less one


def draw_stock(rng: np.random.Generator, n_products: int) -> Stock:
    """Draw the products, in groups of about one size; raises ValueError above 70,000 products."""
    group = np.arange(n_products) % len(THINGS)
    numbers = rng.choice(np.arange(20_000, 90_000), n_products, replace=False)
    letters = np.where(rng.random(n_products) < 0.2, rng.choice(list("ABCD"), n_products), "")
    colours = rng.choice(COLOURS, n_products)
    patterns = rng.choice(PATTERNS, n_products)
    return Stock(
        codes=tuple(f"{number}{letter}" for number, letter in zip(numbers, letters, strict=True)),
        descriptions=tuple(
            f"{colour} {pattern} {THINGS[of]}"
            for colour, pattern, of in zip(colours, patterns, group, strict=True)
        ),
        prices=np.maximum(np.round(rng.lognormal(0.9, 0.8, n_products) * 20), 4) / 20,
        appeal=rng.normal(0, 0.8, n_products),
        group=group,
        peak=rng.uniform(1, 366, len(THINGS)),
        swing=rng.uniform(0, 0.8, len(THINGS)),
    )


def draw_customers(rng: np.random.Generator, n_customers: int, stock: Stock) -> Customers:
    """Draw the customers: each likes a few groups, and some products more than their group."""
    taste = rng.dirichlet(np.full(len(THINGS), 0.15), n_customers)
    own = rng.normal(0, 1.2, (n_customers, len(stock.codes)))
    newcomer = rng.random(n_customers) < 0.3
    return Customers(
        countries=tuple(rng.choice(COUNTRIES, n_customers, p=COUNTRY_SHARE).tolist()),
        # The addend lets everybody buy from every group now and then, at a present, say.
        liking=stock.appeal + np.log(taste[:, stock.group] + 0.004) + own,
        # At least 3: a customer comes once a day at most, on the busiest day too.
        pace=np.maximum(rng.lognormal(np.log(11), 0.6, n_customers), 3),
        phase=rng.random(n_customers),
        lateness=rng.random((VISITS_DRAWN, n_customers)),
        joined=np.where(newcomer, rng.exponential(90, n_customers), 0),
        basket=rng.lognormal(np.log(10), 0.5, n_customers),
    )
