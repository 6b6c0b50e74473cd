"""The door of the monitor: drift, live performance, and the pages for people."""

from collections.abc import Sequence
from datetime import date, timedelta

import dagster as dg
import pandas as pd
from dagster._core.scheduler.instigation import TickStatus

from ops_platform.automation import RETRAINING, WHEN_DATA_CHANGES
from ops_platform.errors import MonitorError, OpsError
from ops_platform.failures import told_plainly
from ops_platform.features.assets import PUBLISHED_FEATURES
from ops_platform.ingest.contract import Contract, customer_key
from ops_platform.ingest.contract_file import read_contracts
from ops_platform.ingest.profiles import judge_sources
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.lake.lock import POOL
from ops_platform.lake.write import write
from ops_platform.models.registry import Registry
from ops_platform.monitor import page
from ops_platform.monitor.alarm_rule import alarm_rule
from ops_platform.monitor.alarms import Alarm, alarms
from ops_platform.monitor.alerts import tell
from ops_platform.monitor.checks import INPUTS_KEY, KEY, report_check, verdict
from ops_platform.monitor.live_tables import PERFORMANCE
from ops_platform.monitor.notices import of_alarm, of_move, of_recent_moves
from ops_platform.monitor.performance import Measured, measure
from ops_platform.monitor.probation import PASSED, WORSE, Probation, on_probation, term
from ops_platform.monitor.probation_table import keep_probation, read_probation
from ops_platform.monitor.profile import NDCG
from ops_platform.monitor.reference import SPAN_DAYS
from ops_platform.monitor.report import gather
from ops_platform.monitor.ripe import unfit_days
from ops_platform.monitor.shown import performance_table
from ops_platform.monitor.tables import DRIFT
from ops_platform.monitor.watch import Watched, watch
from ops_platform.serve import history, release
from ops_platform.serve.assets import RELEASE
from ops_platform.serve.promotion import Served
from ops_platform.serve.rollback import roll_back
from ops_platform.settings import Settings

PERFORMANCE_KEY = dg.AssetKey(["monitor", "performance"])


def drift_asset(models: list[str], sources: Sequence[Contract] = ()) -> dg.AssetsDefinition:
    """The asset `monitor/drift`: how each day since each champion's as-of differs from normal.

    `sources` are those that the marts are made of: of an unfit day of theirs nothing is judged.
    """

    @dg.asset(
        key=KEY,
        deps=[PUBLISHED_FEATURES],
        group_name="monitor",
        owners=["team:data-science"],
        kinds={"duckdb", "pandas"},
        tags={"ops": "mlops"},
        pool=POOL,
        automation_condition=WHEN_DATA_CHANGES,
        description="Each published day after a champion's as-of against what is normal for it: "
        "effect sizes by feature, and the statistic that raises alarms.",
        metadata={"dagster/table_name": f"lake.{DRIFT}"},
    )
    @told_plainly()
    def drift(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        lake = Lake.at(settings)
        registry = Registry(settings.mlflow_tracking_uri, settings.mlflow_artifact_root)
        rule = alarm_rule(settings.alarm_rule, settings.alarm_bound)
        # A day that is not over has deliveries to come, and each is judged once.
        over = settings.now().date() - timedelta(days=1)
        # Each day is judged once, so what is wrong with its data has to be known by then.
        judge_sources(lake, sources, settings.now())
        unfit = unfit_days(lake, {source.name for source in sources})
        watched, faults = list[Watched](), list[str]()
        for name in models:
            try:
                watched.append(watch(lake, registry, name, rule, over, unfit))
                report_check(context.instance, name, verdict(lake, registry, name))
            except OpsError as error:
                # The other models are watched all the same.
                faults.append(f"{name}: {error}")
                continue
            context.log.info(f"{name}: {watched[-1].reason}")
        # Their days are judged once: this is the only time that these are new.
        raised = [alarm for one in watched for alarm in _new_alarms(one)]
        for alarm in raised:
            tell(of_alarm(alarm), settings, context.log.warning)
        if faults:
            raise MonitorError("\n".join(faults))
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": sum(len(one.drift) for one in watched),
                "rows_added": sum(len(one.added) for one in watched),
                "periods_judged": sum(_periods(one.added) for one in watched),
                "alarms": [f"{alarm.id}: {alarm.seen}" for alarm in raised],
                "models": {one.model: one.reason for one in watched},
                "statistic": dg.MetadataValue.md("\n\n".join(map(_table, watched))),
            }
        )

    return drift


def _periods(rows: pd.DataFrame) -> int:
    return 0 if rows.empty else int(rows["period"].nunique())


def _new_alarms(watched: Watched) -> list[Alarm]:
    raised = alarms(watched.drift) if not watched.drift.empty else []
    added = set() if watched.added.empty else set(watched.added["period"].dt.date)
    return [alarm for alarm in raised if alarm.period in added]


def _table(watched: Watched) -> str:
    """The last days of a champion as Markdown."""
    title = f"**{watched.model}** version {watched.version}: {watched.reason}"
    if watched.drift.empty:
        return title
    days = watched.drift[watched.drift["feature"] == NDCG].tail(SPAN_DAYS)
    lines = [
        f"| {day['period']:%Y-%m-%d} | {day['value']:.3f} | {day['reference']:.3f} "
        f"| {day['effect']:+.2f} | {day['statistic']:.2f} | {day['bound']:g} "
        f"| {'**alarm**' if day['alarm'] else ''} |"
        for _, day in days.iterrows()
    ]
    head = f"| day | {NDCG} | reference | effect | statistic | bound | |"
    return "\n".join([title, "", head, "|---|---|---|---|---|---|---|", *lines])


