"""The ledger of deliveries: what each path held, what became of it, and what raw must hold."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields, replace
from datetime import datetime
from difflib import get_close_matches
from pathlib import PurePath

import duckdb

from ops_platform.errors import SourceError
from ops_platform.lake.check import LEDGER
from ops_platform.lake.session import has_table

HELD = ("taken", "vanished")
PRESENT = ("taken", "duplicate")
ENDED = ("replaced", "renamed")
TROUBLED = ("refused", "vanished", "duplicate")


@dataclass(frozen=True)
class Entry:
    """One delivery.

    Parameters
    ----------
    number : counts the deliveries of all sources, from 1.
    source, path, sha256 : where it lay and what it was; `modified_ns` is the file's own time.
    status : `taken`, `refused` (see `reason`), `duplicate` of a path that is taken, `vanished`
        (its rows stay), or ended: `replaced` by a later delivery at its path, or `renamed`.
    records, rows_raw, rows_quarantined : counted by the engine; records is their sum.
    delivered_at : the platform's time when it was first seen.
    snapshot : the lake snapshot that holds its rows since then.
    contract : the digest of the contract under which it was last read.
    unnamed : the columns that it has and that contract does not name, if any (see `listed`).
    """

    number: int
    source: str
    path: str
    sha256: str
    bytes: int
    modified_ns: int
    status: str
    reason: str | None
    records: int
    rows_raw: int
    rows_quarantined: int
    delivered_at: datetime
    snapshot: int
    contract: str
    unnamed: str | None = None

    @property
    def is_outdated(self) -> bool:
        """Whether its rows stay though the contract, as it was last read under, refuses it."""
        return self.status in HELD and self.reason is not None

    @property
    def trouble(self) -> str | None:
        """What somebody should know of it, or None."""
        if self.is_outdated:
            return (
                f"refused under the contract as it is now: {self.reason}; its rows of before "
                "stay: mend the contract or the delivery"
            )
        if self.status == "taken" and self.unnamed:
            return (
                f"new columns: {self.unnamed}; the contract does not name them, so they are not "
                "taken in: name them there, and the delivery is read again"
            )
        return self.reason or "" if self.status in TROUBLED else None


_TYPES = {int: "BIGINT", str: "VARCHAR", str | None: "VARCHAR", datetime: "TIMESTAMP"}
COLUMNS = ", ".join(f"{field.name} {_TYPES[field.type]}" for field in fields(Entry))  # type: ignore[index]


def read(connection: duckdb.DuckDBPyConnection, source: str) -> list[Entry]:
    """The source's entries by number; empty before the first delivery."""
    if not has_table(connection, LEDGER):
        return []
    names = ", ".join(field.name for field in fields(Entry))
    rows = connection.execute(
        f"SELECT {names} FROM {LEDGER} WHERE source = ? ORDER BY number", [source]
    ).fetchall()
    return [Entry(*row) for row in rows]


def write(
    connection: duckdb.DuckDBPyConnection, before: Iterable[Entry], after: Iterable[Entry]
) -> None:
    """Write the entries of `after` that differ from those of `before`."""
    old = {entry.number: entry for entry in before}
    changed = [entry for entry in after if old.get(entry.number) != entry]
    if not changed:
        return
    connection.execute(
        f"DELETE FROM {LEDGER} WHERE number IN (SELECT unnest(?))",
        [[entry.number for entry in changed]],
    )
    # One statement: each would write a data file of its own.
    columns = ", ".join(f"unnest(?::{_TYPES[field.type]}[])" for field in fields(Entry))  # type: ignore[index]
    connection.execute(
        f"INSERT INTO {LEDGER} SELECT {columns}",
        [list(column) for column in zip(*map(astuple, changed), strict=True)],
    )


def settle(entries: list[Entry], present: set[str]) -> list[Entry]:
    """Give each entry the status that follows from all of them and the paths now `present`.

    What counts is each path's last usable content, also of a path that is gone. Of several paths
    with the same content the first that is present has the rows; a path that is gone is then
    `renamed`. A refused delivery leaves its path's last good content as it was, and has ended
    when its file is gone.
    """
    good: dict[str, Entry] = {}
    latest: dict[str, Entry] = {}
    for entry in sorted(entries, key=lambda entry: entry.number):
        if entry.status in ENDED:
            continue
        latest[entry.path] = entry
        if entry.status != "refused":
            good[entry.path] = entry
    same: dict[str, list[Entry]] = defaultdict(list)
    for entry in good.values():
        same[entry.sha256].append(entry)
    settled = {
        entry.number: replace(entry, status=status)
        for group in same.values()
        for entry, status in _of_same_content(group, present)
    }
    kept_refusals = {
        entry.number
        for entry in latest.values()
        if entry.status == "refused" and entry.path in present
    }
    return [
        settled.get(entry.number)
        or (
            entry
            if entry.status in ENDED or entry.number in kept_refusals
            else replace(entry, status="replaced")
        )
        for entry in entries
    ]


def _of_same_content(group: list[Entry], present: set[str]) -> Iterable[tuple[Entry, str]]:
    here = [entry for entry in group if entry.path in present]
    gone = [entry for entry in group if entry.path not in present]
    # Whoever holds the rows already goes on to, so that nothing is moved without need.
    here.sort(key=lambda entry: (entry.status != "taken", entry.number))
    yield from ((entry, "taken" if entry is here[0] else "duplicate") for entry in here)
    for position, entry in enumerate(gone):
        yield entry, "vanished" if not here and position == 0 else "renamed"


def listed(names: Iterable[str]) -> str | None:
    """The names of columns as an entry keeps them."""
    return ", ".join(names)[:300] or None


def held(entries: Iterable[Entry]) -> dict[str, Entry]:
    """The deliveries whose rows the tables must hold, by SHA-256."""
    return {entry.sha256: entry for entry in entries if entry.status in HELD}


def current(entries: Iterable[Entry]) -> dict[str, Entry]:
    """Each path's newest entry that has not ended."""
    ordered = sorted(entries, key=lambda entry: entry.number)
    return {entry.path: entry for entry in ordered if entry.status not in ENDED}


def unread(entries: Iterable[Entry]) -> list[str]:
    """The names of the files that could not be read at all, so that their content is unknown."""
    return [PurePath(path).name for path, entry in current(entries).items() if not entry.sha256]


def named(entries: list[Entry], delivery: str) -> list[Entry]:
    """Those that a person means by `delivery`: a path, a file's name, or how a SHA-256 begins.

    Raises SourceError, which tells those whose file's name is most like it, when there is none.
    """
    found = [
        entry
        for entry in entries
        if delivery in (entry.path, PurePath(entry.path).name) or entry.sha256.startswith(delivery)
    ]
    if not found:
        raise SourceError(
            f"there is no delivery {delivery!r}: name it by its path, its file's name or the first "
            f"letters of its SHA-256; {_hint(entries, delivery)}"
        )
    return found


def _hint(entries: list[Entry], delivery: str) -> str:
    sources = {PurePath(entry.path).name: entry.source for entry in entries}
    if like := get_close_matches(PurePath(delivery).name, sources, n=3):
        return f"did you mean {', '.join(like)}?"
    source = next(iter(sources.values()), "orders")
    return f"`ops lineage raw.{source} --up --json` names all of {source}"
