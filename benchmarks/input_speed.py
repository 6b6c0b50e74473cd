"""The speed of the inputs' judgement, as ratios in one run.

`python -m benchmarks.input_speed [PYTHON]`, where PYTHON is an interpreter of an environment that
has Evidently (`pip install evidently 'pandas<3' pyarrow`); without it only the ratio of histories
is measured. It takes some minutes on one core, and exits with 1 when a bound is missed.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import duckdb
from rich.console import Console

from ops_platform.features.build import build
from ops_platform.features.views import customer_products
from ops_platform.lake import catalog
from ops_platform.lake.location import Lake
from ops_platform.lake.profile import Kind, profile_query, read_profiles
from ops_platform.lake.published import Published, publish, published_or_none
from ops_platform.lake.write import write
from ops_platform.models.registry import Registry
from ops_platform.monitor.input_watch import watch_inputs
from ops_platform.monitor.measures import of_profiles
from ops_platform.settings import Settings, telemetry_off

ROWS, COLUMNS = 1_000_000, 10
PEER_BOUND, HISTORY_BOUND = 1 / 40, 1.2
HISTORIES, NEW_DAYS, ROWS_A_DAY = (10, 1000), 15, 600
FIRST = date(2020, 1, 1)
MODEL = "recommender"
KINDS: dict[str, Kind] = {
    **{f"n{at}": "number" for at in range(6)},
    **{f"t{at}": "text" for at in range(4)},
}
console = Console(width=120)

_SIDE = """
SELECT DATE '2024-01-01' AS day, hash(range, {seed}, 1) % 100000 / 1000.0 AS n0,
    exp(hash(range, {seed}, 2) % 100000 / 20000.0) AS n1, hash(range, {seed}, 3) % 50 AS n2,
    ln(1 + hash(range, {seed}, 4) % 1000000) AS n3, hash(range, {seed}, 5) % 1000 / 10 AS n4,
    sqrt(hash(range, {seed}, 6) % 1000000) AS n5, 'c' || hash(range, {seed}, 7) % 8 AS t0,
    'c' || hash(range, {seed}, 8) % 20 AS t1, 'k' || hash(range, {seed}, 9) % 200 AS t2,
    'b' || hash(range, {seed}, 10) % 2 AS t3
FROM range({rows})
"""
_PEER = """
import sys, time
import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset
reference, window = (pd.read_parquet(path).drop(columns="day") for path in sys.argv[1:3])
for options in ({}, {"method": "psi"}):
    begun = time.perf_counter()
    Report([DataDriftPreset(**options)]).run(window, reference).json()
    print(time.perf_counter() - begun, flush=True)
