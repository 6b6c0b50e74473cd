"""What a record of a delivered text file is, decided in one place for the engine and for people.

The engine's reader and Python's `csv` agree on plain files: every line one record of as many
fields as the header, quotes only around whole fields, one kind of line end. On all else they
differ. DuckDB 1.5 drops an empty field too many without a word (`1,2,` read as two columns), takes
a quote after a blank for one that opens a field (`1, "2,3"`), begins anew at the next line end
after a quote that does not fit, and fails on mixed line ends. So the engine only ever reads plain
files. Any other is read by `csv`, whose records it is that count; those of the right shape are
handed on in a plain copy, and the others go to quarantine with their line.
"""

import codecs
import csv
import io
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress, count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ops_platform.ingest.opened import open_bytes, open_text

LIMIT = csv.field_size_limit()
_FEED, _QUOTE = ord("\n"), ord('"')
# So much stays in the processor's cache while it is looked at in several ways.
_BLOCK = 1 << 18


@dataclass(frozen=True)
class Record:
    """A record as `csv` reads it: the physical line it begins on, its fields, how they break form.

    `lines` is the number of physical lines that it takes.
    """

    line: int
    lines: int
    fields: list[str]
    faults: tuple[str, ...]


def blocks(path: Path) -> Iterator[bytes]:
    """The content of a file in blocks of whole lines."""
    with open_bytes(path) as file:
        while block := file.read(_BLOCK) + file.readline():
            yield block


class PlainForm:
    """Looks at the lines of a file, block by block, whether all of them are in plain form.

    Parameters
    ----------
    columns, delimiter : what a record must have.
    records : after all blocks, the number of records with the header's; blank lines are none.
    """

    def __init__(self, columns: int, delimiter: str) -> None:
        """Begin with no line seen."""
        self.columns, self.delimiter = columns, delimiter.encode()
        self.records = 0
        self._holds = True
        self._ends: set[bytes] = set()
        apart = re.escape(self.delimiter)
        field = rb'(?:"[^"]*+(?:""[^"]*+)*+"|[^"' + apart + rb"]*+)"
        self._quoted = re.compile(field + rb"(?:%b%b){%d}" % (apart, field, columns - 1))

    def look(self, block: bytes) -> None:
        """Look at the next lines, whole ones but for the file's last."""
        if not self._holds or not block:
            return
        characters = np.frombuffer(block, np.uint8)
        feeds = np.flatnonzero(characters == _FEED)
        ends = feeds + 1 if block.endswith(b"\n") else np.append(feeds + 1, len(block))
        lengths = np.diff(ends, prepend=0)
        returns = block.count(b"\r")
        self._ends |= {b"\r"} if returns else set()
        self._ends |= {b"\n"} if returns < len(feeds) else set()
        # All line ends are alike, or else it is not in plain form.
        is_blank = lengths == (2 if returns else 1)
        is_blank &= characters[ends - 1] == _FEED
        self.records += int(np.count_nonzero(~is_blank))
        self._holds = (
            returns == (block.count(b"\r\n") if returns else 0)
            and len(self._ends) <= 1
            # A blank line is no record, but the engine makes it one where there is one column.
            and (self.columns > 1 or not is_blank.any())
            and int(lengths.max()) <= LIMIT
            and self._has_columns(block, characters, ends, is_blank)
        )

    def _has_columns(
        self,
        block: bytes,
        characters: NDArray[np.uint8],
        ends: NDArray[np.int64],
        is_blank: NDArray[np.bool_],
    ) -> bool:
        # Counted for all lines at once; only those with a quote are looked at one by one.
        places = np.flatnonzero(characters == self.delimiter[0])
        wrong = np.diff(np.searchsorted(places, ends), prepend=0) != self.columns - 1
        quoted = np.zeros(len(ends), bool)
        if b'"' in block:
            quotes = np.flatnonzero(characters == _QUOTE)
            quoted[np.searchsorted(ends, quotes, side="right")] = True
        starts = np.append(0, ends[:-1])
        return not np.any(wrong & ~quoted & ~is_blank) and all(
            self._quoted.fullmatch(block[start:end].rstrip(b"\r\n"))
            for start, end in zip(starts[quoted], ends[quoted], strict=True)
        )

    @property
    def holds(self) -> bool:
        """Whether every line so far is in plain form."""
        return self._holds


