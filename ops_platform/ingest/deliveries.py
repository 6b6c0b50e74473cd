"""Deliveries as they lie at a source: found, known by their content, and looked at before use."""

import csv
import glob
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from ops_platform.errors import SourceError
from ops_platform.ingest import json_lines, records
from ops_platform.ingest.contract import Contract
from ops_platform.ingest.records import PlainForm, Record, why_refused

CHUNK = 1 << 20


@dataclass(frozen=True)
class Found:
    """A file at the source: absolute path, size in bytes, time of last change in ns.

    The time is the file system's own (ctime), which a copy that keeps dates can't set back.
    """

    path: Path
    bytes: int
    modified_ns: int


@dataclass(frozen=True)
class Content:
    """What a look at a file's bytes tells.

    Parameters
    ----------
    sha256 : empty where the file can't be read at all.
    header : the names of its columns; of JSON lines, those that the contract reads.
    refused : why it must be refused whole, if so.
    records : how many there are after the header.
    is_plain : whether the engine may read it as it is (see `records`).
    """

    sha256: str
    header: tuple[str, ...]
    refused: str | None
    records: int = 0
    is_plain: bool = True


def find(contract: Contract, location: Path) -> list[Found]:
    """The files of a folder (those that the contract's path matches) or of a glob, by path.

    Raises SourceError when the folder is missing.
    """
    if glob.has_magic(str(location)):
        pattern = location
    elif location.is_dir():
        pattern = location / PurePath(contract.location).name
    else:
        raise SourceError(
            f"source {contract.name}: there is no folder {location}: "
            f"mend OPS_SOURCES or OPS_SOURCE_{contract.name.upper()}"
        )
    # Path.glob takes no absolute pattern.
    paths = sorted(Path(path) for path in glob.glob(str(pattern)))  # noqa: PTH207
    return [found for path in paths if (found := stat(path)) is not None]


def stat(path: Path) -> Found | None:
    """The file as it lies there now, or None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return Found(path, status.st_size, status.st_ctime_ns) if path.is_file() else None


def look(contract: Contract, path: Path) -> Content:
    """Read the whole file once: its digest, its header, its records, and whether they will do.

    Raises OSError when the file can't be opened or read.
    """
    digest, offset, fault = hashlib.sha256(), 0, None
    header = _header(contract, path)
    plain = PlainForm(max(len(header), 1), contract.delimiter)
    with path.open("rb") as file:
        while lines := file.readlines(CHUNK):
            block = b"".join(lines)
            digest.update(block)
            if fault is None:
                fault = _undecodable(block, offset)
            if not contract.is_json:
                plain.look(lines)
            offset += len(block)
    if contract.is_json:
        count, fault = (0, fault) if fault else _look_at_lines(contract, path, offset)
        return Content(digest.hexdigest(), header, fault, count, is_plain=False)
    fault = fault or _unusable(contract, header, offset)
    count = plain.records - 1
    if fault is None and not plain.holds:
        count, fault = why_refused(read(contract, path, header))
    return Content(digest.hexdigest(), header, fault, count, plain.holds)


def read(contract: Contract, path: Path, header: tuple[str, ...]) -> Iterator[Record]:
    """The records of a delivery, in the fields of `header`, with the faults of their form."""
    if contract.is_json:
        return json_lines.read(path, header)
    return records.read(path, header, contract.delimiter)


def _look_at_lines(contract: Contract, path: Path, size: int) -> tuple[int, str | None]:
    if not size:
        return 0, "the file is empty: not even one object was delivered"
    return json_lines.look(path, contract.required_inputs)


def _header(contract: Contract, path: Path) -> tuple[str, ...]:
    if contract.is_json:
        return tuple(contract.inputs)
    try:
        return read_header(contract, path)
    except (UnicodeDecodeError, csv.Error):
        return ()


def _undecodable(block: bytes, offset: int) -> str | None:
    # A block ends where a line does, so no character is cut.
    try:
        block.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"not UTF-8 at byte {offset + error.start}: deliver it as UTF-8"
    return None


def read_header(contract: Contract, path: Path) -> tuple[str, ...]:
    """The names in the first record, without a byte order mark; empty for a file of no bytes."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return tuple(next(csv.reader(file, delimiter=contract.delimiter), ()))


def _unusable(contract: Contract, header: tuple[str, ...], size: int) -> str | None:
    if not size:
        return "the file is empty: not even a header was delivered"
    if not header:
        return "the first line is no header"
    missing = [name for name in contract.inputs if name not in header]
    # Where the header is left out its place is taken by a row, and that may hold personal data.
    told = f"{len(header)} columns" if contract.personal_columns else ", ".join(header)[:300]
    if missing and len(header) == 1:
        return (
            f"the header is one column, {told[:80]!r}: is the delimiter "
            f"{contract.delimiter!r}, as the contract says?"
        )
    if missing:
        return f"missing column {', '.join(missing)}; the header has {told}"
    if len({name.casefold() for name in header}) < len(header):
        return f"the header names a column twice: {told}"
    if "" in header:
        return f"column {header.index('') + 1} of the header has no name"
    return None