"""
_ORDERS = """
SELECT range AS order_line_id, range // 4 AS order_id, 'C' || hash(range, 1) % 3000 AS customer_id,
    'P' || hash(range, 2) % 800 AS product_id, (1 + hash(range, 3) % 9)::INTEGER AS quantity,
    (1 + hash(range, 4) % 900 / 100)::DECIMAL(12, 3) AS unit_price,
    DATE '{first}' + (range // {rows})::INTEGER AS ordered_on, true AS is_purchase,
    true AS is_product
FROM range({count})
"""
_INTERACTIONS = """
SELECT customer_id, product_id, ordered_on AS day, ordered_on AS purchased_on, 'purchase' AS kind,
    sum(quantity)::BIGINT AS quantity, sum(quantity * unit_price)::DECIMAL(18, 3) AS amount
FROM marts.fct_order_lines GROUP BY ALL ORDER BY day
"""
_CUSTOMERS = """
SELECT customer_id, 'K' || hash(customer_id) % 5 AS country, min(ordered_on) AS first_ordered_on
FROM marts.fct_order_lines GROUP BY customer_id
"""
_PRODUCTS = """
SELECT DISTINCT product_id, 'Kind ' || hash(product_id) % 6 AS category FROM marts.fct_order_lines
"""


def check(reference: Path, window: Path) -> tuple[float, float]:
    """Seconds of a check of two files, and of a check whose reference was profiled before."""
    with duckdb.connect() as connection:

        def profiles(path: Path):  # type: ignore[no-untyped-def]
            query = profile_query(f"'{path}'", "day", KINDS, [date(2024, 1, 1)])
            return read_profiles(connection, query)[date(2024, 1, 1)]

        begun = time.perf_counter()
        known = profiles(reference)
        profiled = time.perf_counter()
        found = profiles(window)
        for name in KINDS:
            of_profiles(known[name], found[name])
        ended = time.perf_counter()
    return ended - begun, ended - profiled


def peer(python: str, reference: Path, window: Path) -> list[float]:
    """Seconds of Evidently's default preset, and of the preset with its index of stability."""
    done = subprocess.run(
        [python, "-c", _PEER, str(reference), str(window)],
        capture_output=True,
        text=True,
        check=True,
        env={"DO_NOT_TRACK": "1", "PATH": ""},
    )
    return [float(line) for line in done.stdout.split()]


def shop(folder: Path, days: int) -> Callable[[int], float]:
    """A shop that was watched for so many days; seconds of the n-th day more, asked in order."""
    settings = Settings(home=folder / str(days))
    (settings.home / "mlflow").mkdir(parents=True)
    lake = Lake.at(settings)
    registry = Registry(settings.mlflow_tracking_uri, settings.mlflow_artifact_root)
    _publish(lake, (days + NEW_DAYS) * ROWS_A_DAY, FIRST + timedelta(days=days + NEW_DAYS - 1))

    def seconds(over: date) -> float:
        begun = time.perf_counter()
        watch_inputs(lake, registry, MODEL, over, ["orders"], 365.0, {})
        return time.perf_counter() - begun

    seconds(FIRST + timedelta(days=days - 1))
    return lambda n: seconds(FIRST + timedelta(days=days + n))


def _publish(lake: Lake, lines: int, last: date) -> None:
    orders = _ORDERS.format(first=FIRST, rows=ROWS_A_DAY, count=lines)

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("CREATE SCHEMA marts")
        for table, sql in (
            ("fct_order_lines", orders),
            ("fct_interactions", _INTERACTIONS),
            ("dim_customers", _CUSTOMERS),
            ("dim_products", _PRODUCTS),
        ):
            connection.execute(f"CREATE TABLE marts.{table} AS {sql}")

    write(lake, work)
    marts = catalog.head(lake)
    publish(lake, Published(marts, marts), published_or_none(lake))
    build(lake, customer_products.VIEW, last)
    publish(lake, Published(catalog.head(lake), marts), seen=Published(marts, marts))


def main() -> int:
    """Print the ratios; 1 when a bound is missed."""
    telemetry_off()
    missed = []
    with TemporaryDirectory() as folder:
        sides = [Path(folder) / f"{name}.parquet" for name in ("reference", "window")]
        with duckdb.connect() as connection:
            for seed, side in enumerate(sides):
                connection.execute(f"COPY ({_SIDE.format(seed=seed, rows=ROWS)}) TO '{side}'")
        runs = [check(*sides) for _ in range(3)]
        both, one = (median(run[at] for run in runs) for at in (0, 1))
        console.print(
            f"{ROWS:,} rows x {COLUMNS} columns: {one:.2f} s against a reference that was profiled "
            f"before, {both:.2f} s with its profile"
        )
        for python in sys.argv[1:2]:
            for name, seconds in zip(("default", "psi"), peer(python, *sides), strict=True):
                ratio = one / seconds
                console.print(
                    f"Evidently's preset, {name}: {seconds:.1f} s; this is 1/{1 / ratio:.0f} of "
                    f"it, 1/{seconds / both:.0f} with the reference's profile"
                )
                if name == "default" and ratio > PEER_BOUND:
                    missed.append(f"1/{1 / PEER_BOUND:.0f} of Evidently")
        shops = [shop(Path(folder), days) for days in HISTORIES]
        # By turns: the machine is not as fast from one minute to the next.
        new = [[one(n) for one in shops] for n in range(NEW_DAYS)]
        short, long = (median(day[at] for day in new) for at in (0, 1))
    console.print(
        f"one day more: {short:.2f} s after {HISTORIES[0]} days, {long:.2f} s after "
        f"{HISTORIES[1]}: {long / short:.2f}x"
    )
    if long / short > HISTORY_BOUND:
        missed.append("a day after a long history")
    console.print(f"missed: {', '.join(missed) or 'nothing'}")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
