"""The retraining decision: whether a cause asks for a run now, has to wait, or is settled."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from ops_platform.monitor.reference import SPAN_DAYS
from ops_platform.settings import Settings

MOST_FAILURES = 5
TOO_EARLY = "too early"
# How a run ended in which the gate was not asked.
CANCELLED, NOTHING = "cancelled by hand", "nothing was trained"


@dataclass(frozen=True)
class Cause:
    """Why a model is to be trained: `id` is the same for the same cause, `text` is for people."""

    id: str
    text: str


@dataclass(frozen=True)
class Attempt:
    """A run for a cause: None in `ended` while it runs, in `decision` where it came to none.

    `as_of` is the newest day that it could use, `unfit` the digest of what was unfit when it was
    asked for; `ended` is on the system's clock.
    """

    as_of: date
    unfit: str
    ended: datetime | None
    decision: str | None


@dataclass(frozen=True)
class Rules:
    """What a cause has to wait for.

    Attributes
    ----------
    cooldown_days : a champion is left alone.
    shortest_days : the shortest window that judges.
    retry_seconds : of the back-off.
    a_month : trainings of a model in a calendar month, at most.
    """

    cooldown_days: int
    shortest_days: int
    retry_seconds: float
    a_month: int


def rules_of(settings: Settings) -> Rules:
    """The rules that the settings state."""
    return Rules(
        settings.cooldown_days,
        settings.evaluation_days_min,
        settings.retry_seconds,
        settings.retrainings_a_month,
    )


def is_due(champion_as_of: date | None, as_of: date) -> bool:
    """Whether the fallback is to retrain a champion; where there is none, yes."""
    return champion_as_of is None or (as_of - champion_as_of).days >= SPAN_DAYS


def next_attempt(
    cause: Cause,
    attempts: Sequence[Attempt],
    rules: Rules,
    *,
    as_of: date,
    unfit: str,
    champion_as_of: date | None,
    trained_this_month: int,
    system_time: datetime,
) -> tuple[int | None, str]:
    """The number of the attempt to start now, or None and why not.

    A failed attempt is tried again with a back-off that doubles, until newer days, or unfit data
    that is accepted or corrected, begin it anew; one that was too early to judge leaves the cause
    open until newer days make the window long enough. What the gate decided settles nothing where
    there is no champion: the one of then was deleted.

    Parameters
    ----------
    attempts : so far, in their order.
    as_of : newest day of the published features.
    unfit : digest of what of the data is unfit now.
    champion_as_of : newest day that the champion learned from, None without one; then neither
        cool-down nor budget holds.
    trained_this_month : versions of the model that learned up to a day of the as-of's month.
    system_time : for the back-off, which is of this machine and not of the shop.
    """
    if attempts and attempts[-1].ended is None:
        return None, f"{cause.text}: a run for it is under way"
    if attempts and attempts[-1].decision == TOO_EARLY and as_of <= attempts[-1].as_of:
        return None, f"{cause.text}: too early to judge up to {as_of}, newer days are awaited"
    if is_settled(attempts, champion_as_of):
        return None, f"{cause.text}: settled, {attempts[-1].decision}"
    if champion_as_of is not None:
        age = (as_of - champion_as_of).days
        needed = max(rules.cooldown_days, rules.shortest_days)
        if age < needed:
            return None, f"{cause.text}: the champion is {age} days old, {needed} are needed"
        if trained_this_month >= rules.a_month:
            spent = f"{trained_this_month} trainings in {as_of:%Y-%m}"
            return None, f"{cause.text}: {spent}, OPS_RETRAININGS_A_MONTH allows {rules.a_month}"
    return _after_failures(cause, attempts, rules, as_of, unfit, system_time)


def is_settled(attempts: Sequence[Attempt], champion_as_of: date | None) -> bool:
    """Whether the last of a cause's attempts leaves nothing to be asked for: see `next_attempt`."""
    if not attempts or attempts[-1].ended is None:
        return False
    decision = attempts[-1].decision
    if champion_as_of is None:
        return decision in (CANCELLED, NOTHING)
    return decision not in (None, TOO_EARLY)


def _after_failures(
    cause: Cause,
    attempts: Sequence[Attempt],
    rules: Rules,
    as_of: date,
    unfit: str,
    system_time: datetime,
) -> tuple[int | None, str]:
    failures = 0
    for attempt in reversed(attempts):
        if attempt.decision is not None or attempt.as_of < as_of or attempt.unfit != unfit:
            # With newer days, or data that is no longer unfit, it is worth trying again.
            break
        failures += 1
    if failures >= MOST_FAILURES:
        return None, f"{cause.text}: {failures} runs failed one after the other, see their logs"
    if failures:
        ended = attempts[-1].ended
        assert ended is not None
        again = ended + timedelta(seconds=rules.retry_seconds * 2 ** (failures - 1))
        if system_time < again:
            return None, f"{cause.text}: failed, tried again at {again:%H:%M:%S}"
    return len(attempts) + 1, cause.text