def performance_asset(models: list[str], sources: list[Contract]) -> dg.AssetsDefinition:
    """The asset `monitor/performance`: what was answered, and what the customers did then.

    `sources` are those that the marts are made of.
    """

    @dg.asset(
        key=PERFORMANCE_KEY,
        deps=[PUBLISHED_FEATURES],
        group_name="monitor",
        owners=["team:data-science"],
        kinds={"duckdb", "pandas"},
        tags={"ops": "mlops"},
        pool=POOL,
        automation_condition=WHEN_DATA_CHANGES,
        description="Hit rate and NDCG of what the service answered, by day, version and segment, "
        "beside a baseline on the same customers; estimated until the labels have come.",
        metadata={"dagster/table_name": f"lake.{PERFORMANCE}"},
    )
    @told_plainly()
    def performance(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        lake = Lake.at(settings)
        registry = Registry(settings.mlflow_tracking_uri, settings.mlflow_artifact_root)
        over = settings.now().date() - timedelta(days=1)
        # A day is ripe once and for good, so what is wrong with its data has to be known then.
        judge_sources(lake, sources, settings.now())
        of = {source.name for source in sources}
        measured, judged, faults = list[Measured](), list[Probation](), list[str]()
        for name in models:
            try:
                found = measure(lake, registry, name, over, settings.label_days, of)
                measured.append(found)
                judged += _judge_probation(context, settings, registry, name, over, of)
            except OpsError as error:
                # The other models are measured all the same.
                faults.append(f"{name}: {error}")
                continue
            context.log.info(f"{name}: {found.reason}")
        if faults:
            raise MonitorError("\n".join(faults))
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": sum(len(one.rows) for one in measured),
                "days_ripened": sum(len(one.ripened) for one in measured),
                "days_waiting": sum(len(one.waiting) for one in measured),
                "models": {one.model: one.reason for one in measured},
                "probation": {f"{one.model} {one.version}": one.told for one in judged},
                "performance": dg.MetadataValue.md("\n\n".join(map(performance_table, measured))),
            }
        )

    return performance


def _judge_probation(
    context: dg.AssetExecutionContext,
    settings: Settings,
    registry: Registry,
    name: str,
    over: date,
    sources: set[str],
) -> list[Probation]:
    """What is known of the version on probation, which goes where it does worse; at most one."""
    lake, on_trial = Lake.at(settings), term(settings.releases, name)
    if on_trial is None:
        return []
    if on_trial.predecessor not in registry.numbers(name):
        context.log.warning(
            f"{name} version {on_trial.version} is on no probation: version "
            f"{on_trial.predecessor}, which served before it, was deleted from the registry"
        )
        return []
    with connect(lake) as connection:
        before = read_probation(connection, name).get(on_trial.version)
    if before is not None and before.decision == PASSED:
        return [before]
    found = on_probation(
        lake,
        registry,
        on_trial,
        name,
        over=over,
        label_days=settings.label_days,
        probation_days=settings.probation_days,
        sources=sources,
    )
    write(lake, lambda connection: keep_probation(connection, found))
    context.log.info(f"{name} version {found.version} on probation: {found.decision}, {found.told}")
    if found.decision == WORSE:
        key = customer_key(read_contracts(settings.contracts, settings.hash_key))
        now, to = settings.now(), found.predecessor
        # While it was judged another may have been promoted, which is not to be left.
        served = roll_back(
            lake, registry, settings.releases, name, now, key, to=to, only_from=found.version
        )
        # A person may have been faster.
        if served.moved:
            _tell_of_rollback(context, settings, found, served)
    return [found]


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
        told, faults = dict[str, dg.MetadataValue](), list[str]()
        for name in models:
            waits, now = retraining_waits_for(context.instance), settings.now()
            try:
                found = gather(lake, registry, settings.releases, name, now, waits)
            except OpsError as error:
                # The other models have their pages all the same.
                faults.append(f"{name}: {error}")
                continue
            for alert in of_recent_moves(settings.releases, name, now, found.probations):
                tell(alert, settings, context.log.warning)
            drawn = page.draw(found)
            told[f"{name} page"] = dg.MetadataValue.path(
                page.write(found, drawn, settings.home / "monitor")
            )
            told[f"{name} pictures"] = dg.MetadataValue.md(page.as_markdown(drawn))
        if faults:
            raise MonitorError("\n".join(faults))
        return dg.MaterializeResult(metadata=told)

    return report


def retraining_waits_for(instance: dg.DagsterInstance) -> str:
    """What the retraining sensor said last, empty before its first tick."""
    for state in instance.all_instigator_state():
        if state.instigator_name == RETRAINING:
            ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=2)
            # One that is under way has said nothing yet.
            said = next((one for one in ticks if one.status != TickStatus.STARTED), None)
            if said is None:
                return ""
            if said.status == TickStatus.FAILURE:
                return "its sensor failed, see its ticks"
            return str(said.skip_reason or "a run that it has asked for")
    return ""
