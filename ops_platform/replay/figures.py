"""What each policy earned: quality, regret against daily, and how much of its gain is kept."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ops_platform.models.bootstrap import RESAMPLES
from ops_platform.models.evaluation import Task
from ops_platform.replay.backtest import DAILY, NEVER, Backtest

TASKS: tuple[Task, ...] = ("all items", "discovery")


@dataclass(frozen=True)
class Between:
    """A figure with the ends of its 95 % interval, by a bootstrap over customers."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Figure:
    """How a policy did in a task.

    Attributes
    ----------
    visits : that were judged.
    ndcg : mean NDCG@20 of a visit.
    regret : what it lacks of daily's, paired on the same customers.
    kept : share of what daily gains over never that it gains; None where daily gains nothing.
    """

    policy: str
    task: Task
    visits: int
    ndcg: Between
    regret: Between
    kept: Between | None


def values(backtest: Backtest, task: Task) -> pd.DataFrame:
    """NDCG@20 of each visit that the task judges, a column a policy, indexed by (day, customer)."""
    found = {
        name: walk.ndcg if task == "all items" else walk.discovery
        for name, walk in backtest.walks.items()
    }
    index = pd.MultiIndex.from_arrays([backtest.day, backtest.customer], names=["day", "customer"])
    return pd.DataFrame(found, index=index).dropna()


def by_day(backtest: Backtest, task: Task) -> pd.DataFrame:
    """Mean NDCG@20 of a day's visits, a row a day, a column a policy."""
    return values(backtest, task).groupby(level="day").mean()


def figures(backtest: Backtest, seed: int = 0) -> list[Figure]:
    """Each policy's figures for both tasks."""
    return [one for task in TASKS for one in _of_task(values(backtest, task), task, seed)]


def as_markdown(backtest: Backtest, told: Sequence[Figure], task: Task) -> str:
    """The figures of a task as a Markdown table."""
    titles = ("policy", "trainings", "NDCG@20", "below daily", "of daily's gain")
    head = f"| {' | '.join(titles)} |\n{'|---' * len(titles)}|"
    rows = [
        f"| {one.policy} | {len(backtest.walks[one.policy].trainings)} | {one.ndcg.value:.4f} "
        f"| {one.regret.value:+.4f} [{one.regret.low:+.4f}, {one.regret.high:+.4f}] "
        f"| {f'{one.kept.value:.1%}' if one.kept else ''} |"
        for one in told
        if one.task == task
    ]
    return "\n".join([head, *rows])


def _of_task(scores: pd.DataFrame, task: Task, seed: int) -> Iterator[Figure]:
    means = scores.mean()
    resampled = resampled_means(scores, seed)
    gained = resampled[DAILY] - resampled[NEVER]
    for name in scores.columns:
        kept = None
        if gained.min() > 0:
            share = (means[name] - means[NEVER]) / (means[DAILY] - means[NEVER])
            kept = between(share, (resampled[name] - resampled[NEVER]) / gained)
        yield Figure(
            str(name),
            task,
            len(scores),
            between(means[name], resampled[name]),
            between(means[DAILY] - means[name], resampled[DAILY] - resampled[name]),
            kept,
        )


def between(value: float, resampled: pd.Series) -> Between:
    """A figure with its interval, from what it is in each resample."""
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Between(float(value), float(low), float(high))


def resampled_means(scores: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The mean visit of resampled customers, a row a resample; the same ones for all policies."""
    by_customer = scores.groupby(level="customer")
    totals, counts = by_customer.sum().to_numpy(), by_customer.size().to_numpy()
    n = len(counts)
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    return pd.DataFrame((drawn @ totals) / (drawn @ counts)[:, None], columns=scores.columns)
