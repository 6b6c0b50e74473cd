"""Several policies side by side on one history, with the two ends: never and daily."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial

import duckdb
import numpy as np

from ops_platform.features.build import published_with_features, stamps_of
from ops_platform.features.view import find_views
from ops_platform.lake.connect import connect
from ops_platform.lake.digest import digest_rows
from ops_platform.models.recommending import interactions_by
from ops_platform.monitor.input_profiles import ALL, BEFORE, inputs_of, profile
from ops_platform.monitor.policies.every import Every
from ops_platform.monitor.policies.never import Never
from ops_platform.monitor.retraining import Rules
from ops_platform.monitor.watch import lines_between
from ops_platform.replay.history import visits_of
from ops_platform.replay.input_walk import Days, InputWalk
from ops_platform.replay.period import period_of
from ops_platform.replay.request import Request
from ops_platform.replay.store import Store, folder_of
from ops_platform.replay.walk import Walk, Walker

NEVER, DAILY = "never", "daily"
# The end that all is measured against waits for nothing.
UNBOUND = Rules(cooldown_days=0, shortest_days=1, retry_seconds=0, a_month=31)
_DATA = (
    "SELECT * FROM marts.fct_interactions",
    "SELECT ordered_on, customer_id, product_id FROM marts.fct_order_lines "
    "WHERE is_purchase AND is_product",
)
Say = Callable[[str], object]


@dataclass(frozen=True)
class Backtest:
    """What came of each policy in a period.

    Attributes
    ----------
    model : its name.
    first, last : day of the period.
    start : as-of of the first champion, the same for all.
    day : datetime64[D] (n,), of each visit.
    customer : int (n,), whose it was.
    walks : by the policy, from never to daily.
    """

    model: str
    first: date
    last: date
    start: date
    day: np.ndarray
    customer: np.ndarray
    walks: dict[str, Walk]


def replay(request: Request, say: Say = lambda text: None) -> Backtest:
    """Walk the policies through the period that is asked for, and the two ends.

    Raises
    ------
    ReplayError : as `period_of`.
    NotPublishedError : there are no features yet.
    """
    with walker_for(request, say) as walker:
        walks = {}
        for spec, policy in request.policies.items():
            if spec not in (NEVER, DAILY):
                say(f"walking {spec}")
                walks[spec] = walker.walk(policy, request.rules)
        return beside_the_ends(walker, walks)


@contextmanager
def walker_for(request: Request, say: Say = lambda text: None) -> Iterator[Walker]:
    """What walks policies through the period that is asked for, the recipe fitted as of each day.

    Raises as `replay`.
    """
    pointer = published_with_features(request.lake)
    with connect(request.lake, snapshot=pointer.snapshot) as connection:
        newest = max(day for _, day in stamps_of(connection, find_views()))
        lines = lines_between(connection, date.min, newest)
        trade = [day.date() for day in lines["day"].drop_duplicates()]
        period = period_of(trade, request.first, request.last)
        digests = [digest_rows(connection, sql) for sql in _DATA]
        folder = folder_of(request.home, request.model, digests)
        say(f"what is fitted is kept in {folder}")
        known = partial(interactions_by, connection)
        store = Store(folder, request.model, visits_of(lines), known, say)
        # In order, which is cheaper; what else a policy needs is fitted when it does.
        store.prepare([period.start, *period.days[:-1]])
        profiles = partial(_inputs, connection, request.name, newest)
        inputs = InputWalk(request.name, profiles, request.false_alarm_days)
        yield Walker(request.name, store, period, request.rule, inputs)


def _inputs(connection: duckdb.DuckDBPyConnection, name: str, until: date) -> Days:
    """The profiles of what the model sees, by day and feature; nothing was served in the past."""
    # A recommender sees interactions, which are known from their day on.
    seen = inputs_of(name, {})
    dataset = seen.datasets[0]
    days = profile(connection, seen, dataset, BEFORE, until)[ALL]
    return {
        day: {f"{dataset}/{column}": one for column, one in columns.items()}
        for day, columns in days.items()
    }


def beside_the_ends(walker: Walker, walks: Mapping[str, Walk]) -> Backtest:
    """Walks with those of never and daily retraining."""
    visits, period = walker.store.visits, walker.period
    inside = slice(visits.first_after(period.start), visits.first_after(period.days[-1]))
    never, daily = (walker.walk(policy, UNBOUND) for policy in (Never(), Every(1)))
    return Backtest(
        walker.model,
        period.days[0],
        period.days[-1],
        period.start,
        visits.day[inside],
        visits.customer[inside],
        {NEVER: never, **walks, DAILY: daily},
    )
