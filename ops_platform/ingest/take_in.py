"""Taking deliveries in: each once, whole or not at all, corrections replacing what they correct."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import duckdb

from ops_platform.errors import SourceError
from ops_platform.ingest import ledger, rows
from ops_platform.ingest.contract import Contract, same_but_for_widths
from ops_platform.ingest.deliveries import Content, Found, find, look, stat
from ops_platform.ingest.ledger import Entry
from ops_platform.ingest.reclassified import has_plain
from ops_platform.lake import catalog
from ops_platform.lake.check import LEDGER
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.lake.scratch import scratch_folder
from ops_platform.lake.write import write

LOOKERS = 2
Say = Callable[[str], object]


@dataclass(frozen=True)
class Intake:
    """What one look at a source changed: the new or changed entries, with their status."""

    changed: list[Entry]

    def count(self, status: str) -> int:
        """How many entries have this status now that did not before."""
        return sum(entry.status == status for entry in self.changed)


@dataclass
class _Round:
    """One look at a source: what lies there, and what was learned of it in earlier tries."""

    contract: Contract
    found: dict[Path, Found]
    now: datetime
    growing: set[Path] = field(default_factory=set)
    unreadable: dict[Path, str] = field(default_factory=dict)

    @property
    def present(self) -> set[str]:
        return {str(path) for path in self.found}

    def fresh(self, current: dict[str, Entry]) -> list[Found]:
        return [
            file
            for path, file in self.found.items()
            if path not in self.growing
            and _is_new(current.get(str(path)), file, self.contract.digest)
        ]

    def content(self, path: Path) -> Content:
        try:
            content = look(self.contract, path)
        except OSError as error:
            return Content("", (), f"the file can't be read: {error.strerror}")
        return replace(content, refused=content.refused or self.unreadable.get(path))


class _GrowingError(Exception):
    def __init__(self, paths: set[Path]) -> None:
        super().__init__(", ".join(sorted(path.name for path in paths)))
        self.paths = paths


def take_in(
    lake: Lake,
    contract: Contract,
    location: Path | None,
    now: datetime,
    say: Say = lambda text: None,
    settled_ns: int | None = None,
) -> Intake:
    """Bring `raw.<source>`, its quarantine and the ledger up to what lies at `location`.

    Nothing is written when nothing is new. A file that changes while it is read is left for the
    next time; a file that can't be read is refused and the others are taken. `say` is told what
    goes on. A source that is not connected (no location) has empty tables, or keeps what it has.
    Raises SourceError when the location is missing or the disk or the memory fails, which is no
    verdict on a delivery; HashKeyError when a column is personal and there is no key to hash it
    with.
    """
    if location is None:
        if has_news(lake, contract, location, now):
            write(lake, lambda connection: _make_tables(connection, contract, say))
        return Intake([])
    if contract.personal_columns:
        contract.require_key()
    this = _look_around(contract, location, now, settled_ns)
    if not _has_news(lake, this):
        return Intake([])
    with scratch_folder(lake.home / "scratch" / contract.name) as scratch:
        return _write(lake, this, scratch, say)


def _write(lake: Lake, this: _Round, scratch: Path, say: Say) -> Intake:
    """Take in all that can be read whole, however often what can't be is found out first."""
    contract = this.contract
    while True:
        try:
            return write(lake, lambda connection: _settle(connection, this, scratch, say))
        except _GrowingError as error:
            say(f"{error}: changed while being read, left for the next time")
            this.growing |= error.paths
        except rows.UnreadableError as error:
            why = rows.unreadable(contract, error, this.now, scratch)
            if not why:
                raise SourceError(
                    f"{', '.join(sorted(path.name for path in error.contents))} can be read, "
                    f"but not taken into raw.{contract.name}: {error.why}"
                ) from error
            this.unreadable |= why


def has_news(
    lake: Lake,
    contract: Contract,
    location: Path | None,
    now: datetime,
    settled_ns: int | None = None,
) -> bool:
    """Whether `take_in` would change anything, by the files' sizes and times and the ledger.

    Raises SourceError when the location is missing.
    """
    if location is None:
        return not _has_tables(lake, contract) or _is_to_be_hashed(lake, contract)
    return _has_news(lake, _look_around(contract, location, now, settled_ns))


def _look_around(
    contract: Contract, location: Path, now: datetime, settled_ns: int | None
) -> _Round:
    found = {file.path: file for file in find(contract, location)}
    late = [] if settled_ns is None else [f for f in found.values() if f.modified_ns > settled_ns]
    return _Round(contract, found, now, growing={file.path for file in late})


def _has_tables(lake: Lake, contract: Contract) -> bool:
    return f"raw.{contract.name}" in catalog.last_changed(lake)


def _is_to_be_hashed(lake: Lake, contract: Contract) -> bool:
    # A source that is not connected needs no key.
    if contract.key is None:
        return False
    with connect(lake) as connection:
        return has_plain(connection, contract)


def _has_news(lake: Lake, this: _Round) -> bool:
    if not _has_tables(lake, this.contract):
        return True
    with connect(lake) as connection:
        if rows.differing(connection, this.contract) or has_plain(connection, this.contract):
            return True
        entries = ledger.read(connection, this.contract.name)
    fresh = this.fresh(ledger.current(entries))
    return bool(fresh) or ledger.settle(entries, this.present) != entries


def _is_new(entry: Entry | None, file: Found, contract: str) -> bool:
    # What could not be read at all, without a digest, is tried again; under a contract that was
    # mended every delivery is read again.
    return (
        entry is None
        or not entry.sha256
        or _must_be_read_again(entry, contract)
        or (entry.bytes, entry.modified_ns) != (file.bytes, file.modified_ns)
    )


