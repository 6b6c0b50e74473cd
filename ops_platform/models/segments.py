"""The segments in which a version must not lose: kinds of customers, and new products."""

from collections.abc import Mapping
from datetime import date, timedelta

import numpy as np
import pandas as pd

NEW_CUSTOMER_DAYS = 90
NEWCOMER_DAYS = 30


def of_customers(
    known: pd.DataFrame, countries: Mapping[str, str], cut: date
) -> dict[str, np.ndarray]:
    """The customers of each segment: new and returning ones, the home country's and the others.

    New is who first bought within NEW_CUSTOMER_DAYS before the cut; the home country is that of
    most customers.

    Parameters
    ----------
    known : columns customer_id and day of their purchases before `cut`.
    countries : by customer_id.
    """
    first = pd.to_datetime(known.groupby("customer_id")["day"].min())
    is_new = first >= pd.Timestamp(cut - timedelta(days=NEW_CUSTOMER_DAYS))
    segments = {"new customers": is_new, "returning customers": ~is_new}
    country = pd.Series(first.index.map(countries), index=first.index)
    if country.notna().any():
        home = country.value_counts().sort_index().idxmax()
        segments[f"customers in {home}"] = country == home
        segments["customers elsewhere"] = country.notna() & (country != home)
    return {
        name: first.index[chosen].to_numpy(dtype=str)
        for name, chosen in segments.items()
        if chosen.any()
    }


def newcomers(known: pd.DataFrame, cut: date) -> np.ndarray:
    """The products that were first bought within NEWCOMER_DAYS before the cut, sorted."""
    first = pd.to_datetime(known.groupby("product_id")["day"].min())
    return (
        first.index[first >= pd.Timestamp(cut - timedelta(days=NEWCOMER_DAYS))]
        .sort_values()
        .to_numpy(dtype=str)
    )
