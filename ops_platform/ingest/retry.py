"""Reading quarantined rows again from their deliveries, once contract or references are mended.

It is what a changed contract makes of every delivery at the next intake, a delivery read again as
a whole in one transaction, but at once and only for deliveries that have rows in quarantine.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import duckdb

from ops_platform.errors import SourceError
from ops_platform.ingest import ledger, quarantined, rows
from ops_platform.ingest.contract import Contract
from ops_platform.ingest.deliveries import Content, Found, find, look, stat
from ops_platform.ingest.ledger import Entry
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.lake.scratch import scratch_folder
from ops_platform.lake.write import write

Say = Callable[[str], object]


@dataclass(frozen=True)
class Retried:
    """What became of a delivery with rows in quarantine.

    `quarantined` rows were there before and `still` are now; `problem` says why it was not read
    again, where it was not.
    """

    path: str
    delivery: str
    quarantined: int
    still: int
    problem: str | None = None

    @property
    def mended(self) -> int:
        """The rows that have been taken in; negative where the contract asks for more by now."""
        return self.quarantined - self.still


class _NothingMendedError(Exception):
    """Rolls the transaction back: the lake is as it was, and gets no new snapshot."""

    def __init__(self, retried: list[Retried]) -> None:
        super().__init__("nothing mended")
        self.retried = retried


def retry(
    lake: Lake,
    contract: Contract,
    location: Path | None,
    now: datetime,
    delivery: str | None = None,
    say: Say = lambda text: None,
) -> list[Retried]:
    """Read the deliveries that have quarantined rows again, and take in what has been mended.

    `delivery` (see `ledger.named`) restricts it to one. All that changes is one transaction, and
    nothing is written when nothing is mended. A delivery that is gone, or whose content has
    changed, stays as it is, with its problem told: other content is another delivery, which the
    next intake takes in. Raises SourceError when the location is missing, when there is no such
    delivery, or when a file changes while it is read.
    """
    with connect(lake) as connection:
        asked = _asked(connection, contract, delivery)
    if not asked:
        return []
    found = {} if location is None else {str(file.path): file for file in find(contract, location)}
    say(f"{contract.name}: reading {len(asked)} deliveries again")
    contents, problems = _contents(contract, asked, found)
    files = [found[entry.path] for entry in asked if entry.sha256 in contents]
    with scratch_folder(lake.home / "scratch" / contract.name) as scratch:
        try:
            retried = write(
                lake,
                lambda writer: _settle(writer, contract, delivery, contents, files, now, scratch),
            )
        except _NothingMendedError as nothing:
            retried = nothing.retried
        except rows.UnreadableError as error:
            why = rows.unreadable(contract, error, now, scratch)
            raise SourceError(
                f"{contract.name}: nothing was retried: "
                + ("; ".join(f"{path}: {what}" for path, what in why.items()) or error.why)
            ) from error
    return [replace(one, problem=problems.get(one.delivery, one.problem)) for one in retried]


def _asked(
    connection: duckdb.DuckDBPyConnection, contract: Contract, delivery: str | None
) -> list[Entry]:
    held = list(ledger.held(ledger.read(connection, contract.name)).values())
    if delivery is not None:
        held = ledger.named(held, delivery)
    return [entry for entry in held if entry.rows_quarantined]


def _contents(
    contract: Contract, asked: list[Entry], found: dict[str, Found]
) -> tuple[dict[str, Content], dict[str, str]]:
    """By SHA-256, what may be read again, and why the rest may not."""
    contents, problems = {}, {}
    for entry in asked:
        problem = None
        if entry.path not in found:
            problem = (
                "the file is gone, its rows stay as they are: deliver it again, "
                "or, if it was renamed, run `ops ingest` first"
            )
        else:
            content = _look(contract, Path(entry.path))
            if isinstance(content, str):
                problem = content
            elif content.sha256 != entry.sha256:
                problem = (
                    "its content has changed since, and that is a new delivery of its own: "
                    "`ops ingest` takes it in, in the place of this one"
                )
            elif content.refused:
                problem = f"under the contract as it is now it is refused: {content.refused}"
            else:
                contents[entry.sha256] = content
        if problem:
            problems[entry.sha256] = problem
    return contents, problems


def _look(contract: Contract, path: Path) -> Content | str:
    try:
        return look(contract, path)
    except OSError as error:
        return f"the file can't be read: {error.strerror}"


def _settle(
    connection: duckdb.DuckDBPyConnection,
    contract: Contract,
    delivery: str | None,
    contents: dict[str, Content],
    files: list[Found],
    now: datetime,
    scratch: Path,
) -> list[Retried]:
    rows.make_tables(connection, contract)
    before = ledger.read(connection, contract.name)
    # Read once more, under the lock: another process may have taken in what was asked for.
    asked = _asked(connection, contract, delivery)
    again = [entry for entry in asked if entry.sha256 in contents]
    retried = [Retried(e.path, e.sha256, e.rows_quarantined, e.rows_quarantined) for e in asked]
    if not again:
        raise _NothingMendedError(retried)
    shas = [entry.sha256 for entry in again]
    old = quarantined.fingerprint(connection, contract.name, shas)
    rows.delete(connection, contract, shas)
    counts = rows.insert(
        connection,
        contract,
        {Path(entry.path): contents[entry.sha256] for entry in again},
        now,
        scratch,
    )
    changed = [file.path.name for file in files if stat(file.path) != file]
    if changed:
        raise SourceError(
            f"{', '.join(changed)}: changed while being read, so nothing was retried: try again"
        )
    if quarantined.fingerprint(connection, contract.name, shas) == old and all(
        entry.contract == contract.digest for entry in again
    ):
        raise _NothingMendedError(retried)
    after = [
        replace(
            _counted(entry, counts[entry.sha256]),
            contract=contract.digest,
            reason=None,
            unnamed=ledger.listed(contents[entry.sha256].unnamed),
        )
        for entry in again
    ]
    ledger.write(connection, before, after)
    return [
        replace(one, still=counts[one.delivery][1]) if one.delivery in counts else one
        for one in retried
    ]


def _counted(entry: Entry, counts: tuple[int, int]) -> Entry:
    raw, quarantined = counts
    return replace(entry, records=raw + quarantined, rows_raw=raw, rows_quarantined=quarantined)
