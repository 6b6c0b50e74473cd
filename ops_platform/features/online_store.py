"""The online store: one file a view, mapped into memory, its rows read by their entity's key.

With numpy and the standard library alone, for the process that serves has no engine. A file is::

    8 bytes, the length of the header   JSON: entity, as-of, features and kinds, number of rows
    hashes   uint64 (rows,), sorted, of the keys
    records  (rows,), fixed width: where the key lies, then of each feature if it is null and itself
    heap     the bytes of keys and texts

A key is found by binary search among the hashes and compared whole, so ids may be of any length and
hashes may be the same.
"""

import json
import mmap
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from ops_platform.errors import ReleaseError

SUFFIX = ".features"
Value = int | float | bool | str | date | datetime | Decimal | None
INT, FLOAT, BOOL, TEXT, DATE, TIME = "int", "float", "bool", "text", "date", "time"
# Followed by the number of digits after the point.
DECIMAL = "decimal"
_LENGTH = struct.Struct("<Q")
_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True)
class Column:
    """One feature of all rows.

    Parameters
    ----------
    kind : `int`, `float`, `bool`, `text`, `date`, `time` (without a zone), or `decimal` and its
        digits after the point, `decimal3`.
    values : (rows,) float64 for `float`, texts for `text`, else int64: 0 or 1, days or microseconds
        since 1970, or the decimal without its point. What is null may be any value.
    is_null : bool (rows,).
    """

    kind: str
    values: np.ndarray
    is_null: np.ndarray


@dataclass(frozen=True)
class Rows:
    """All rows of a view as of a day: their keys, each the texts of its entity, and features."""

    entity: tuple[str, ...]
    as_of: str
    keys: Sequence[tuple[str, ...]]
    features: Mapping[str, Column]


def write(path: Path, rows: Rows) -> None:
    """Write the file of a view; the same rows in the same order give the same bytes.

    Raises ReleaseError where a key stands twice.
    """
    if len(set(rows.keys)) < len(rows.keys):
        raise ReleaseError(f"{path.stem} has several rows of one {', '.join(rows.entity)}")
    keys = [_encoded(key) for key in rows.keys]
    hashes = np.array([_hash(key) for key in keys], dtype=np.uint64)
    order = np.argsort(hashes, kind="stable")
    heap = _Heap()
    records = np.zeros(len(keys), dtype=_record([one.kind for one in rows.features.values()]))
    records["key"], records["key_end"] = heap.add([keys[row] for row in order.tolist()])
    for number, column in enumerate(rows.features.values()):
        is_null = column.is_null[order]
        records[f"{number}_null"] = is_null
        values = column.values[order]
        if column.kind == TEXT:
            texts = ["" if none else text for text, none in zip(values, is_null, strict=True)]
            records[f"{number}"], records[f"{number}_end"] = heap.add(
                [text.encode() for text in texts]
            )
        else:
            records[f"{number}"] = np.where(is_null, 0, values)
    header = json.dumps(
        {
            "entity": rows.entity,
            "as_of": rows.as_of,
            "features": {name: one.kind for name, one in rows.features.items()},
            "rows": len(keys),
        }
    ).encode()
    # Numbers are read where they lie, which wants them at a multiple of their width.
    header += b" " * (-len(header) % 8)
    with path.open("wb") as file:
        file.write(_LENGTH.pack(len(header)))
        file.write(header)
        file.write(hashes[order].tobytes())
        file.write(records.tobytes())
        file.write(heap.content())


