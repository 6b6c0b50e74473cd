"""The door of ingest: each contract's raw table as an asset, its rules as asset checks."""

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta

import dagster as dg

from ops_platform.automation import SETTLED_TAG
from ops_platform.errors import OpsError
from ops_platform.failures import told_plainly
from ops_platform.ingest import ledger
from ops_platform.ingest.contract import Contract
from ops_platform.ingest.copies import source_location
from ops_platform.ingest.expectations import expectations
from ops_platform.ingest.location import is_copied
from ops_platform.ingest.rules import raw_checks
from ops_platform.ingest.take_in import Intake, has_news, take_in
from ops_platform.ingest.typed_read import rules
from ops_platform.lake import catalog
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.lake.lock import POOL
from ops_platform.settings import Settings

TROUBLED = ("refused", "vanished")


def raw_asset(contract: Contract) -> dg.AssetsDefinition:
    """The asset `raw/<source>`: its deliveries taken in under the contract."""

    @dg.asset(
        key=["raw", contract.name],
        group_name="ingest",
        description=contract.description,
        owners=_owners(contract),
        kinds={"duckdb", contract.format},
        tags={**_tags(contract.document.tags or []), "ops": "dataops"},
        pool=POOL,
        code_version=contract.version,
        metadata={
            "dagster/column_schema": _column_schema(contract),
            "contract": f"{contract.name} {contract.version}",
            **_told(contract),
        },
        check_specs=[
            dg.AssetCheckSpec(
                "deliveries",
                asset=["raw", contract.name],
                description="No delivery is refused under its contract, or has vanished.",
            ),
            dg.AssetCheckSpec(
                "columns",
                asset=["raw", contract.name],
                description="No delivery has a column that the contract does not name. It stays "
                "in the delivery, and is taken in once the contract names it.",
            ),
            dg.AssetCheckSpec(
                "quarantine",
                asset=["raw", contract.name],
                description="No row of a delivery is in quarantine.",
            ),
        ],
        output_required=True,
    )
    def raw(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> Iterator[dg.MaterializeResult]:  # type: ignore[type-arg]
        with told_plainly():
            lake = Lake.at(settings)
            try:
                yield _landed(context, settings, lake, contract)
            except OpsError as error:
                if has_news(lake, contract, None, settings.now()):
                    # Marts are made of all sources: of one that fails from its first day on, of an
                    # empty table, as if it were not connected.
                    take_in(lake, contract, None, settings.now(), context.log.info)
                    yield _report(lake, contract, Intake([]), f"it fails: {error}")
                raise

    return raw


def _landed(
    context: dg.AssetExecutionContext, settings: Settings, lake: Lake, contract: Contract
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    # Where the sensor asked, it has copied what it saw: a slow source is not waited for here.
    seen = timedelta(seconds=settings.poll_seconds if SETTLED_TAG in context.run_tags else 0)
    location = source_location(settings, contract, seen)
    if location is None:
        context.log.info(f"{contract.name} is not connected: its table stays as it is")
    settled = None if is_copied(settings, contract) else context.run_tags.get(SETTLED_TAG)
    intake = take_in(
        lake, contract, location, settings.now(), context.log.info, settled and int(settled)
    )
    for entry in intake.changed:
        if entry.status == "refused" or entry.is_outdated:
            context.log.warning(f"{entry.status} {entry.path}: {entry.trouble}")
    return _report(lake, contract, intake, "yes" if location is not None else "not connected")


def _report(lake: Lake, contract: Contract, intake: Intake, connected: str) -> dg.MaterializeResult:  # type: ignore[type-arg]
    with connect(lake) as connection:
        entries = ledger.read(connection, contract.name)
        reasons = connection.execute(
            "SELECT reason, count(*) FROM (SELECT unnest(reasons) AS reason "
            f"FROM quarantine.{contract.name}) GROUP BY 1 ORDER BY 2 DESC, 1"
        ).fetchall()
    held = list(ledger.held(entries).values())
    new = {entry.number for entry in intake.changed}
    loads = [[_name(e), e.rows_raw, e.rows_quarantined] for e in held if e.number in new]
    return dg.MaterializeResult(
        metadata={
            "connected": connected,
            "dagster/row_count": sum(entry.rows_raw for entry in held),
            "rows_quarantined": sum(entry.rows_quarantined for entry in held),
            "deliveries": len(held),
            **{f"deliveries_{s}": intake.count(s) for s in ("taken", "refused", "vanished")},
            "loads": _table(["delivery", "rows", "quarantined"], loads[:400]),
        },
        check_results=[
            _deliveries_check(entries),
            _columns_check(held),
            _quarantine_check(held, reasons),
        ],
    )


def _name(entry: ledger.Entry) -> str:
    return entry.path.rsplit("/", 1)[-1]


def _deliveries_check(entries: list[ledger.Entry]) -> dg.AssetCheckResult:
    troubled = [
        [entry.path, entry.status, entry.trouble or ""]
        for entry in entries
        if entry.status in TROUBLED or entry.is_outdated
    ]
    return dg.AssetCheckResult(
        check_name="deliveries",
        passed=not troubled,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"troubled": _table(["delivery", "status", "reason"], troubled[-50:])},
    )


def _columns_check(held: list[ledger.Entry]) -> dg.AssetCheckResult:
    unnamed = {
        name: _name(entry)
        for entry in held
        if entry.status == "taken" and entry.unnamed
        for name in entry.unnamed.split(", ")
    }
    return dg.AssetCheckResult(
        check_name="columns",
        passed=not unnamed,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"unknown": _table(["column", "last in"], list(unnamed.items()))},
    )


