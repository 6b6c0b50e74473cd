"""The walk as a plain script: the same SQL, fits, judging and registration, and nothing around it.

`python -m benchmarks.plain_script ORDERS RECIPE HOME` prints its times and scores as JSON. No
Dagster, dbt, contracts, quarantine, ledger, locks, snapshots or checks: a row that does not parse
is gone, and a second run starts from nothing.
"""

import json
import sys
import time
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from ops_platform.models.baselines import PersonalFrequency, Popularity
from ops_platform.models.estimators import estimator
from ops_platform.models.judging import Fitted, judge
from ops_platform.models.registry import Registry

NAME, METRIC, K, WINDOW_DAYS = "recommender", "ndcg_at_20", 20, 30
READ = """
CREATE SCHEMA raw;
CREATE TABLE raw.orders AS
SELECT InvoiceNo AS order_id, StockCode AS product_id, Description AS description,
       Quantity AS quantity, InvoiceDate AS ordered_at, UnitPrice AS unit_price,
       regexp_replace(CustomerID, '\\.0+$', '') AS customer_id, Country AS country,
       filename AS _delivery
FROM read_csv('{folder}/*.csv', header = true, auto_detect = false, filename = true,
    ignore_errors = true, quote = '"', escape = '"', columns = {{
        InvoiceNo: 'VARCHAR', StockCode: 'VARCHAR', Description: 'VARCHAR', Quantity: 'INTEGER',
        InvoiceDate: 'TIMESTAMP', UnitPrice: 'DECIMAL(12,3)', CustomerID: 'VARCHAR',
        Country: 'VARCHAR'}})
WHERE InvoiceNo IS NOT NULL AND UnitPrice >= 0;
"""


def main(orders: Path, recipe: dict[str, Any], home: Path) -> dict[str, Any]:
    """Walk from the order files to a registered champion; the time of each part, and the scores."""
    marks = [("start-up", time.monotonic())]

    def begin(part: str) -> None:
        marks.append((part, time.monotonic()))

    begin("read")
    connection = duckdb.connect()
    connection.execute(f"ATTACH '{home / 'plain.duckdb'}' AS lake")
    connection.execute("USE lake")
    connection.execute(READ.format(folder=orders))
    for name, columns in recipe["empty"].items():
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {name.partition('.')[0]}")
        connection.execute(f"CREATE TABLE {name} ({columns})")
    begin("models")
    for model in recipe["models"]:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {model['schema']}")
        connection.execute(
            f"CREATE {model['kind']} {model['schema']}.{model['name']} AS {model['sql']}"
        )
    begin("features")
    as_of = _newest_day(connection)
    connection.execute("CREATE SCHEMA features")
    for table, sql in recipe["features"].items():
        connection.execute(f"CREATE TABLE {table} AS {_on(sql, as_of)}")
    begin("train and register")
    scores = _train(connection, recipe["features"], as_of, home)
    begin("end")
    pairs = pairwise(marks)
    return {"parts": {part: after - at for (part, at), (_, after) in pairs}, **scores}


def _newest_day(connection: duckdb.DuckDBPyConnection) -> date:
    row = connection.execute("SELECT max(ordered_on) FROM marts.fct_order_lines").fetchone()
    assert row is not None
    day: date = row[0]
    return day


def _on(sql: str, day: date) -> str:
    return sql.replace("$as_of", day.isoformat())


def _train(
    connection: duckdb.DuckDBPyConnection, features: dict[str, str], as_of: date, home: Path
) -> dict[str, Any]:
    columns = "SELECT customer_id, product_id, day FROM"
    table = "features.customer_products"
    rows = connection.execute(f"{columns} {table} ORDER BY ALL").df()
    cut = as_of - timedelta(days=WINDOW_DAYS)
    before = cut - timedelta(days=1)
    known = connection.execute(f"{columns} ({_on(features[table], before)}) ORDER BY ALL").df()
    model = estimator(NAME)
    contenders: dict[str, Fitted] = {
        METRIC: model(seed=0).fit(known, before),
        f"popularity_{METRIC}": Popularity().fit(known, before),
        f"personal_frequency_{METRIC}": PersonalFrequency().fit(known, before),
    }
    window = rows.loc[pd.to_datetime(rows["day"]) >= pd.Timestamp(cut)]
    scores = judge(contenders, window[["customer_id", "product_id"]].drop_duplicates(), K)
    metrics = {name: float(scores[name].mean()) for name in scores.columns}
    champion = model(seed=0).fit(rows, as_of)
    registry = Registry(f"sqlite:///{home / 'mlflow.db'}", home / "artifacts")
    now = datetime.now(UTC).replace(tzinfo=None)
    version = registry.register(
        NAME, champion, metrics=metrics, tags={"as_of": as_of.isoformat()}, now=now
    )
    registry.promote(NAME, version)
    newest = registry.champion(NAME)
    assert newest is not None
    return {"metrics": metrics, "state_digest": newest.tags["state_digest"], "rows": len(rows)}


if __name__ == "__main__":
    folder, recipe_file, where = map(Path, sys.argv[1:])
    steps = json.loads(recipe_file.read_text(encoding="utf-8"))
    sys.stdout.write(json.dumps(main(folder, steps, where)) + "\n")
