"""What a replay is asked for, with the platform's own rules."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from ops_platform.lake.location import Lake
from ops_platform.models.estimators import Recommends, estimator, recommends
from ops_platform.monitor.alarm_rule import AlarmRule, alarm_rule
from ops_platform.monitor.policy import Policy, policy
from ops_platform.monitor.retraining import Rules, rules_of
from ops_platform.settings import Settings


@dataclass(frozen=True)
class Request:
    """A replay that is asked for.

    Attributes
    ----------
    lake, home : of the platform; what was fitted is kept in `home`.
    name, model : the recipe, unfitted.
    policies : by what names them.
    first, last : day of the period; None for the later half of the history.
    rule : raises the alarms.
    false_alarm_days : mean days to a false alarm of the inputs.
    rules : that hold for all policies but never and daily.
    """

    lake: Lake
    home: Path
    name: str
    model: Recommends
    policies: dict[str, Policy]
    first: date | None
    last: date | None
    rule: AlarmRule
    false_alarm_days: float
    rules: Rules


def request_of(
    settings: Settings,
    name: str,
    specs: Sequence[str],
    first: date | None = None,
    last: date | None = None,
) -> Request:
    """A replay by the settings' alarm rule, cool-down and budget; its own policy if none is named.

    Raises
    ------
    OpsError : there is no such policy, alarm rule or recommender.
    """
    return Request(
        Lake.at(settings),
        settings.home,
        name,
        recommends(estimator(name)(seed=settings.seed)),
        {spec: policy(spec) for spec in specs or [settings.retraining_policy]},
        first,
        last,
        alarm_rule(settings.alarm_rule, settings.alarm_bound),
        settings.false_alarm_days,
        rules_of(settings),
    )
