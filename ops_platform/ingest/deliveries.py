"""Deliveries as they lie at a source: found, known by their content, and looked at before use."""

import csv
import glob
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from ops_platform.errors import SourceError
from ops_platform.ingest import json_lines, parquet, records
from ops_platform.ingest.contract import Contract
from ops_platform.ingest.contract_faults import PARQUET, SQL
from ops_platform.ingest.opened import COMPRESSED, is_compressed, open_text
from ops_platform.ingest.records import PlainForm, Record, blocks, why_refused


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
    header : the names of its columns; of JSON lines and Parquet, those that the contract reads.
    refused : why it must be refused whole, if so.
    records : how many there are after the header.
    is_plain : whether the engine may read it as it is (see `records`).
    unnamed : the columns that it has and the contract does not name; they are not taken in.
    """

    sha256: str
    header: tuple[str, ...]
    refused: str | None
    records: int = 0
    is_plain: bool = True
    unnamed: tuple[str, ...] = ()


def find(contract: Contract, location: Path) -> list[Found]:
    """The files of a folder (those that the contract's path matches) or of a glob, by path.

    Of text files those that are compressed match too. Raises SourceError when the folder is
    missing.
    """
    if glob.has_magic(str(location)):
        patterns = [str(location)]
    elif location.is_dir():
        pattern = str(location / PurePath(contract.location).name)
        patterns = [pattern, *(pattern + suffix for suffix in COMPRESSED)]
    else:
        raise SourceError(
            f"source {contract.name}: there is no folder {location}: "
            f"mend OPS_SOURCES or OPS_SOURCE_{contract.name.upper()}"
        )
    # Path.glob takes no absolute pattern.
    paths = {Path(path) for pattern in patterns for path in glob.glob(pattern)}  # noqa: PTH207
    return [found for path in sorted(paths) if (found := stat(path)) is not None]


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
    if contract.format == PARQUET:
        names, count, fault = parquet.look(contract, path)
        return Content(
            _sha256(path), tuple(contract.inputs), fault, count, True, _unnamed(contract, names)
        )
    if not is_compressed(path):
        return _look_at_text(contract, path)
    sha256 = _sha256(path)
    try:
        found = _look_at_text(contract, path)
    except OSError as error:
        if error.errno is not None:
            raise
        return Content(sha256, (), f"no whole {path.suffix} file ({error}): deliver it again")
    return replace(found, sha256=sha256)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _look_at_text(contract: Contract, path: Path) -> Content:
    digest, offset, fault = hashlib.sha256(), 0, None
    header = _header(contract, path)
    plain = PlainForm(max(len(header), 1), contract.delimiter)
    for block in blocks(path):
        digest.update(block)
        if fault is None:
            fault = _undecodable(block, offset)
        if not contract.is_json:
            plain.look(block)
        offset += len(block)
    if contract.is_json:
        return _look_at_lines(contract, path, digest.hexdigest(), offset, fault)
    fault = fault or _unusable(contract, header, offset)
    count = plain.records - (0 if contract.names else 1)
    if fault is None and not plain.holds:
        count, fault = why_refused(read(contract, path, header))
    fault = fault or _of_no_use(contract, path, header, plain, count)
    unnamed = () if fault else _unnamed(contract, header)
    return Content(digest.hexdigest(), header, fault, count, plain.holds, unnamed)


def _unnamed(contract: Contract, names: Iterable[str]) -> tuple[str, ...]:
    known = set(contract.inputs) | set(contract.names)
    return tuple(name for name in names if name not in known)


def read(contract: Contract, path: Path, header: tuple[str, ...]) -> Iterator[Record]:
    """The records of a delivery, in the fields of `header`, with the faults of their form."""
    if contract.format == PARQUET:
        return parquet.read(contract, path, header)
    if contract.is_json:
        return json_lines.read(path, header)
    return records.read(path, header, contract.delimiter, is_headed=not contract.names)


def _look_at_lines(
    contract: Contract, path: Path, sha256: str, size: int, fault: str | None
) -> Content:
    count, names = 0, dict[str, None]()
    if not size:
        fault = "the file is empty: not even one object was delivered"
    if fault is None:
        count, names, fault = json_lines.look(path, contract.required_inputs)
    unnamed = () if fault else _unnamed(contract, names)
    return Content(sha256, tuple(contract.inputs), fault, count, False, unnamed)


def _header(contract: Contract, path: Path) -> tuple[str, ...]:
    if contract.is_json:
        return tuple(contract.inputs)
    if contract.names:
        return contract.names
    try:
        return read_header(contract, path)
    except (UnicodeDecodeError, csv.Error):
        return ()


def _undecodable(block: bytes, offset: int) -> str | None:
    # A block ends where a line does, so no character is cut.
    if block.isascii():
        return None
    try:
        block.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"not UTF-8 at byte {offset + error.start}: deliver it as UTF-8"
    return None


def read_header(contract: Contract, path: Path) -> tuple[str, ...]:
    """The names in the first record, without a byte order mark; empty for a file of no bytes."""
    with open_text(path, newline="") as file:
        return tuple(next(csv.reader(file, delimiter=contract.delimiter), ()))


def _of_no_use(
    contract: Contract, path: Path, header: tuple[str, ...], plain: PlainForm, count: int
) -> str | None:
    if contract.format == SQL and not count:
        return "the table has no rows: an empty extract would replace all that is known"
    if not contract.names or plain.holds or any(not r.faults for r in read(contract, path, header)):
        return None
    return (
        f"no line has {len(header)} fields, the columns that the contract names: is the delimiter "
        f"{contract.delimiter!r}, as it says?"
    )


def _unusable(contract: Contract, header: tuple[str, ...], size: int) -> str | None:
    if not size and contract.names:
        return "the file is empty: not even one record was delivered"
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
        what = "table" if contract.format == SQL else "header"
        return f"missing column {', '.join(missing)}; the {what} has {told}"
    if len({name.casefold() for name in header}) < len(header):
        return f"the header names a column twice: {told}"
    if "" in header:
        return f"column {header.index('') + 1} of the header has no name"
    return None
