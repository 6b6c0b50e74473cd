"""When tables and features are made by themselves; models never are, they are retrained."""

from collections.abc import Sequence
from functools import reduce
from operator import and_, or_
from typing import Any

import dagster as dg

# Where a source's own step has failed its table is as it was, its last good state, and its checks
# could not run: that holds nothing back but itself. Before publishing all are run again.
_SOUND = dg.AutomationCondition.all_checks_match(
    dg.AutomationCondition.check_passed() | dg.AutomationCondition.execution_failed(),
    blocking_only=True,
)
_READY = _SOUND & ~dg.AutomationCondition.missing() & ~dg.AutomationCondition.in_progress()
# Plain `eager()` walks past a blocking check that failed in an earlier run. A dependency that is
# made in the same run is checked there, so all that follows a change is one run and not one a step.
WHEN_DATA_CHANGES = dg.AutomationCondition.eager() & dg.AutomationCondition.all_deps_match(
    _SOUND | dg.AutomationCondition.will_be_requested()
)


def when_any_changes(sources: Sequence[dg.AssetKey]) -> dg.AutomationCondition[Any]:
    """Once any of the sources has changed, and all of them are there and have passed their checks.

    Of all that has this condition everything is asked for at once, so that it fits together.
    """
    matches = dg.AutomationCondition.asset_matches
    changed: dg.AutomationCondition[Any] = reduce(
        or_, (matches(key, dg.AutomationCondition.newly_updated()) for key in sources)
    )
    ready = reduce(and_, (matches(key, _READY) for key in sources))
    return (
        (dg.AutomationCondition.newly_missing() | changed).since_last_handled()
        & ready
        & ~dg.AutomationCondition.in_progress()
    )


EVERY_SECONDS = 5
# Of a run that fails, as long as nothing else asks for it again.
MAX_RETRIES = {"dagster/max_retries": "2"}
CAUSE_TAG = "ops/cause"
# Deliveries that changed after this moment, in ns since 1970, are left for a later run.
SETTLED_TAG = "ops/settled_ns"
AUTOMATION, RETRAINING = "automation", "retraining"


def data_automation() -> dg.AutomationConditionSensorDefinition:
    """The sensor that asks the assets' conditions."""
    return dg.AutomationConditionSensorDefinition(
        AUTOMATION,
        target=dg.AssetSelection.all(),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=EVERY_SECONDS,
        # A condition asks once for a change, whatever became of the run.
        run_tags=MAX_RETRIES,
        description="Materializes marts, features and what watches them once what they are made "
        "of has changed and has passed its blocking checks.",
    )
