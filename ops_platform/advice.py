"""The champion's recommendations for a customer, beside what the customer bought."""

from dataclasses import dataclass

import duckdb

from ops_platform.errors import RegistryError
from ops_platform.features.build import published_with_features
from ops_platform.ingest.contract import customer_key
from ops_platform.ingest.contract_file import read_contracts
from ops_platform.ingest.personal import hashed
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.models.estimators import recommends
from ops_platform.models.kinds import recommenders
from ops_platform.models.registry import Registry
from ops_platform.settings import Settings


@dataclass(frozen=True)
class Advice:
    """Recommended and bought products of a customer, each (product, description, figure).

    The figure is the score of what is recommended, and the last day of what was bought. A customer
    that the model does not know gets the popular products, and `known` is False.
    """

    customer: str
    version: int
    known: bool
    recommended: list[tuple[str, str, float]]
    bought: list[tuple[str, str, str]]


def advise(settings: Settings, model: str, customers: list[str], k: int) -> list[Advice]:
    """The champion's `k` best products for each customer.

    Raises RegistryError where there is no such model or no champion of it, NotPublishedError where
    nothing is published.
    """
    if model not in recommenders():
        raise RegistryError(f"no model {model} recommends, but {', '.join(recommenders())}")
    lake = Lake.at(settings)
    # Before the registry, which is slow to open and would be made where there is none.
    snapshot = published_with_features(lake).snapshot
    registry = Registry(settings.mlflow_tracking_uri, settings.mlflow_artifact_root)
    champion = registry.champion(model)
    if champion is None:
        raise RegistryError(f"{model} has no champion yet: materialize models/{model} first")
    found = recommends(registry.load(model, champion.version)).recommend(customers, k)
    with connect(lake, snapshot=snapshot) as connection:
        names = dict(
            connection.execute("SELECT product_id, description FROM marts.dim_products").fetchall()
        )
        return [
            Advice(
                customer=customer,
                version=champion.version,
                known=bool(found.known[row]),
                recommended=[
                    (product, names.get(product) or "", float(score))
                    for product, score in zip(found.product_id[row], found.scores[row], strict=True)
                ],
                bought=_bought(connection, customer, k),
            )
            for row, customer in enumerate(customers)
        ]


def _bought(
    connection: duckdb.DuckDBPyConnection, customer: str, k: int
) -> list[tuple[str, str, str]]:
    return connection.execute(
        """
        SELECT product_id, coalesce(any_value(description), ''), max(day)::VARCHAR
        FROM features.customer_products LEFT JOIN marts.dim_products USING (product_id)
        WHERE customer_id = ? GROUP BY 1 ORDER BY count(*) DESC, max(day) DESC, 1 LIMIT ?
        """,
        [customer, k],
    ).fetchall()


def as_stored(settings: Settings, customer: str) -> str:
    """The customer's id as the lake knows it: hashed, where a contract says that ids are personal.

    Raises HashKeyError where they are and the key is not set.
    """
    contracts = read_contracts(settings.contracts, settings.hash_key)
    if customer_key(contracts) is None or settings.hash_key is None:
        return customer
    return hashed(settings.hash_key, customer)


def frequent_customers(settings: Settings, count: int) -> list[str]:
    """The published customers with the most days of purchase, as examples."""
    lake = Lake.at(settings)
    with connect(lake, snapshot=published_with_features(lake).snapshot) as connection:
        rows = connection.execute(
            "SELECT customer_id FROM features.customer_activity "
            "ORDER BY frequency DESC, customer_id LIMIT ?",
            [count],
        ).fetchall()
    return [customer for (customer,) in rows]
