"""The shop's customer database: a SQLite file with all customers as they are on a day."""

import sqlite3
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from ops_platform.simulate.shop import FIRST_CUSTOMER, PEOPLE, Shop, first_world

TABLE = "customers"
FIRST_NAMES = (
    "Ada",
    "Ben",
    "Clara",
    "Dev",
    "Ewa",
    "Femi",
    "Gus",
    "Hana",
    "Ivo",
    "Jun",
    "Kai",
    "Lea",
)
LAST_NAMES = ("Abbott", "Baker", "Cole", "Dunn", "Ellis", "Frost", "Gray", "Hale", "Iyer", "Jones")
LONGEST_KNOWN = 900  # days before the shop's start
CHANGE_OF_MIND = 120  # days until a customer orders or cancels the newsletter, on average

# What a customer is spoilt with: each breaks the customers' contract in a way of its own.
FAULTS = (("customer_id", ""), ("joined_on", "31/02/2024"), ("newsletter", "perhaps"))
COLUMNS = ("customer_id", "name", "email", "country", "joined_on", "newsletter")


def write_customers(shop: Shop, file: Path, day: date) -> None:
    """Write the database as it is at the end of a day: whole, in place of the one before."""
    aside = file.with_suffix(".part")
    aside.unlink(missing_ok=True)
    database = sqlite3.connect(aside)
    with database:
        database.execute(
            f"CREATE TABLE {TABLE} (customer_id TEXT, name TEXT, email TEXT, country TEXT, "
            "joined_on DATE, newsletter INTEGER)"
        )
        database.executemany(
            f"INSERT INTO {TABLE} VALUES ({', '.join(['?'] * len(COLUMNS))})", _rows(shop, day)
        )
    database.close()
    aside.replace(file)


def _rows(shop: Shop, day: date) -> Iterator[tuple[object, ...]]:
    customers = first_world(shop).customers
    rng = np.random.default_rng([shop.seed, PEOPLE])
    count = len(customers.pace)
    # All is drawn for all of them, so that it is the same on each day.
    first, last = rng.choice(FIRST_NAMES, count), rng.choice(LAST_NAMES, count)
    known_for = rng.integers(1, LONGEST_KNOWN, count)
    wants, minds = rng.random(count) < 0.4, rng.exponential(CHANGE_OF_MIND, count)
    spoilt = rng.random(count) < shop.dirty_rate
    faults = rng.integers(len(FAULTS), size=count)
    now = (day - shop.start).days
    for n in range(count):
        if customers.joined[n] >= now + 1:
            continue
        # None comes before the day after this one.
        since = int(customers.joined[n]) if customers.joined[n] > 0 else -int(known_for[n])
        number = str(FIRST_CUSTOMER + n)
        row = {
            "customer_id": number,
            "name": f"{first[n]} {last[n]}",
            "email": f"{first[n]}.{last[n]}.{number}@example.org".lower(),
            "country": customers.countries[n],
            "joined_on": str(shop.start + timedelta(days=since)),
            "newsletter": int(wants[n] ^ (minds[n] <= now)),
        }
        yield tuple(row.values())
        if spoilt[n]:
            yield tuple((row | dict([FAULTS[faults[n]]])).values())
