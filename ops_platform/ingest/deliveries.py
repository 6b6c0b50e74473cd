"""Deliveries as they lie at a source: found, known by their content, and looked at before use."""

import codecs
import csv
import glob
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from ops_platform.errors import SourceError
from ops_platform.ingest.contract import Contract

CHUNK = 1 << 20


@dataclass(frozen=True)
class Found:
    """A file at the source: absolute path, size in bytes, time of last change in ns."""

    path: Path
    bytes: int
    modified_ns: int


@dataclass(frozen=True)
class Content:
    """What a look at a file's bytes tells: SHA-256, header, and why it must be refused, if so."""

    sha256: str
    header: tuple[str, ...]
    refused: str | None


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
    paths = sorted(Path(path) for path in glob.glob(str(pattern)))
    return [found for path in paths if (found := stat(path)) is not None]


def stat(path: Path) -> Found | None:
    """The file as it lies there now, or None where there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return Found(path, status.st_size, status.st_mtime_ns) if path.is_file() else None


def look(contract: Contract, path: Path) -> Content:
    """Read the whole file once: its digest, whether it is UTF-8, and whether its header will do."""
    digest, decoder, fault = hashlib.sha256(), codecs.getincrementaldecoder("utf-8")(), None
    with path.open("rb") as file:
        for offset, chunk in _chunks(file):
            digest.update(chunk)
            if fault is None:
                fault = _undecodable(decoder, chunk, offset)
    if fault is not None:
        return Content(digest.hexdigest(), (), fault)
    header = read_header(contract, path)
    return Content(digest.hexdigest(), header, _unusable(contract, header))


def _chunks(file: object) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while chunk := file.read(CHUNK):  # type: ignore[attr-defined]
        yield offset, chunk
        offset += len(chunk)
    yield offset, b""


def _undecodable(
    decoder: codecs.IncrementalDecoder, chunk: bytes, offset: int
) -> str | None:
    pending = len(decoder.getstate()[0])
    try:
        decoder.decode(chunk, final=not chunk)
    except UnicodeDecodeError as error:
        return f"not UTF-8 at byte {offset - pending + error.start}: deliver it as UTF-8"
    return None


def read_header(contract: Contract, path: Path) -> tuple[str, ...]:
    """The names in the first record, without a byte order mark; empty for a file of no bytes."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return tuple(next(csv.reader(file, delimiter=contract.delimiter), ()))


def _unusable(contract: Contract, header: tuple[str, ...]) -> str | None:
    if not header:
        return "the file is empty: not even a header was delivered"
    missing = [name for name in contract.inputs if name not in header]
    if missing and len(header) == 1:
        return (
            f"the header is one column, {header[0][:80]!r}: is the delimiter "
            f"{contract.delimiter!r}, as the contract says?"
        )
    if missing:
        return f"missing column {', '.join(missing)}; the header has {', '.join(header)[:300]}"
    if len(set(header)) < len(header):
        return "the header names a column twice"
    return None
