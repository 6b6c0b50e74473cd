"""What must hold whenever a run was killed: each promise yields the faults that it finds."""

from collections.abc import Iterator

from benchmarks.graph import Home
from benchmarks.reader import apart, partial
from ops_platform.errors import OpsError
from ops_platform.features.build import validate
from ops_platform.features.view import find_views
from ops_platform.ingest import ledger
from ops_platform.ingest.contract_file import read_contracts
from ops_platform.ingest.rules import raw_checks
from ops_platform.lake.check import LEDGER, check
from ops_platform.lake.check import tables as lake_tables
from ops_platform.lake.connect import connect
from ops_platform.lake.digest import digest_rows
from ops_platform.lake.published import BlockingCheck, Published, published_or_none, require
from ops_platform.models.registry import Registry
from ops_platform.serve import release
from ops_platform.transform.data_tests import blocking_tests, tables
from ops_platform.transform.project import read_manifest

ROWS = "SELECT (SELECT count(*) FROM raw.orders) + (SELECT count(*) FROM quarantine.orders)"
MODEL = "recommender"


def the_lake_holds(home: Home) -> Iterator[str]:
    """`ops lake check` finds nothing; it waits for the lock, which an orphaned dbt may hold."""
    yield from check(home.lake) if home.lake.exists else []


def the_published_is_whole(
    home: Home, before: Published | None, records: dict[str, int]
) -> Iterator[str]:
    """The published snapshot is as before or a later one, complete, and passes what blocks."""
    pointer = published_or_none(home.lake)
    if before is not None and (pointer is None or pointer.snapshot < before.snapshot):
        yield f"it was {before} and is {pointer}"
    if pointer is None:
        return
    try:
        with connect(home.lake, snapshot=pointer.snapshot) as connection:
            yield from partial(connection, records) + apart(connection)
            require(connection, _blocking(home))
            # Features that are older than the marts are not published yet.
            views = find_views() if pointer.snapshot != pointer.marts else []
            for view in views:
                if not validate(connection, view).failures.empty:
                    yield f"{view.table} breaks its schema"
    except OpsError as error:
        yield str(error)


def _blocking(home: Home) -> list[BlockingCheck]:
    contracts = read_contracts(home.settings.contracts, home.settings.hash_key)
    manifest = read_manifest(home.settings)
    return [
        *(one for contract in contracts for one in raw_checks(contract)),
        *blocking_tests(manifest),
    ]


def no_row_is_lost_or_doubled(home: Home, records: dict[str, int]) -> Iterator[str]:
    """At the head each delivery has the rows of its file, and all are the sum of the ledger."""
    if not home.lake.exists:
        return
    with connect(home.lake) as connection:
        if LEDGER not in lake_tables(connection):
            return
        yield from partial(connection, records)
        held = sum(one.records for one in ledger.held(ledger.read(connection, "orders")).values())
        row = connection.execute(ROWS).fetchone()
        if row is None or row[0] != held:
            yield f"{row} rows in raw and quarantine, {held} in the ledger"


def the_champion_is_the_last_promoted(home: Home) -> Iterator[str]:
    """The alias names the newest version that the gate let pass, and its release serves."""
    settings = home.settings
    registry = Registry(settings.mlflow_tracking_uri, settings.mlflow_artifact_root)
    champion, newest = registry.champion(MODEL), registry.newest(MODEL)
    if champion is None:
        yield f"there is none; the newest version is {newest and newest.version}"
    elif newest and newest.version > champion.version and newest.tags["decision"] != "worse":
        yield f"version {newest.version} was to be promoted, the champion is {champion.version}"
    else:
        folder = release.folder_of(settings.releases, MODEL)
        pointed = release.pointed(folder)
        served = release.load(folder / pointed).manifest if pointed else None
        if served is None or served.version != champion.version:
            yield f"the champion is {champion.version}, what serves is {served}"


def as_in(home: Home, expected: dict[str, str]) -> Iterator[str]:
    """Every table is as in another home, whose digests are given."""
    found = digests(home)
    for table in sorted(expected.keys() | found.keys()):
        if expected.get(table) != found.get(table):
            yield f"{table} is not what a fresh home has"


def digests(home: Home) -> dict[str, str]:
    """The digest of every table that is to be the same in two homes with the same files."""
    marts = tables(read_manifest(home.settings))
    queries = {table: f"SELECT * FROM {table}" for table in ("raw.orders", *marts)}
    for view in find_views():
        # A feature's row also says of which snapshot it was made, which each home counts itself.
        queries[view.table] = f"SELECT * EXCLUDE (_snapshot) FROM {view.table}"
    with connect(home.lake) as connection:
        return {table: digest_rows(connection, query) for table, query in queries.items()}
