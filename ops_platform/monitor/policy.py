"""What an alarm rule is, and how those of `policies/` are found, by their file's name."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ops_platform import plug_ins
from ops_platform.errors import OpsError
from ops_platform.monitor import policies


@dataclass(frozen=True)
class Judgement:
    """A day's statistic, and whether it raises an alarm."""

    statistic: float
    alarm: bool


class Policy(Protocol):
    """What a file of `policies/` must offer."""

    bound: float

    def __init__(self, bound: float) -> None:
        """The bound is `OPS_ALARM_BOUND`."""
        ...

    def judge(self, evidence: Sequence[float], statistic: float = 0.0) -> list[Judgement]:
        """Judge days in their order.

        Parameters
        ----------
        evidence : by how many standard errors each day's value is worse than what is tolerated;
            below 0 it is better.
        statistic : that the day before left, 0 on the first day and on the one after an alarm.
        """
        ...


def policy(name: str, bound: float) -> Policy:
    """The rule `EDetector` of `policies/e_detector.py`, for the name `e_detector`.

    Raises OpsError when there is no such file, or no such class in it.
    """
    called = f"file for OPS_ALARM_POLICY={name}"
    kind: type[Policy] = plug_ins.class_named(policies, name, called, OpsError)
    return kind(bound)