def _must_be_read_again(entry: Entry, contract: str) -> bool:
    # A row that was good for a narrower type is so for a wider one, and is the same.
    is_as_good = same_but_for_widths(entry.contract, contract) and not entry.rows_quarantined
    return entry.contract != contract and not is_as_good


def _settle(connection: duckdb.DuckDBPyConnection, this: _Round, scratch: Path, say: Say) -> Intake:
    _make_tables(connection, this.contract, say)
    before = ledger.read(connection, this.contract.name)
    fresh = this.fresh(ledger.current(before))
    if fresh:
        say(f"{this.contract.name}: reading {len(fresh)} new or changed files")
    # Most of a look is spent in numpy and OpenSSL, which leave the interpreter to others.
    with ThreadPoolExecutor(LOOKERS) as lookers:
        paths = [file.path for file in fresh]
        contents = dict(zip(paths, lookers.map(this.content, paths), strict=True))
    for path, content in contents.items():
        if not content.refused and not content.records:
            say(f"{path.name}: it holds no records, and is taken as 0 rows")
    entries = _with_new(before, this, contents, _place(connection))
    after = ledger.settle(entries, this.present)
    try:
        after = _move_rows(connection, this, before, after, contents, scratch)
    except rows.UnreadableError:
        # The cause may be that the file is being written to, and that is no fault of it.
        _none_is_growing(fresh)
        raise
    ledger.write(connection, before, after)
    _none_is_growing(fresh)
    old = {entry.number: entry for entry in before}
    return Intake([entry for entry in after if _has_changed(old.get(entry.number), entry)])


def _make_tables(connection: duckdb.DuckDBPyConnection, contract: Contract, say: Say) -> None:
    if rows.make_tables(connection, contract):
        say(
            f"{contract.name}: {contract.told_personal} personal: rows that were taken in "
            "before it was said so are hashed now; snapshots of before hold them plain "
            "until `ops lake upkeep` expires them"
        )


def _none_is_growing(fresh: list[Found]) -> None:
    growing = {file.path for file in fresh if stat(file.path) != file}
    if growing:
        raise _GrowingError(growing)


def _has_changed(old: Entry | None, new: Entry) -> bool:
    # A file that was only touched is no news.
    return old is None or replace(old, modified_ns=new.modified_ns) != new


def _place(connection: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    """The next delivery's number, and the id of the snapshot that this transaction makes.

    The latter is sure only because this process holds the write lock.
    """
    row = connection.execute(
        f"""SELECT (SELECT coalesce(max(number), 0) + 1 FROM {LEDGER}),
                   (SELECT max(snapshot_id) + 1 FROM ducklake_snapshots('lake'))"""
    ).fetchone()
    assert row is not None
    return row


def _with_new(
    before: list[Entry], this: _Round, contents: dict[Path, Content], place: tuple[int, int]
) -> list[Entry]:
    """The entries with those of the new contents, whose status is still to be settled."""
    entries = {entry.number: entry for entry in before}
    current = ledger.current(before)
    number, snapshot = place
    for path, content in contents.items():
        file, known = this.found[path], current.get(str(path))
        if known is not None and known.sha256 == content.sha256:
            entries[known.number] = _read_again(known, file, content, this.contract.digest)
            continue
        entries[number] = Entry(
            number=number,
            source=this.contract.name,
            path=str(path),
            sha256=content.sha256,
            bytes=file.bytes,
            modified_ns=file.modified_ns,
            status="refused" if content.refused else "duplicate",
            reason=content.refused,
            records=0,
            rows_raw=0,
            rows_quarantined=0,
            delivered_at=this.now,
            snapshot=snapshot,
            contract=this.contract.digest,
            unnamed=ledger.listed(content.unnamed),
        )
        number += 1
    return list(entries.values())


def _read_again(known: Entry, file: Found, content: Content, contract: str) -> Entry:
    """The entry of a content that was delivered before; rows once taken stay, if now refused."""
    if known.status == "refused" and content.refused is None:
        known = replace(known, status="duplicate")
    return replace(
        known,
        modified_ns=file.modified_ns,
        contract=contract,
        reason=content.refused,
        unnamed=ledger.listed(content.unnamed),
    )


def _move_rows(
    connection: duckdb.DuckDBPyConnection,
    this: _Round,
    before: list[Entry],
    after: list[Entry],
    contents: dict[Path, Content],
    scratch: Path,
) -> list[Entry]:
    """Make the tables hold what `after` says, and count what is new into it."""
    had, has = ledger.held(before), ledger.held(after)
    again = {
        delivery
        for delivery in had.keys() & has.keys()
        if had[delivery].contract != has[delivery].contract and has[delivery].reason is None
    }
    ended = [delivery for delivery in had if delivery not in has or delivery in again]
    if ended:
        rows.delete(connection, this.contract, ended)
    new = [
        Path(entry.path)
        for delivery, entry in has.items()
        if delivery not in had or delivery in again
    ]
    counts = {sha: (entry.rows_raw, entry.rows_quarantined) for sha, entry in had.items()}
    read = {path: contents[path] for path in new}
    counts |= rows.insert(connection, this.contract, read, this.now, scratch)
    return [_counted(entry, counts) for entry in after]


def _counted(entry: Entry, counts: dict[str, tuple[int, int]]) -> Entry:
    if entry.status not in ledger.HELD:
        return entry
    raw, quarantined = counts[entry.sha256]
    return replace(entry, records=raw + quarantined, rows_raw=raw, rows_quarantined=quarantined)
