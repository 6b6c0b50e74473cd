"""What an alarm rule is, and how those of `policies/` are found, by their file's name."""

import importlib
import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

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


def names() -> list[str]:
    """The names of all alarm rules, sorted: one for each file of `policies/`."""
    return sorted(module.name for module in pkgutil.iter_modules(policies.__path__))


def policy(name: str, bound: float) -> Policy:
    """The rule `EDetector` of `policies/e_detector.py`, for the name `e_detector`.

    Raises OpsError when there is no such file, or no such class in it.
    """
    if name not in names():
        raise OpsError(
            f"OPS_ALARM_POLICY={name}: there is no such file in monitor/policies/, "
            f"only {', '.join(names())}"
        )
    module = importlib.import_module(f"{policies.__name__}.{name}")
    class_name = name.title().replace("_", "")
    try:
        kind: type[Policy] = getattr(module, class_name)
    except AttributeError:
        raise OpsError(
            f"monitor/policies/{name}.py must define the class {class_name}, named like its file"
        ) from None
    return kind(bound)
