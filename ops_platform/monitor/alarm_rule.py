"""What an alarm rule is, and how those of `alarm_rules/` are found, by their file's name."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ops_platform import plug_ins
from ops_platform.errors import OpsError
from ops_platform.monitor import alarm_rules


@dataclass(frozen=True)
class Judgement:
    """A day's statistic, and whether it raises an alarm."""

    statistic: float
    alarm: bool


class AlarmRule(Protocol):
    """What a file of `alarm_rules/` must offer."""

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


def alarm_rule(name: str, bound: float) -> AlarmRule:
    """The rule `EDetector` of `alarm_rules/e_detector.py`, for the name `e_detector`.

    Raises OpsError when there is no such file, or no such class in it.
    """
    called = f"file for OPS_ALARM_RULE={name}"
    kind: type[AlarmRule] = plug_ins.class_named(alarm_rules, name, called, OpsError)
    return kind(bound)
