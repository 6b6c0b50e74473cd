"""The door of the monitor: drift, inputs, live performance, and the pages for people."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

import dagster as dg
from dagster._core.scheduler.instigation import TickStatus

from ops_platform.automation import RETRAINING, WHEN_DATA_CHANGES
from ops_platform.errors import MonitorError, OpsError
from ops_platform.failures import told_plainly
from ops_platform.features.assets import PUBLISHED_FEATURES
from ops_platform.features.known_by import ByDelivery, by_delivery_of
from ops_platform.ingest.contract import Contract
from ops_platform.ingest.profiles import judge_sources
from ops_platform.lake.location import Lake
from ops_platform.lake.lock import POOL
from ops_platform.models.kinds import recommenders
from ops_platform.models.registry import Registry
from ops_platform.monitor import page
from ops_platform.monitor.alarm_rule import alarm_rule
from ops_platform.monitor.alerts import tell
from ops_platform.monitor.checks import INPUTS_KEY, KEY, report_check, verdict
from ops_platform.monitor.foretold import measure_foretold
from ops_platform.monitor.input_watch import InputsWatched, told_apart, watch_inputs
from ops_platform.monitor.inputs import INPUTS, InputAlarm
from ops_platform.monitor.judge_probation import judge_probation
from ops_platform.monitor.live_tables import PERFORMANCE
from ops_platform.monitor.markdown import (
    drift_table,
    foretold_table,
    inputs_table,
    performance_table,
)
from ops_platform.monitor.notices import of_alarm, of_move, of_recent_moves
from ops_platform.monitor.performance import Measured, measure
from ops_platform.monitor.probation import Probation
from ops_platform.monitor.report import gather
from ops_platform.monitor.ripe import unfit_days
from ops_platform.monitor.tables import DRIFT
from ops_platform.monitor.watch import Watched, watch
from ops_platform.serve import history, release
from ops_platform.serve.assets import RELEASE
from ops_platform.serve.promotion import Served
from ops_platform.settings import Settings

PERFORMANCE_KEY = dg.AssetKey(["monitor", "performance"])
ALARMS_TOLD = 3
T = TypeVar("T")


def _looking(
    key: dg.AssetKey, table: str, library: str, description: str
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """The decorator of an asset that looks at what is published."""
    return dg.asset(
        key=key,
        deps=[PUBLISHED_FEATURES],
        group_name="monitor",
        owners=["team:data-science"],
        kinds={"duckdb", library},
        tags={"ops": "mlops"},
        pool=POOL,
        automation_condition=WHEN_DATA_CHANGES,
        description=description,
        metadata={"dagster/table_name": f"lake.{table}"},
    )


@dataclass(frozen=True)
class _Look:
    """What every look at the models begins with.

    Parameters
    ----------
    over : the newest day that is over: others have deliveries to come.
    sources : the names of those that the marts are made of.
    """

    lake: Lake
    registry: Registry
    over: date
    sources: set[str]


def _look(settings: Settings, sources: Sequence[Contract]) -> _Look:
    lake = Lake.at(settings)
    # Each day is judged, and ripe, once and for good, so what is wrong with its data has to be
    # known by then.
    judge_sources(lake, sources, settings.now())
    return _Look(
        lake,
        Registry(settings.mlflow_tracking_uri, settings.mlflow_artifact_root),
        settings.now().date() - timedelta(days=1),
        {source.name for source in sources},
    )


def _each(models: list[str], work: Callable[[str], T]) -> tuple[list[T], list[str]]:
    """What came of the work for each model, and what kept the others from it."""
    done, faults = list[T](), list[str]()
    for name in models:
        try:
            done.append(work(name))
        except OpsError as error:
            # The other models are looked at all the same.
            faults.append(f"{name}: {error}")
    return done, faults


def _raise(faults: list[str]) -> None:
    if faults:
        raise MonitorError("\n".join(faults))


def drift_asset(models: list[str], sources: Sequence[Contract] = ()) -> dg.AssetsDefinition:
    """The asset `monitor/drift`: how each day since each champion's as-of differs from normal.

    `sources` are those that the marts are made of: of an unfit day of theirs nothing is judged.
    """

    @_looking(
        KEY,
        DRIFT,
        "pandas",
        "Each published day after a champion's as-of against what is normal for it: effect sizes "
        "by feature, and the statistic that raises alarms.",
    )
    @told_plainly()
    def drift(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        rule, look = alarm_rule(settings.alarm_rule, settings.alarm_bound), _look(settings, sources)
        unfit = unfit_days(look.lake, look.sources)

        def work(name: str) -> Watched:
            found = watch(look.lake, look.registry, name, rule, look.over, unfit)
            # Its days are judged once: this is the only time that these are new.
            for alarm in found.new_alarms:
                tell(of_alarm(alarm), settings, context.log.warning)
            report_check(context.instance, name, verdict(look.lake, look.registry, name))
            context.log.info(f"{name}: {found.reason}")
            return found

        watched, faults = _each(models, work)
        raised = [alarm for one in watched for alarm in one.new_alarms]
        _raise(faults)
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": sum(len(one.drift) for one in watched),
                "rows_added": sum(len(one.added) for one in watched),
                "periods_judged": sum(one.periods for one in watched),
                "alarms": [f"{alarm.id}: {alarm.seen}" for alarm in raised],
                "models": {one.model: one.reason for one in watched},
                "statistic": dg.MetadataValue.md("\n\n".join(map(drift_table, watched))),
            }
        )

    return drift


def inputs_asset(models: list[str], sources: list[Contract]) -> dg.AssetsDefinition:
    """The asset `monitor/inputs`: each day of what models see against the days before it.

    `sources` are those that the marts are made of: of an unfit day of theirs nothing is judged.
    """

    @_looking(
        INPUTS_KEY,
        INPUTS,
        "numpy",
        "What each model sees, by day: the evidence that it has changed, of all features together, "
        "with effect sizes by feature and segment.",
    )
    @told_plainly()
    def inputs(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        look, late = _look(settings, sources), by_delivery_of(settings)

        def work(name: str) -> InputsWatched:
            found = watch_inputs(
                *(look.lake, look.registry, name, look.over, look.sources),
                false_alarm_days=settings.false_alarm_days,
                by_delivery=late,
            )
            for alarm in found.new_alarms:
                # What was there before its champion learned is no news.
                if alarm.version:
                    tell(of_alarm(alarm), settings, context.log.warning)
            context.log.info(f"{name}: {found.reason}")
            return found

        watched, faults = _each(models, work)
        raised = [alarm for one in watched for alarm in one.new_alarms]
        _raise(faults)
        return dg.MaterializeResult(
            metadata={
                "rows_added": sum(len(one.added) for one in watched),
                "alarms": [f"{alarm.id}: {alarm.seen}" for alarm in raised],
                "whole_rows": {
                    alarm.id: _apart(look.lake, alarm, late) for alarm in raised[-ALARMS_TOLD:]
                },
                "models": {one.model: one.reason for one in watched},
                "statistic": dg.MetadataValue.md("\n\n".join(map(inputs_table, watched))),
            }
        )

    return inputs


def _apart(lake: Lake, alarm: InputAlarm, by_delivery: ByDelivery) -> str:
    found = told_apart(lake, alarm, by_delivery)
    return found if isinstance(found, str) else found.told


def performance_asset(models: list[str], sources: list[Contract]) -> dg.AssetsDefinition:
    """The asset `monitor/performance`: what was answered, and what the customers did then.

    `sources` are those that the marts are made of.
    """

    @_looking(
        PERFORMANCE_KEY,
        PERFORMANCE,
        "pandas",
        "Hit rate and NDCG of what the service answered, by day, version and segment, beside a "
        "baseline on the same customers, estimated until the labels have come; of probabilities, "
        "what they foretold and what came true.",
    )
    @told_plainly()
    def performance(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        look, late = _look(settings, sources), by_delivery_of(settings)

        def work(name: str) -> tuple[Measured, Probation | None]:
            if name not in recommenders():
                foretold = measure_foretold(
                    look.lake, look.registry, name, look.over, look.sources, late
                )
                context.log.info(f"{name}: {foretold.reason}")
                return foretold, None
            found = measure(
                look.lake, look.registry, name, look.over, settings.label_days, look.sources
            )
            context.log.info(f"{name}: {found.reason}")
            judged, went_back = judge_probation(
                settings, look.registry, name, look.over, look.sources, context.log.info
            )
            if judged and went_back:
                _tell_of_rollback(context, settings, judged, went_back)
            return found, judged

        done, faults = _each(models, work)
        _raise(faults)
        measured = [one for one, _ in done]
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": sum(len(one.rows) for one in measured),
                "days_ripened": sum(len(one.ripened) for one in measured),
                "days_waiting": sum(len(one.waiting) for one in measured),
                "models": {one.model: one.reason for one in measured},
                "probation": {
                    f"{one.model} {one.version}": one.told for _, one in done if one is not None
                },
                "performance": dg.MetadataValue.md("\n\n".join(map(_performance, measured))),
            }
        )

    return performance


def _performance(measured: Measured) -> str:
    shown = performance_table if measured.model in recommenders() else foretold_table
    return shown(measured)


def _tell_of_rollback(
    context: dg.AssetExecutionContext, settings: Settings, found: Probation, served: Served
) -> None:
    context.log_event(
        dg.AssetObservation(
            RELEASE,
            description=f"{found.model} went back from version {found.version} to version "
            f"{served.version}: {found.told}",
            metadata={"model": found.model, "release": served.release, "why": found.told},
        )
    )
    move = history.read(release.folder_of(settings.releases, found.model))[-1]
    tell(of_move(found.model, move, found), settings, context.log.warning)


def report_asset(models: list[str]) -> dg.AssetsDefinition:
    """The asset `monitor/report`: a page for each model and day, and the alerts of what serves."""

    @dg.asset(
        key=dg.AssetKey(["monitor", "report"]),
        deps=[KEY, INPUTS_KEY, PERFORMANCE_KEY, RELEASE],
        group_name="monitor",
        owners=["team:data-science"],
        kinds={"html"},
        tags={"ops": "mlops"},
        automation_condition=WHEN_DATA_CHANGES,
        description="A page for each model and day in OPS_HOME/monitor: live performance, drift by "
        "feature, alarms with their cause, promotions and rollbacks. Tells of the latter.",
    )
    @told_plainly()
    def report(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        lake = Lake.at(settings)
        registry = Registry(settings.mlflow_tracking_uri, settings.mlflow_artifact_root)
        waits, now = retraining_waits_for(context.instance), settings.now()

        def work(name: str) -> dict[str, dg.MetadataValue]:
            found = gather(lake, registry, settings.releases, name, now, waits)
            for alert in of_recent_moves(settings.releases, name, now, found.probations):
                tell(alert, settings, context.log.warning)
            drawn = page.draw(found)
            place = page.write(found, drawn, settings.home / "monitor")
            return {
                f"{name} page": dg.MetadataValue.path(place),
                f"{name} pictures": dg.MetadataValue.md(page.as_markdown(drawn)),
            }

        told, faults = _each(models, work)
        _raise(faults)
        return dg.MaterializeResult(
            metadata={key: one for made in told for key, one in made.items()}
        )

    return report


def retraining_waits_for(instance: dg.DagsterInstance) -> str:
    """What the retraining sensor said last, and when; empty before its first tick."""
    # Dagster makes one for a moment where nothing has ever run.
    if instance.schedule_storage is None:
        return ""
    for state in instance.all_instigator_state():
        if state.instigator_name == RETRAINING:
            ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=2)
            # One that is under way has said nothing yet.
            said = next((one for one in ticks if one.status != TickStatus.STARTED), None)
            if said is None:
                return ""
            if said.status == TickStatus.FAILURE:
                return "its sensor failed, see its ticks"
            told = said.skip_reason or "a run that it has asked for"
            at = datetime.fromtimestamp(said.timestamp, UTC)
            return f"{told} (of all models, said at {at:%Y-%m-%d %H:%M} UTC)"
    return ""