def read(
    path: Path, header: Sequence[str], delimiter: str, *, is_headed: bool = True
) -> Iterator[Record]:
    """The records after the header, blank lines left out; raises csv.Error on an endless field.

    Where the file is not headed, the first record is one like all others.
    """
    line, seen = 1, list[str]()

    def physical_lines() -> Iterator[str]:
        with open_text(path, newline="") as file:
            for text in file:
                seen.append(text)
                yield text

    for number, fields in enumerate(csv.reader(physical_lines(), delimiter=delimiter)):
        text, lines = "".join(seen), len(seen)
        seen.clear()
        if fields and (number or not is_headed):
            yield Record(line, lines, fields, _faults(text, fields, header, delimiter))
        line += lines


def find_plain(
    path: Path, delimiter: str, wanted: Collection[tuple[str, ...]], *, is_headed: bool = True
) -> Iterator[Record]:
    """The records of a file in plain form whose fields are `wanted`.

    Every line is a record there, so that only those have to be parsed whose characters but for
    the quotes are a wanted record's.
    """
    texts = {delimiter.join(fields).replace('"', "").encode() for fields in wanted}
    seen = 0
    for block in blocks(path):
        block = block if seen else block.removeprefix(codecs.BOM_UTF8)
        feeds = np.flatnonzero(np.frombuffer(block, np.uint8) == _FEED)
        edges = np.concatenate(([-1], feeds, [len(block)]))
        bare = block.replace(b"\r", b"").replace(b'"', b"")
        for number in compress(count(), map(texts.__contains__, bare.split(b"\n"))):
            line = block[edges[number] + 1 : edges[number + 1]].decode()
            fields = next(csv.reader([line], delimiter=delimiter), [])
            if tuple(fields) in wanted and (seen or number or not is_headed):
                yield Record(seen + number + 1, 1, fields, ())
        seen += len(feeds)


def _faults(text: str, fields: list[str], header: Sequence[str], delimiter: str) -> tuple[str, ...]:
    found = []
    if '"' in text:
        try:
            list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
        except csv.Error as error:
            unclosed = "unexpected end" in str(error)
            found.append("a quote is never closed" if unclosed else "text after a closing quote")
    if len(fields) != len(header):
        found.append(f"{len(fields)} fields, the header has {len(header)}")
    return tuple(f"can't be parsed: {fault}" for fault in found)


def why_refused(records: Iterator[Record]) -> tuple[int, str | None]:
    """The number of records, and why a file must be refused whole, if it must.

    A quote that is never closed makes all that follows one record; unless that is only the last
    line, a file cut off, nobody can tell how many records were lost in it.
    """
    count = 0
    try:
        for record in records:
            count += 1
            if record.lines > 1 and any("never closed" in fault for fault in record.faults):
                return count, (
                    f"the quote that opens in line {record.line} is never closed, "
                    f"and {record.lines - 1} more lines follow: mend it and deliver again"
                )
    except csv.Error as error:
        return count, f"a field is too long after {count} records: {error}; is a quote not closed?"
    return count, None


def write_plain(
    records: Iterator[Record],
    header: Sequence[str],
    delimiter: str,
    path: Path,
    *,
    is_headed: bool = True,
) -> list[Record]:
    """Write the records of good form to `path` in plain form; returns the others."""
    broken = []
    with path.open("w", encoding="utf-8", newline="") as file:
        # All fields are quoted, for `csv` would leave one with a bare carriage return unquoted.
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL)
        if is_headed:
            writer.writerow(header)
        for record in records:
            if record.faults:
                broken.append(record)
            else:
                writer.writerow(record.fields)
    return broken
