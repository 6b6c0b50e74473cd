"""How a customer's visits have come lately, and how much was bought at the last of them."""

from datetime import timedelta

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pandera.ibis as pa

from ops_platform.features.moment import days_before
from ops_platform.features.view import FeatureView

# Decimals add up to the same in any order.
_WEIGHT = dt.Decimal(18, 9)


def _features(known: ibis.Table) -> ibis.Table:
    bought = known.group_by("customer_id", "product_id", "as_of", day=known.purchased_on).agg(
        quantity=known.quantity.sum()
    )
    kept = bought.filter(bought.quantity > 0)
    visits = kept.group_by("customer_id", "as_of", "day").agg(products=kept.count())
    before = visits.day.lag().over(group_by=["customer_id", "as_of"], order_by="day")
    visits = visits.mutate(
        age=days_before(visits.as_of, visits.day), interval=visits.day.delta(before, unit="day")
    )
    found = visits.group_by("customer_id", "as_of").agg(
        visits=visits.count(),
        products=visits.products.sum(),
        last_products=visits.products.argmax(visits.day),
        last_interval_days=visits.interval.argmax(visits.day).cast("float64"),
        visits_faded_30d=_faded(visits.age, 30),
        visits_faded_90d=_faded(visits.age, 90),
        visits_faded_180d=_faded(visits.age, 180),
    )
    return found.select(
        "customer_id",
        "as_of",
        "visits_faded_30d",
        "visits_faded_90d",
        "visits_faded_180d",
        "last_interval_days",
        "last_products",
        mean_products=found.products.cast("float64") / found.visits,
    )


def _faded(age: ir.IntegerValue, half_life: int) -> ir.FloatingValue:
    weight: ir.DecimalValue = (ibis.literal(0.5) ** (age / half_life)).cast(_WEIGHT)
    return weight.sum().cast("float64")


def _visits(half_life: int) -> pa.Column:
    return pa.Column(
        float,
        pa.Check.ge(0),
        description=f"Days with a purchase, each counting half after {half_life} days, a quarter "
        f"after {2 * half_life}.",
    )


VIEW = FeatureView(
    name="customer_rhythm",
    entity=("customer_id",),
    mart="fct_interactions",
    event_time="day",
    ttl=timedelta(days=3 * 365),
    features=_features,
    schema=pa.DataFrameSchema(
        {
            "customer_id": pa.Column(str, unique=True, description="The customer."),
            "visits_faded_30d": _visits(30),
            "visits_faded_90d": _visits(90),
            "visits_faded_180d": _visits(180),
            "last_interval_days": pa.Column(
                float,
                pa.Check.ge(1),
                nullable=True,
                description="Days between the last two days with a purchase; null with one.",
            ),
            "last_products": pa.Column(
                int, pa.Check.ge(1), description="Products bought on the last day with a purchase."
            ),
            "mean_products": pa.Column(
                float, pa.Check.ge(1), description="Products bought on a day with a purchase."
            ),
        }
    ),
    description="How often each customer bought of late, and how much at a time, net of "
    "cancellations.",
    owner="team:data-science",
)
