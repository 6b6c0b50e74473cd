"""Which days of a history a replay walks through."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from ops_platform.errors import ReplayError


@dataclass(frozen=True)
class Period:
    """The days of a history that policies are walked through.

    Attributes
    ----------
    days : of trade, in order, from the first to the last.
    start : the last day of trade before them.
    history : the first day of all.
    """

    days: tuple[date, ...]
    start: date
    history: date


def period_of(trade: Sequence[date], first: date | None, last: date | None) -> Period:
    """The period that is asked for, by default the later half of the history.

    Parameters
    ----------
    trade : all days of trade, in order.

    Raises
    ------
    ReplayError : the period holds fewer than two days of trade, or none is before it.
    """
    if not trade:
        raise ReplayError("there is no history: no customer has bought a product yet")
    first = first or trade[0] + (trade[-1] - trade[0]) // 2
    last = last or trade[-1]
    told = f"the history is of {trade[0]} to {trade[-1]}"
    if first > last:
        raise ReplayError(f"the first day, {first}, is after the last, {last}; {told}")
    if last > trade[-1]:
        raise ReplayError(f"the last day, {last}, is later than what is published; {told}")
    days = tuple(day for day in trade if first <= day <= last)
    before = [day for day in trade if day < first]
    if len(days) < 2 or not before:
        raise ReplayError(
            f"from {first} to {last} there are {len(days)} days of trade, and {len(before)} before "
            f"for the first champion; two and one are needed: {told}"
        )
    return Period(days, before[-1], trade[0])


def day_of(text: str, name: str) -> date | None:
    """The day that a text names, None where it is empty; raises ReplayError for another text."""
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise ReplayError(f"{name}={text!r} is no day: write it as YYYY-MM-DD") from None
