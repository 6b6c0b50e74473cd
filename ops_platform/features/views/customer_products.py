"""Which products each customer bought on which days, net of what was cancelled by then."""

from datetime import timedelta

import ibis
import ibis.expr.datatypes as dt
import pandera.ibis as pa

from ops_platform.features.moment import days_before
from ops_platform.features.view import MONEY, FeatureView


def _features(known: ibis.Table) -> ibis.Table:
    bought = known.group_by("customer_id", "product_id", "as_of", day=known.purchased_on).agg(
        quantity=known.quantity.sum().cast("int64"), amount=known.amount.sum().cast(MONEY)
    )
    kept = bought.filter(bought.quantity > 0)
    return kept.mutate(recency_days=days_before(kept.as_of, kept.day))


VIEW = FeatureView(
    name="customer_products",
    entity=("customer_id", "product_id", "day"),
    mart="fct_interactions",
    event_time="day",
    ttl=timedelta(days=3 * 365),
    features=_features,
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
        }
    ),
    description="Purchases by customer, product and day, net of cancellations known as of the day.",
    owner="team:data-science",
    # The entity's day is that of the purchase, the mart's own that of the event.
    keys=("customer_id", "product_id"),
    # The released model holds this history itself, by customer.
    online=False,
)