class OnlineStore:
    """The features of a view as of a release, read by the key of their entity.

    Parameters
    ----------
    path : the file that `write` has made.

    Attributes
    ----------
    entity : the names of the columns that a key is of.
    as_of : the day as of which they were computed, ISO.
    features : the kind of each feature by its name.

    Raises
    ------
    ReleaseError : it can't be read as such a file.
    """

    def __init__(self, path: Path) -> None:
        """Map the file; its pages are read as they are needed."""
        try:
            with path.open("rb") as file:
                self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            (length,) = _LENGTH.unpack_from(self._bytes)
            begin = _LENGTH.size + length
            header = json.loads(self._bytes[_LENGTH.size : begin])
            self.entity, self.as_of = tuple(header["entity"]), str(header["as_of"])
            self.features: dict[str, str] = header["features"]
            self._rows = int(header["rows"])
            self._hashes = np.frombuffer(self._bytes, np.uint64, self._rows, begin)
        except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
            raise ReleaseError(
                f"{path} can't be read as an online store ({error}): materialize serve/release, "
                "which writes it again"
            ) from error
        kinds = list(self.features.values())
        self._record = struct.Struct(_format(kinds))
        self._records = begin + self._hashes.nbytes
        self._heap = self._records + self._rows * self._record.size
        self._decode = [_decoder(kind) for kind in kinds]

    def __len__(self) -> int:
        """The number of its rows."""
        return self._rows

    def get(self, *key: str) -> dict[str, Value] | None:
        """The features of an entity by their names, None where the store doesn't have it."""
        encoded = _encoded(key)
        wanted = np.uint64(_hash(encoded))
        row = int(self._hashes.searchsorted(wanted))
        while row < self._rows and self._hashes[row] == wanted:
            fields = self._record.unpack_from(self._bytes, self._records + row * self._record.size)
            if self._text(fields[0], fields[1]) == encoded:
                return dict(zip(self.features, self._values(fields), strict=True))
            row += 1
        return None

    def _values(self, fields: tuple[Any, ...]) -> Iterator[Value]:
        at = 2
        for decode in self._decode:
            is_null, value = fields[at], fields[at + 1]
            at += 2
            if decode is None:
                yield None if is_null else self._text(value, fields[at]).decode()
                at += 1
            else:
                yield None if is_null else decode(value)

    def _text(self, begin: int, end: int) -> bytes:
        return self._bytes[self._heap + begin : self._heap + end]


class _Heap:
    """Bytes one after the other, what is the same once."""

    def __init__(self) -> None:
        self._parts: dict[bytes, tuple[int, int]] = {}
        self._size = 0

    def add(self, parts: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
        """Where each part begins and ends."""
        places = np.empty((len(parts), 2), dtype=np.int64)
        for number, part in enumerate(parts):
            if part not in self._parts:
                self._parts[part] = self._size, self._size + len(part)
                self._size += len(part)
            places[number] = self._parts[part]
        return places[:, 0], places[:, 1]

    def content(self) -> bytes:
        return b"".join(self._parts)


def _encoded(key: Sequence[str]) -> bytes:
    """The key's texts, each after its length, so that no two keys are the same bytes."""
    # A lone surrogate, which no key has, must not be an error of who asks for it.
    parts = [text.encode("utf-8", "surrogatepass") for text in key]
    return b"".join(len(part).to_bytes(4, "little") + part for part in parts)


def _hash(key: bytes) -> int:
    return int.from_bytes(blake2b(key, digest_size=8).digest(), "little")


def _format(kinds: Sequence[str]) -> str:
    """The fields of a record: key and its end, then is null and value, of a text its end too."""
    codes = {FLOAT: "d", TEXT: "qq"}
    return "<qq" + "".join("?" + codes.get(kind, "q") for kind in kinds)


def _record(kinds: Sequence[str]) -> np.dtype:
    fields = [("key", "<i8"), ("key_end", "<i8")]
    for number, kind in enumerate(kinds):
        fields += [(f"{number}_null", "?"), (f"{number}", "<f8" if kind == FLOAT else "<i8")]
        if kind == TEXT:
            fields.append((f"{number}_end", "<i8"))
    return np.dtype(fields)


def _decoder(kind: str) -> Callable[[Any], Value] | None:
    """From a record's number to the value; None where it is the place of a text."""
    if kind == TEXT:
        return None
    if kind.startswith(DECIMAL):
        digits = int(kind.removeprefix(DECIMAL))
        return lambda number: Decimal(number).scaleb(-digits)
    if kind == DATE:
        return lambda days: (_EPOCH + timedelta(days=days)).date()
    if kind == TIME:
        return lambda microseconds: _EPOCH + timedelta(microseconds=microseconds)
    return {INT: int, FLOAT: float, BOOL: bool}[kind]
