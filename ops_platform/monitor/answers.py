"""Answers to known customers, a list each: those that were served, and those a model would give."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import duckdb
import numpy as np
import pandas as pd

from ops_platform.lake.session import has_table
from ops_platform.models.interactions import positions
from ops_platform.models.judging import Fitted

K = 20
# Of each customer the first answer of a day by each version, as far as it is judged.
_SERVED = f"""
WITH lines AS (
    SELECT served_at, served_at::DATE AS day, model_version::BIGINT AS version, customer_id,
           answer_id, rank, product_id
    FROM raw.served AS lines ANTI JOIN settled
      ON settled.version = lines.model_version AND settled.period = lines.served_at::DATE
    WHERE model = $model AND known AND coalesce(shown, true) AND rank <= {K}
      AND served_at::DATE <= $over AND served_at >= $after::TIMESTAMP
)
SELECT day, version, customer_id, rank, product_id FROM lines
QUALIFY answer_id = first_value(answer_id) OVER (
    PARTITION BY day, version, customer_id ORDER BY served_at, answer_id
)
ORDER BY day, version, customer_id, rank, product_id
"""
_VISITS = """
SELECT DISTINCT ordered_on AS day, customer_id FROM marts.fct_order_lines
WHERE is_purchase AND is_product AND customer_id IS NOT NULL
  AND ordered_on > $after AND ordered_on <= $until
ORDER BY day, customer_id
"""
_UNIT = ["day", "version", "customer_id"]


@dataclass(frozen=True)
class Answers:
    """Some answers, numbered from 0.

    Parameters
    ----------
    units : a row each, in this order: day, version, customer_id, and length, the products listed.
    lists : unit, rank from 0, product_id.
    """

    units: pd.DataFrame
    lists: pd.DataFrame

    def of(self, chosen: pd.Series) -> "Answers":
        """Those of the chosen units (a mask), numbered anew."""
        mask = chosen.to_numpy(dtype=bool)
        unit = self.lists["unit"].to_numpy(dtype=int)
        lists, number = self.lists[mask[unit]], np.cumsum(mask) - 1
        return Answers(
            self.units[mask].reset_index(drop=True),
            lists.assign(unit=number[unit[mask[unit]]]).reset_index(drop=True),
        )


def served(
    connection: duckdb.DuckDBPyConnection,
    model: str,
    over: date,
    settled: Iterable[tuple[int, date]] = (),
    after: date = date.min,
) -> Answers:
    """What the service has shown to customers that it knew, up to the day `over`.

    Of each customer the first answer of a day by each version counts, and of it K products.

    Parameters
    ----------
    connection : of the lake, not pinned: what was served is published with the next marts only.
    settled : versions and days that are left out.
    after : so are this day and those before it.
    """
    if not has_table(connection, "raw.served"):
        return _none()
    done = pd.DataFrame(settled, columns=["version", "period"])
    connection.register("settled", done.astype({"version": "int64", "period": "datetime64[us]"}))
    first = after + timedelta(days=1)
    lines = connection.execute(_SERVED, {"model": model, "over": over, "after": first}).df()
    connection.unregister("settled")
    lines["unit"] = lines.groupby(_UNIT, sort=True).ngroup()
    # Ranks as they were shown, whatever a line says of its own.
    lines["rank"] = lines.groupby("unit").cumcount()
    lines = lines[lines["rank"] < K]
    units = lines.groupby("unit").agg(
        day=("day", "first"),
        version=("version", "first"),
        customer_id=("customer_id", "first"),
        length=("rank", "size"),
    )
    return Answers(units.reset_index(drop=True), lines[["unit", "rank", "product_id"]])


def visits(
    connection: duckdb.DuckDBPyConnection, model: Fitted, after: date, until: date
) -> pd.DataFrame:
    """The days and customer_ids of purchases in (after, until], of customers the model knows."""
    found = connection.execute(_VISITS, {"after": after, "until": until}).df()
    if found.empty:
        return found
    known = positions(found["customer_id"].to_numpy(dtype=str), model.customers_) >= 0
    return found[known].reset_index(drop=True)


def would_give(model: Fitted, units: pd.DataFrame, version: int) -> Answers:
    """What a fitted model answers in these units (day, customer_id), K products each.

    Where `units` has a `length`, it stays, so that lists of both are as long.
    """
    customers, place = np.unique(units["customer_id"].to_numpy(dtype=str), return_inverse=True)
    if not len(customers):
        return _none()
    products = model.recommend(customers, K).product_id[place]
    lengths = units["length"] if "length" in units else np.full(len(units), products.shape[1])
    rank = np.tile(np.arange(products.shape[1]), len(units))
    lists = pd.DataFrame(
        {
            "unit": np.repeat(np.arange(len(units)), products.shape[1]),
            "rank": rank,
            "product_id": products.ravel(),
        }
    )
    shown = (lists["product_id"] != "") & (rank < np.repeat(np.asarray(lengths), len(products.T)))
    made = units.assign(version=version, length=lengths)[[*_UNIT, "length"]]
    return Answers(made.reset_index(drop=True), lists[shown].reset_index(drop=True))


def joined(given: Sequence[tuple[str, Answers]]) -> Answers:
    """Answers of several sources as one, whose units have their `source`."""
    first = np.cumsum([0, *(len(answers.units) for _, answers in given)])
    return Answers(
        pd.concat(
            [answers.units.assign(source=source) for source, answers in given], ignore_index=True
        ),
        pd.concat(
            [
                answers.lists.assign(unit=answers.lists["unit"].astype(int) + start)
                for (_, answers), start in zip(given, first, strict=False)
            ],
            ignore_index=True,
        ),
    )


def _none() -> Answers:
    units = pd.DataFrame({"day": [], "version": [], "customer_id": [], "length": []})
    lists = pd.DataFrame({"unit": [], "rank": [], "product_id": []})
    return Answers(
        units.astype({"day": "datetime64[us]", "version": int, "customer_id": str, "length": int}),
        lists.astype({"unit": int, "rank": int, "product_id": str}),
    )
