"""The door of the data's judgement: profiles by day as an asset, each source's anomalies on it."""

from collections.abc import Iterator, Mapping
from datetime import date

import dagster as dg

from ops_platform.automation import when_any_changes
from ops_platform.failures import told_plainly
from ops_platform.ingest.contract import Contract
from ops_platform.ingest.profiles import judge_sources
from ops_platform.lake.connect import connect
from ops_platform.lake.faults import PROFILES, Fault, faults, read_judged
from ops_platform.lake.history import Judgement
from ops_platform.lake.location import Lake
from ops_platform.lake.lock import POOL
from ops_platform.settings import Settings

KEY = dg.AssetKey(["monitor", "profiles"])
FAULTS_SHOWN = 50
DAYS_SHOWN = 70
BARS = "▁▂▃▄▅▆▇█"


def check_name(source: str) -> str:
    """The name of a source's check."""
    return f"anomalies_{source}"


def profiles_asset(contracts: list[Contract]) -> dg.AssetsDefinition:
    """The asset `monitor/profiles`: every source's days, as they were and as they were judged."""

    sources = [dg.AssetKey(["raw", contract.name]) for contract in contracts]

    @dg.asset(
        key=KEY,
        deps=sources,
        group_name="monitor",
        owners=["team:data-engineering"],
        kinds={"duckdb"},
        tags={"ops": "dataops"},
        pool=POOL,
        automation_condition=when_any_changes(sources),
        description="Each source's rows by day: volume, nulls, distinct values and distribution of "
        "its columns, and whether they are unlike the source's own history.",
        metadata={"dagster/table_name": f"lake.{PROFILES}"},
    )
    @told_plainly()
    def profiles(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        lake = Lake.at(settings)
        done = judge_sources(lake, contracts, settings.now())
        found = faults(lake)
        for fault in found:
            if fault.day in done[fault.source].judged:
                context.log.warning(f"{fault.told} ({fault.judged.verdict})")
        return dg.MaterializeResult(
            metadata={
                "days_profiled": {name: one.profiled for name, one in done.items()},
                "days_judged": {name: len(one.judged) for name, one in done.items()},
                "anomalies": _table(found),
                "rows_by_day": dg.MetadataValue.md(_pictures(lake, contracts)),
            },
        )

    return profiles


def anomaly_checks(contracts: list[Contract]) -> dg.AssetChecksDefinition:
    """For each source a check that warns of days unlike its history."""

    # Not specs of the asset: those would be named in the run that automation asks for, and of a run
    # in which some checks are named the others, dbt's tests too, are left out.
    @dg.multi_asset_check(
        name="anomalies",
        specs=[
            dg.AssetCheckSpec(
                check_name(contract.name),
                asset=KEY,
                description=f"No day of raw/{contract.name} is unlike its history, but what was "
                "accepted.",
            )
            for contract in contracts
        ],
    )
    def anomalies(settings: dg.ResourceParam[Settings]) -> Iterator[dg.AssetCheckResult]:
        with told_plainly():
            found = faults(Lake.at(settings))
        for contract in contracts:
            yield _result(contract, [fault for fault in found if fault.source == contract.name])

    return anomalies


def _result(contract: Contract, found: list[Fault]) -> dg.AssetCheckResult:
    open_ = [fault for fault in found if fault.accepted is None]
    told = open_[-1].told if open_ else "No anomaly."
    if contract.event_time is None:
        told = "Not judged: the contract names no time of the event."
    return dg.AssetCheckResult(
        asset_key=KEY,
        check_name=check_name(contract.name),
        passed=not open_,
        severity=dg.AssetCheckSeverity.WARN,
        description=told,
        metadata={
            "unfit_for_training": sum(fault.is_open for fault in open_),
            "anomalies": _table(found),
        },
    )


def _table(found: list[Fault]) -> dg.MarkdownMetadataValue:
    lines = ["| day | what | verdict | accepted |", "|---|---|---|---|"]
    lines += [
        f"| {fault.day} | {fault.told} | {fault.judged.verdict} | {fault.accepted or ''} |"
        for fault in reversed(found[-FAULTS_SHOWN:])
    ]
    return dg.MetadataValue.md("\n".join(lines))


def _pictures(lake: Lake, contracts: list[Contract]) -> str:
    """A line of bars a source: the rows of its last days."""
    if not lake.exists:
        return ""
    with connect(lake) as connection:
        return "\n\n".join(
            f"**{contract.name}** {_bars(read_judged(connection, contract.name))}"
            for contract in contracts
        )


def _bars(judged: Mapping[date, list[Judgement]]) -> str:
    rows = {
        day: one.value for day, all_of_it in judged.items() for one in all_of_it if not one.column
    }
    days = list(rows.items())[-DAYS_SHOWN:]
    if not days:
        return "no day yet"
    most = max(count for _, count in days)
    bars = "".join(BARS[int(count / most * (len(BARS) - 1))] for _, count in days)
    return f"{days[0][0]} {bars} {days[-1][0]}, at most {most:,.0f} rows a day"