def _quarantine_check(
    held: list[ledger.Entry], reasons: list[tuple[str, int]]
) -> dg.AssetCheckResult:
    rows = sum(entry.rows_quarantined for entry in held)
    return dg.AssetCheckResult(
        check_name="quarantine",
        passed=rows == 0,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"rows": rows, "reasons": _table(["reason", "rows"], reasons)},
    )


def _table(header: list[str], rows: Sequence[Sequence[object]]) -> dg.MarkdownMetadataValue:
    lines = [header, ["---"] * len(header), *rows]
    return dg.MetadataValue.md(
        "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
    )


def _owners(contract: Contract) -> list[str]:
    """The team, and of its members those whom the graph can name, by their addresses."""
    team = contract.document.team
    members = team if isinstance(team, list) else (team and team.members) or []
    return [f"team:{contract.owner}"] + [
        str(one.username) for one in members if "@" in str(one.username) and not one.dateOut
    ]


def _tags(words: Sequence[str]) -> dict[str, str]:
    """Words of a contract as the graph takes them."""
    return {re.sub(r"[^\w.-]+", "_", word, flags=re.ASCII)[:63]: "" for word in words}


def _told(contract: Contract) -> dict[str, str]:
    """What the contract tells people of its source."""
    document, told = contract.document, contract.document.description
    words = {
        "status": document.status,
        "domain": document.domain,
        "purpose": told and told.purpose,
        "usage": told and told.usage,
        "limitations": told and told.limitations,
    }
    return {name: text for name, text in words.items() if text}


def _column_schema(contract: Contract) -> dg.TableSchema:
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                column.stored_type,
                description=column.description,
                constraints=dg.TableColumnConstraints(
                    nullable=not column.required,
                    unique=(column.name,) in contract.keys,
                    other=[fault.reason.removeprefix(f"{column.name}: ") for fault in broken],
                ),
                tags=_tags(column.tags)
                | ({"classification": column.classification} if column.classification else {}),
            )
            for column, broken in zip(contract.columns, rules(contract).values(), strict=True)
        ]
        + [dg.TableColumn("_delivery", "VARCHAR", description="SHA-256 of the row's delivery.")]
    )


def steps(contract: Contract) -> list[str]:
    """The steps of a run that are a source's own: its table, and the contract's checks of it."""
    return [f"raw__{contract.name}", _checks_step(contract)]


def _checks_step(contract: Contract) -> str:
    return f"{contract.name}_contract"


def contract_checks(contract: Contract) -> dg.AssetChecksDefinition:
    """Every rule of the contract as an asset check of the raw table.

    What breaks the schema blocks; quality, references, freshness and latency warn.
    """
    key = dg.AssetKey(["raw", contract.name])
    blocking, warning = raw_checks(contract), expectations(contract)

    @dg.multi_asset_check(
        name=_checks_step(contract),
        specs=[
            *(
                dg.AssetCheckSpec(c.name, asset=key, blocking=True, description=c.description)
                for c in blocking
            ),
            *(dg.AssetCheckSpec(w.name, asset=key, description=w.description) for w in warning),
        ],
    )
    def contract_holds(settings: dg.ResourceParam[Settings]) -> Iterator[dg.AssetCheckResult]:
        lake = Lake.at(settings)
        with told_plainly(), connect(lake, snapshot=catalog.head(lake)) as connection:
            for check in blocking:
                failing = check.failures(connection)
                yield dg.AssetCheckResult(
                    asset_key=key,
                    check_name=check.name,
                    passed=failing == 0,
                    metadata={"failing_rows": failing},
                )
            for one in warning:
                finding = one.judge(connection, settings.now())
                yield dg.AssetCheckResult(
                    asset_key=key,
                    check_name=one.name,
                    passed=finding.holds,
                    severity=dg.AssetCheckSeverity.ERROR
                    if one.severity == "error"
                    else dg.AssetCheckSeverity.WARN,
                    metadata=finding.found,
                )

    return contract_holds
