"""int_cancellations_matched against a stack in plain Python: last in, first out."""

from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from decimal import Decimal

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

LINE = st.tuples(
    st.sampled_from(["ann", "bob", None]),
    st.sampled_from(["22423", "22424"]),
    st.sampled_from(["1", "2", "C3", "C4"]),
    st.integers(0, 8),
    st.integers(1, 6),
    st.sampled_from(["0", "1.5", "2"]),
    st.booleans(),
)


def event(customer, product, order, hours, quantity, price, is_purchase):
    """A purchase or a cancellation; six hours apart, so that some are on the same day."""
    at = datetime(2024, 1, 1) + timedelta(hours=6 * hours)
    number = order.lstrip("C") if is_purchase else "C" + order.lstrip("C")
    signed = quantity if is_purchase else -quantity
    return customer, product, number, at, at.date(), signed, Decimal(price), is_purchase


def by_stack(events) -> dict[tuple[str, str, date, date], tuple[int, Decimal]]:
    """What each cancellation takes from the top of what its customer holds of the product."""
    held = defaultdict(list)
    taken, amounts = Counter(), Counter()
    order = sorted(
        (one for one in events if one[0] is not None),
        key=lambda one: (one[3], not one[7], one[2], one[6], one[5]),
    )
    for customer, product, _, _, day, quantity, price, is_purchase in order:
        stack = held[customer, product]
        if is_purchase:
            stack.append([day, quantity])
            continue
        wanted = -quantity
        while wanted and stack:
            bought_on, left = stack[-1]
            now = min(wanted, left)
            wanted -= now
            stack[-1][1] -= now
            if not stack[-1][1]:
                stack.pop()
            key = customer, product, day, bought_on
            taken[key] += now
            amounts[key] += now * price
    return {key: (quantity, amounts[key]) for key, quantity in taken.items()}


@pytest.fixture(scope="module")
def engine():
    with duckdb.connect() as connection:
        connection.execute("ATTACH ':memory:' AS lake; CREATE SCHEMA lake.staging")
        connection.execute(
            """
            CREATE TABLE lake.staging.stg_orders__lines (
                customer_id VARCHAR, product_id VARCHAR, order_id VARCHAR, ordered_at TIMESTAMP,
                ordered_on DATE, quantity INTEGER, unit_price DECIMAL(12,3), is_purchase BOOLEAN,
                is_cancellation BOOLEAN, is_product BOOLEAN)
            """
        )
        yield connection


@settings(max_examples=120, deadline=None)
@given(lines=st.lists(LINE, max_size=24))
def test_cancellations_take_back_what_a_stack_gives(engine, manifest, lines):
    events = [event(*line) for line in lines]
    engine.execute("DELETE FROM lake.staging.stg_orders__lines")
    if events:
        engine.executemany(
            "INSERT INTO lake.staging.stg_orders__lines VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, true)",
            [[*one, not one[-1]] for one in events],
        )
    sql = manifest["nodes"]["model.ops.int_cancellations_matched"]["compiled_code"]
    found = {tuple(row[:4]): tuple(row[4:]) for row in engine.execute(sql).fetchall()}
    assert found == by_stack(events)
