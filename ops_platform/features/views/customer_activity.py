"""Recency, frequency and monetary value of each customer (RFM; Hughes 1994)."""

from datetime import date

import ibis
import pandera.ibis as pa

from ops_platform.features.view import MONEY, FeatureView


def _expression(interactions: ibis.Table, as_of: date) -> ibis.Table:
    known = interactions.filter(interactions.day <= ibis.literal(as_of))
    by_day = known.group_by("customer_id", day=known.purchased_on).agg(
        quantity=known.quantity.sum(), amount=known.amount.sum()
    )
    kept = by_day.filter(by_day.quantity > 0)
    return kept.group_by("customer_id").agg(
        recency_days=ibis.literal(as_of).delta(kept.day.max(), unit="day").cast("int64"),
        tenure_days=ibis.literal(as_of).delta(kept.day.min(), unit="day").cast("int64"),
        frequency=kept.day.nunique(),
        monetary=kept.amount.sum().cast(MONEY),
    )


VIEW = FeatureView(
    name="customer_activity",
    entity=("customer_id",),
    mart="fct_interactions",
    expression=_expression,
    schema=pa.DataFrameSchema(
        {
            "customer_id": pa.Column(str, unique=True, description="The customer."),
            "recency_days": pa.Column(
                int, pa.Check.ge(0), description="Days from the last purchase to as-of."
            ),
            "tenure_days": pa.Column(
                int, pa.Check.ge(0), description="Days from the first purchase to as-of."
            ),
            "frequency": pa.Column(int, pa.Check.ge(1), description="Days with a purchase."),
            # May be below zero: a refund can be for more than was paid.
            "monetary": pa.Column(
                MONEY, description="Spent in pounds sterling, net of cancellations."
            ),
        }
    ),
    description="How recently, how often and for how much each customer bought, as of the day.",
    owner="team:data-science",
)
