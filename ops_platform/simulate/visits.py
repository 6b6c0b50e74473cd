"""What customers do on the shop's pages before they buy, or without: a Parquet file a day."""

import io
from datetime import datetime, time, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ops_platform.simulate.shop import FIRST_CUSTOMER, VISITS, Shop, TradingDay

LONGEST_SESSION = 1500  # seconds from the first look at a product to its purchase
LOOKS_IN_VAIN = 0.8  # of products that are looked at and not bought, for each that is bought
LEFT_IN_CART = 0.15  # of these
SCHEMA = pa.schema(
    {
        "customer": pa.string(),
        "product": pa.string(),
        "kind": pa.string(),
        "at": pa.timestamp("us"),
    }
)

# What an event is spoilt with: each breaks the events' contract in a way of its own.
FAULTS = (("kind", "swiped"), ("product", None), ("at", None))

Event = dict[str, Any]


def event_file(shop: Shop, day: TradingDay) -> bytes:
    """The events of a trading day, by time: a session before each order that is no cancellation."""
    rng = np.random.default_rng([shop.seed, VISITS, day.hours.index])
    events = [
        event for order in day.orders if not order.cancels for event in _session(rng, day, order)
    ]
    events.sort(key=lambda event: event["at"])
    dirty = []
    for event, spoilt in zip(events, rng.random(len(events)) < shop.dirty_rate, strict=True):
        dirty.append(event)
        if spoilt:
            dirty.append(event | dict([FAULTS[rng.integers(len(FAULTS))]]))
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(dirty, SCHEMA), file)
    return file.getvalue()


def _session(rng: np.random.Generator, day: TradingDay, order: Any) -> list[Event]:
    bought = list(dict.fromkeys(line.code for line in order.lines if line.code != "POST"))
    in_vain = rng.choice(day.world.stock.codes, rng.poisson(LOOKS_IN_VAIN * len(bought))).tolist()
    ends = datetime.combine(day.hours.day, time()) + timedelta(minutes=order.minute)
    customer = None if order.customer is None else str(FIRST_CUSTOMER + order.customer)
    # Each product is looked at, then put into the cart, in the half of the session after that.
    looks = rng.integers(2, LONGEST_SESSION, len(bought) + len(in_vain)).tolist()
    carts = rng.random(len(in_vain)) < LEFT_IN_CART
    steps = [(code, "purchase", 0) for code in bought]
    for place, code in enumerate([*bought, *in_vain]):
        steps.append((code, "view", looks[place]))
        if place < len(bought) or carts[place - len(bought)]:
            steps.append((code, "cart", looks[place] // 2))
    return [
        {
            "customer": customer,
            "product": code,
            "kind": kind,
            "at": ends - timedelta(seconds=before),
        }
        for code, kind, before in steps
    ]
