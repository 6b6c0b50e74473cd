"""A small shop of which all is known: what was served, what was bought, and who is champion."""

import json
import shutil
import uuid
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pandas as pd

from ops_platform.ingest.contract_file import read_contract
from ops_platform.ingest.take_in import take_in
from ops_platform.monitor.performance import Measured, measure
from ops_platform.settings import PROJECT, Settings
from tests.monitor.conftest import NAME, Home

START = datetime(2024, 3, 1)
ORDERS, SERVED = (
    read_contract(PROJECT / "contracts" / f"{name}.odcs.yaml") for name in ("orders", "served")
)
LABEL_DAYS = 3


def empty_home(fresh_store: Path, folder: Path) -> Home:
    """A home that `copy_of` can copy, with nothing in it but an empty registry."""
    (folder / "home" / "mlflow").mkdir(parents=True)
    shutil.copy(fresh_store, folder / "home" / "mlflow" / "mlflow.db")
    return Home(Settings(home=folder / "home", data_path=folder / "data"))


def copy_of(home: Home, folder: Path) -> Home:
    """A copy, whose data files and artifacts stay where they are: they are only added to."""
    shutil.copytree(home.settings.home, folder, ignore=shutil.ignore_patterns("scratch"))
    return Home(Settings(home=folder, data_path=home.settings.data_path))


def on(day: int) -> date:
    return START.date() + timedelta(days=day)


def serve(home: Home, file: str, *answers: tuple[str, int, list[str]], **more) -> None:
    """Answers as (customer, day, products), taken in as the service delivers them."""
    lines = [
        {
            "answer_id": uuid.uuid5(uuid.NAMESPACE_OID, f"{file} {number}").hex,
            "served_at": (START + timedelta(days=day, seconds=number)).isoformat() + "Z",
            "customer_id": customer, "known": True, "rank": rank, "product_id": product,
            "score": 1 / rank, "model": NAME, "model_version": 1, "release": "v1-0123456789ab",
            "arm": "champion", "shown": True, **more,
        }
        for number, (customer, day, products) in enumerate(answers)
        for rank, product in enumerate(products, start=1)
    ]  # fmt: skip
    path = home.settings.served / f"{file}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    take_in(home.lake, SERVED, home.settings.served, START + timedelta(days=400))


def publish(home: Home, until: int, *bought: tuple[str, int, str]) -> None:
    """Purchases as (customer, day, product) and, on each day up to `until`, somebody else's."""
    rows = [("else", day, "p9") for day in range(-9, until + 1)]
    rows += [one for one in bought if one[1] <= until]
    orders = pd.DataFrame(
        {
            "order_line_id": range(len(rows)),
            "order_id": [str(number) for number in range(len(rows))],
            "customer_id": [customer for customer, _, _ in rows],
            "product_id": [product for _, _, product in rows],
            "quantity": 1, "unit_price": Decimal("2.500"),
            "ordered_on": [pd.Timestamp(START) + timedelta(days=day) for _, day, _ in rows],
            "is_purchase": True, "is_product": True,
        }
    )  # fmt: skip
    home.publish(orders, on(until))


def measured(home: Home, over: int = 300, sources: tuple[str, ...] = ("orders",)) -> Measured:
    return measure(home.lake, home.registry, NAME, on(over), LABEL_DAYS, set(sources))


def row(found: Measured, day: int, source: str = "served", segment: str = "all customers"):
    """The figures of a day."""
    rows = found.rows
    chosen = (rows["period"] == pd.Timestamp(on(day))) & (rows["source"] == source)
    [(_, only)] = rows[chosen & (rows["segment"] == segment)].iterrows()
    return only
