"""Which products each customer bought on which days, net of what was cancelled by then."""

from datetime import date

import ibis
import ibis.expr.datatypes as dt
import pandera.ibis as pa

from ops_platform.features.view import MONEY, FeatureView


def _expression(interactions: ibis.Table, as_of: date) -> ibis.Table:
    known = interactions.filter(interactions.day <= ibis.literal(as_of))
    bought = known.group_by("customer_id", "product_id", day=known.purchased_on).agg(
        quantity=known.quantity.sum().cast("int64"), amount=known.amount.sum().cast(MONEY)
    )
    kept = bought.filter(bought.quantity > 0)
    recency = ibis.literal(as_of).delta(kept.day, unit="day")
    return kept.mutate(recency_days=recency.cast("int64"))


VIEW = FeatureView(
    name="customer_products",
    entity=("customer_id", "product_id", "day"),
    mart="fct_interactions",
    expression=_expression,
    schema=pa.DataFrameSchema(
        {
            "customer_id": pa.Column(str, description="The customer."),
            "product_id": pa.Column(str, description="The product."),
            "day": pa.Column(dt.date, description="The day of purchase."),
            "quantity": pa.Column(
                int,
                pa.Check.gt(0),
                description="Pieces bought that day and not cancelled by as-of.",
            ),
            "amount": pa.Column(
                MONEY, description="What they cost in pounds sterling, net of cancellations."
            ),
            "recency_days": pa.Column(
                int, pa.Check.ge(0), description="Days from the purchase to as-of."
            ),
        },
        unique=["customer_id", "product_id", "day"],
    ),
    description="Purchases by customer, product and day, net of cancellations known as of the day.",
    owner="team:data-science",
)
