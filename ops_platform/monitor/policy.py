"""What a retraining policy is, what it is given, and how `every:28` names one of `policies/`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from inspect import signature
from typing import Protocol

import pandas as pd

from ops_platform import plug_ins
from ops_platform.errors import OpsError
from ops_platform.monitor import policies
from ops_platform.monitor.alarms import Alarm


class Evidence(Protocol):
    """What is known of a champion at the end of a day, read when a policy asks for it."""

    def judged(self) -> pd.DataFrame:
        """Its days of `monitor.drift`, of the NDCG, in order: period, value, reference."""
        ...

    def alarms(self) -> Sequence[Alarm]:
        """Its alarms, oldest first."""
        ...

    def input_alarms(self) -> Sequence[Alarm]:
        """Those of the model's inputs since its as-of, oldest first."""
        ...

    def past(self) -> pd.DataFrame:
        """As `judged`, of the champions before it, with version and age, days since its as-of."""
        ...

    def traffic(self) -> pd.DataFrame:
        """The days of trade since its as-of, in order: period, visits and known.

        Visits of customers who had bought on an earlier day, and those of them who had by the
        champion's as-of.
        """
        ...


@dataclass(frozen=True)
class Standing:
    """How a model stands at the end of a day; nothing in it is of a later one.

    Attributes
    ----------
    day : the newest published one.
    as_of : the champion's.
    evidence : of the days between.
    """

    day: date
    as_of: date
    evidence: Evidence

    @property
    def age(self) -> int:
        """Days since the champion's as-of."""
        return (self.day - self.as_of).days


@dataclass(frozen=True)
class Reason:
    """Why a model is to be retrained: `key` stays the same for the same cause of a champion."""

    key: str
    text: str


class Policy(Protocol):
    """What a file of `policies/` must offer; its parameters are numbers with defaults."""

    def reason(self, standing: Standing) -> Reason | None:
        """Why the champion is to be retrained now, None where it is not."""
        ...


def policy(spec: str) -> Policy:
    """The policy that `every:28`, `worth_it:cost=3` or `cusum+every:28` names.

    After the file's name its parameters, by their place or their name; with `+` the first policy
    that has a reason decides.

    Raises
    ------
    OpsError : there is no such file or class, or it does not take these parameters.
    """
    found = [_single(part) for part in spec.split("+")]
    return found[0] if len(found) == 1 else _Any(found)


def _single(spec: str) -> Policy:
    name, _, given = spec.partition(":")
    called = f"retraining policy {name!r}"
    kind = plug_ins.class_named(policies, name, called, OpsError)
    try:
        parameters = [part.rpartition("=") for part in given.split(",") if part]
        by_place = [float(value) for key, _, value in parameters if not key]
        by_name = {key: float(value) for key, _, value in parameters if key}
        made: Policy = kind(*by_place, **by_name)
    except (TypeError, ValueError) as error:
        # What a policy says of a value is plain, what Python says of the number of them is not.
        why = f": {error}" if isinstance(error, ValueError) else ""
        takes = ", ".join(signature(kind).parameters) or "no parameters"
        raise OpsError(
            f"the retraining policy {spec!r} can't be made{why}: {name} takes {takes}; it is "
            "written like every:28 or worth_it:cost=3"
        ) from error
    return made


def reasons(asked: Policy, standing: Standing) -> Iterator[Reason]:
    """Every reason of a policy, or of those that `+` joins, in their order."""
    for part in asked.parts if isinstance(asked, _Any) else [asked]:
        reason = part.reason(standing)
        if reason is not None:
            yield reason


class _Any:
    """Several policies: the first that has a reason decides."""

    def __init__(self, parts: Sequence[Policy]) -> None:
        self.parts = parts

    def reason(self, standing: Standing) -> Reason | None:
        return next(reasons(self, standing), None)
