"""Answers judged beside a baseline, customer by customer, and summed up by day and segment."""

from collections.abc import Mapping
from datetime import timedelta

import duckdb
import numpy as np
import pandas as pd
from scipy.stats import binomtest

from ops_platform.models.baselines import PersonalFrequency
from ops_platform.models.recommending import interactions_by
from ops_platform.models.segments import of_customers
from ops_platform.monitor.answers import Answers, would_give
from ops_platform.monitor.estimate import WITHIN
from ops_platform.monitor.scored import bought, score

ALL = "all customers"
# Purchase days so far, and the share of the list that could repeat a purchase and does.
_DAYS, _REPEATS = (2, 5), (1 / 3, 2 / 3)
_KEY = ["source", "version", "period", "segment", "ripe"]


def judge(
    connection: duckdb.DuckDBPyConnection,
    answers: Answers,
    countries: Mapping[str, str],
    label_days: int,
) -> pd.DataFrame:
    """Each answer to a customer who had bought before, judged beside the baseline, by segment.

    The baseline is the personal frequency as of the day before, whose lists are as long. All is as
    it was known then, but what was bought: see `bought`.

    Parameters
    ----------
    connection : pinned to what is published.
    answers : their units have a `source` besides.
    countries : by customer_id.

    Returns
    -------
    A row an answer and segment, of which ALL is one: source, version, period, segment, stratum as
    of `strata`, hit, buyer and ndcg as of `score`, base_hit and base_ndcg of the baseline.
    """
    units = answers.units
    lists, segments = [answers.lists[:0]], [pd.DataFrame({"unit": [], "segment": []})]
    kinds = np.zeros(len(units), dtype=int)
    for day in np.unique(units["day"].to_numpy(dtype="datetime64[D]")):
        cut = pd.Timestamp(day).date()
        known = interactions_by(connection, cut - timedelta(days=1))
        is_known = units["customer_id"].isin(known["customer_id"].unique())
        of_day = (units["day"] == pd.Timestamp(day)) & is_known
        if not of_day.any():
            continue
        number, mine = np.flatnonzero(of_day), answers.of(of_day)
        baseline = PersonalFrequency().fit(known, cut - timedelta(days=1))
        given = would_give(baseline, mine.units, 0).lists
        lists.append(given.assign(unit=number[given["unit"].to_numpy(dtype=int)]))
        kinds[number] = strata(mine, known)
        everyone = {ALL: known["customer_id"].unique()}
        for segment, customers in (everyone | of_customers(known, countries, cut)).items():
            inside = number[mine.units["customer_id"].isin(customers).to_numpy()]
            segments.append(pd.DataFrame({"unit": inside, "segment": segment}))
    purchases = bought(connection, units, label_days)
    beside = score(Answers(units, pd.concat(lists, ignore_index=True)), purchases)
    judged = units.join(score(answers, purchases)).join(beside.add_prefix("base_"))
    judged = judged.assign(stratum=kinds).rename(columns={"day": "period"})
    members = pd.concat(segments, ignore_index=True)
    return judged.loc[members["unit"].astype(int)].assign(segment=members["segment"].to_numpy())


def strata(answers: Answers, known: pd.DataFrame) -> np.ndarray:
    """Which kind each answer is of, by what is known when it is given: int (n,), from 0 to 8.

    By on how many days the customer had bought, and how much of the list repeats what the customer
    had bought, of what could: both go with what will be bought.
    """
    customers = answers.units["customer_id"]
    own = known[known["customer_id"].isin(customers)]
    days = own.groupby("customer_id")["day"].nunique()
    pairs = own[["customer_id", "product_id"]].drop_duplicates()
    listed = answers.lists.assign(customer_id=answers.lists["unit"].map(customers))
    repeated = listed.merge(pairs, on=["customer_id", "product_id"])["unit"]
    possible = np.minimum(
        answers.units["length"].to_numpy(dtype=int),
        customers.map(pairs.groupby("customer_id").size()).to_numpy(dtype=int),
    )
    repeats = np.bincount(repeated.to_numpy(dtype=int), minlength=len(customers))
    share = repeats / np.maximum(possible, 1)
    by_days = np.digitize(customers.map(days), _DAYS, right=True)
    return np.asarray(by_days * (len(_REPEATS) + 1) + np.digitize(share, _REPEATS))


def summaries(judged: pd.DataFrame) -> pd.DataFrame:
    """The figures of `monitor.performance`: a row for each source, version, day and segment."""
    judged = judged.assign(lead=judged["ndcg"] - judged["base_ndcg"])
    # The NDCG of who bought nothing is null, and left out of these.
    rows = judged.groupby(_KEY, as_index=False).agg(
        answers=("hit", "size"),
        hits=("hit", "sum"),
        baseline_hit_rate=("base_hit", "mean"),
        units=("ndcg", "count"),
        ndcg=("ndcg", "mean"),
        ndcg_sd=("ndcg", "std"),
        baseline_ndcg=("base_ndcg", "mean"),
        lead=("lead", "mean"),
        lead_sd=("lead", "std"),
    )
    ends = [
        binomtest(int(hits), int(answers)).proportion_ci(method="wilson")
        for hits, answers in zip(rows["hits"], rows["answers"], strict=True)
    ]
    rows = rows.assign(
        hit_rate=rows["hits"] / rows["answers"],
        hit_rate_low=[float(one.low) for one in ends],
        hit_rate_high=[float(one.high) for one in ends],
    )
    for name in ("ndcg", "lead"):
        # Of one customer the spread is not known: there is no interval.
        half = WITHIN * rows.pop(f"{name}_sd") / np.sqrt(rows["units"])
        rows[f"{name}_low"], rows[f"{name}_high"] = rows[name] - half, rows[name] + half
    return rows.assign(estimated=False)


def counts(judged: pd.DataFrame) -> pd.DataFrame:
    """What `estimate` learns from: answers, hits, buyers and the sum of their NDCG by stratum."""
    return judged.groupby([*_KEY, "stratum"], as_index=False).agg(
        answers=("hit", "size"),
        hits=("hit", "sum"),
        buyers=("buyer", "sum"),
        ndcg=("ndcg", "sum"),
    )
