"""Recency, frequency and monetary value of each customer (RFM; Hughes 1994), and how regularly."""

from datetime import timedelta

import ibis
import pandera.ibis as pa

from ops_platform.features.moment import days_before
from ops_platform.features.view import MONEY, FeatureView


def _features(known: ibis.Table) -> ibis.Table:
    by_day = known.group_by("customer_id", "as_of", day=known.purchased_on).agg(
        quantity=known.quantity.sum(), amount=known.amount.sum()
    )
    kept = by_day.filter(by_day.quantity > 0)
    before = kept.day.lag().over(group_by=["customer_id", "as_of"], order_by="day")
    kept = kept.mutate(interval=kept.day.delta(before, unit="day"))
    # Whole numbers are summed, so the last digits don't depend on the order.
    found = kept.group_by("customer_id", "as_of").agg(
        recency_days=days_before(kept.as_of.max(), kept.day.max()),
        tenure_days=days_before(kept.as_of.max(), kept.day.min()),
        frequency=kept.count(),
        monetary=kept.amount.sum().cast(MONEY),
        intervals=kept.interval.count(),
        total=kept.interval.sum().cast("float64"),
        squares=(kept.interval * kept.interval).sum().cast("float64"),
    )
    spread = (found.intervals * found.squares - found.total * found.total).sqrt()
    return found.select(
        "customer_id",
        "as_of",
        "recency_days",
        "tenure_days",
        "frequency",
        "monetary",
        interval_days=found.total / found.intervals,
        interval_variation=(found.intervals >= 2).ifelse(spread / found.total, None),
    )


VIEW = FeatureView(
    name="customer_activity",
    entity=("customer_id",),
    mart="fct_interactions",
    event_time="day",
    ttl=timedelta(days=3 * 365),
    features=_features,
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
            "interval_days": pa.Column(
                float,
                pa.Check.ge(1),
                nullable=True,
                description="Mean days from one day with a purchase to the next; null with one.",
            ),
            "interval_variation": pa.Column(
                float,
                pa.Check.ge(0),
                nullable=True,
                description="Standard deviation of these over their mean, 0 where they are all the "
                "same; null with fewer than two.",
            ),
        }
    ),
    description="How recently, how often, how regularly and for how much each customer bought.",
    owner="team:data-science",
)
