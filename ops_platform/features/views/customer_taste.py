"""What each customer likes: how many products and kinds of them, which most, at what price."""

from datetime import timedelta

import ibis
import pandera.ibis as pa

from ops_platform.features.view import FeatureView


def _features(known: ibis.Table, products: ibis.Table) -> ibis.Table:
    bought = known.group_by("customer_id", "as_of", "product_id", "purchased_on").agg(
        quantity=known.quantity.sum(), amount=known.amount.sum()
    )
    kept = bought.filter(bought.quantity > 0).left_join(products, "product_id")
    by_category = kept.group_by("customer_id", "as_of", "category").agg(
        products=kept.product_id.nunique(),
        pieces=kept.quantity.sum().cast("int64"),
        amount=kept.amount.sum(),
    )
    pieces, category = by_category.pieces, by_category.category
    return by_category.group_by("customer_id", "as_of").agg(
        products=by_category.products.sum().cast("int64"),
        categories=category.count(),
        top_category=category.first(order_by=[ibis.desc(pieces), category.asc()]),
        top_share=pieces.max(where=category.notnull()) / pieces.sum(where=category.notnull()),
        piece_price=by_category.amount.sum().cast("float64") / pieces.sum(),
    )


VIEW = FeatureView(
    name="customer_taste",
    entity=("customer_id",),
    mart="fct_interactions",
    event_time="day",
    ttl=timedelta(days=365),
    features=_features,
    schema=pa.DataFrameSchema(
        {
            "customer_id": pa.Column(str, unique=True, description="The customer."),
            "products": pa.Column(int, pa.Check.ge(1), description="Different products bought."),
            "categories": pa.Column(
                int,
                pa.Check.ge(0),
                description="Different categories among them; 0 where the catalog has none.",
            ),
            "top_category": pa.Column(
                str,
                nullable=True,
                description="The category of most pieces, of equals the first by alphabet; null "
                "where the catalog has none.",
            ),
            "top_share": pa.Column(
                float,
                pa.Check.in_range(0, 1),
                nullable=True,
                description="Its share of the pieces that have a category.",
            ),
            # May be below zero: a refund can be for more than was paid.
            "piece_price": pa.Column(
                float, description="Pounds sterling paid for a piece, net of cancellations."
            ),
        }
    ),
    description="Which categories and at what price each customer bought in the last year, net of "
    "cancellations.",
    owner="team:data-science",
    # A product's category is told once, when it is introduced.
    lookups={"dim_products": {"product_id": "string", "category": "string"}},
)
