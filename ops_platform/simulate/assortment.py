"""The shop's catalog as its product system exports it: JSON lines, a file when products are new."""

import json
from datetime import timedelta

import numpy as np

from ops_platform.simulate.shop import CATALOG, Shop, TradingDay

LONGEST_SOLD = 700  # days before the shop's start

# What an entry is spoilt with: each breaks the products' contract in a way of its own.
FAULTS: tuple[tuple[str, object], ...] = (
    ("price", "twelve"),
    ("price", -1.0),
    ("sku", None),
    ("introduced_on", "2024-02-31"),
)


def product_file(shop: Shop, day: TradingDay, known: set[str]) -> bytes:
    """The lines that tell of the day's products that are not among the `known` codes.

    So a product stands in one file, that of its introduction, at the price that it then has; those
    of the first day have been sold before.
    """
    stock = day.world.stock
    new = [place for place, code in enumerate(stock.codes) if code not in known]
    rng = np.random.default_rng([shop.seed, CATALOG, day.hours.index])
    ages = np.zeros(len(new)) if known else rng.integers(1, LONGEST_SOLD, len(new))
    entries = [
        {
            "sku": stock.codes[place],
            "title": stock.descriptions[place].capitalize(),
            "category": stock.things[stock.group[place]].capitalize(),
            "price": float(stock.prices[place]),
            "introduced_on": str(day.hours.day - timedelta(days=int(age))),
        }
        for place, age in zip(new, ages, strict=True)
    ]
    return _lines(rng, shop.dirty_rate, entries)


def _lines(rng: np.random.Generator, rate: float, entries: list[dict[str, object]]) -> bytes:
    lines = []
    for entry, spoilt in zip(entries, rng.random(len(entries)) < rate, strict=True):
        lines.append(entry)
        if spoilt:
            lines.append(entry | dict([FAULTS[rng.integers(len(FAULTS))]]))
    return "".join(json.dumps(line) + "\n" for line in lines).encode()
