"""How each product sells: how much, whether more or less of it, in which season, what returns."""

from datetime import timedelta

import ibis
import ibis.expr.types as ir
import pandera.ibis as pa

from ops_platform.features.moment import days
from ops_platform.features.view import FeatureView

# Four weeks, and a year of whole weeks, so that every window has each weekday as often.
MONTH, YEAR = 28, 364


def _features(known: ibis.Table) -> ibis.Table:
    lines = known.filter(known.is_product)
    sale, at = lines.is_purchase & (lines.unit_price > 0), lines.ordered_at

    def sold(first: int, last: int) -> ir.IntegerScalar:
        """Pieces from `first` to `last` days before as-of."""
        within = (at >= lines.as_of - days(first)) & (at < lines.as_of - days(last))
        return lines.quantity.sum(where=sale & within).fill_null(0).cast("int64")

    found = lines.group_by("product_id", "as_of").agg(
        sold_28d=sold(MONTH, 0),
        sold_28d_before=sold(2 * MONTH, MONTH),
        sold_year=sold(YEAR, 0),
        season_ago=sold(YEAR, YEAR - MONTH),
        returned=(-lines.quantity)
        .sum(where=lines.is_cancellation & (at >= lines.as_of - days(YEAR)))
        .fill_null(0)
        .cast("int64"),
        is_a_year_old=(at < lines.as_of - days(YEAR)).any(where=sale).fill_null(False),
    )
    now, before, year = found.sold_28d, found.sold_28d_before, found.sold_year
    return found.select(
        "product_id",
        "as_of",
        "sold_28d",
        "sold_28d_before",
        "sold_year",
        trend=(now - before) / (now + before).nullif(0),
        season=found.is_a_year_old.ifelse(
            found.season_ago * (YEAR // MONTH) / year.nullif(0), None
        ),
        return_share=found.returned / year.nullif(0),
    )


VIEW = FeatureView(
    name="product_demand",
    entity=("product_id",),
    mart="fct_order_lines",
    event_time="ordered_at",
    ttl=timedelta(days=2 * 365),
    features=_features,
    schema=pa.DataFrameSchema(
        {
            "product_id": pa.Column(str, unique=True, description="The product."),
            "sold_28d": pa.Column(
                int, pa.Check.ge(0), description="Pieces sold in the 28 days before as-of."
            ),
            "sold_28d_before": pa.Column(
                int, pa.Check.ge(0), description="Pieces sold in the 28 days before these."
            ),
            "sold_year": pa.Column(
                int, pa.Check.ge(0), description="Pieces sold in the 364 days before as-of."
            ),
            "trend": pa.Column(
                float,
                pa.Check.in_range(-1, 1),
                nullable=True,
                description="Their difference over their sum: 1 sells only now, -1 no longer; null "
                "where it sold in neither.",
            ),
            "season": pa.Column(
                float,
                pa.Check.in_range(0, YEAR // MONTH),
                nullable=True,
                description="What the 28 days after as-of sold a year ago, over an average 28 days "
                "of that year; null for what was not sold before it.",
            ),
            "return_share": pa.Column(
                float,
                pa.Check.ge(0),
                nullable=True,
                description="Pieces cancelled over pieces sold in the 364 days; above 1 where they "
                "were bought earlier, null where none was sold.",
            ),
        }
    ),
    description="Sales of each product to everyone, guests too: how many pieces, their trend and "
    "season, and what is returned.",
    owner="team:data-science",
)
