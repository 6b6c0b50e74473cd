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
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ops_platform.ingest.opened import open_bytes, open_text

LIMIT = csv.field_size_limit()
_FEED, _QUOTE = ord("\n"), ord('"')
# So much stays in the processor's cache while it is looked at in several ways.
_BLOCK = 1 << 18
# Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4): 2^64 over the golden ratio.
_ODD = np.uint64(0x9E3779B97F4A7C15)


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
        marks = np.flatnonzero((characters == _FEED) | (characters == self.delimiter[0]))
        places = np.flatnonzero(characters[marks] == _FEED)
        feeds = marks[places]
        ends = feeds + 1
        if not block.endswith(b"\n"):
            ends, places = np.append(ends, len(block)), np.append(places, len(marks))
        delimiters = np.diff(places, prepend=-1) - 1
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
            and self._has_columns(block, ends, (delimiters == self.columns - 1) | is_blank)
        )

    def _has_columns(
        self, block: bytes, ends: NDArray[np.int64], is_right: NDArray[np.bool_]
    ) -> bool:
        # Only lines with a quote are looked at one by one.
        quoted = np.zeros(len(ends), bool)
        if b'"' in block:
            quotes = np.flatnonzero(np.frombuffer(block, np.uint8) == _QUOTE)
            quoted[np.searchsorted(ends, quotes, side="right")] = True
        starts = np.append(0, ends[:-1])
        return bool(np.all(is_right | quoted)) and all(
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
    ends = _Ends(texts)
    seen = 0
    for block in blocks(path):
        block = block if seen else block.removeprefix(codecs.BOM_UTF8)
        bare = block.replace(b"\r", b"").replace(b'"', b"")
        edges, bare_edges = _edges(block), _edges(bare)
        for number in ends.like(bare, bare_edges):
            if bare[bare_edges[number] + 1 : bare_edges[number + 1]] not in texts:
                continue
            line = block[edges[number] + 1 : edges[number + 1]].decode()
            fields = next(csv.reader([line], delimiter=delimiter), [])
            if tuple(fields) in wanted and (seen or number or not is_headed):
                yield Record(seen + number + 1, 1, fields, ())
        seen += len(edges) - 2


def _edges(block: bytes) -> NDArray[np.int64]:
    """Where the line ends are, with one before the first line and one after the last."""
    feeds = np.flatnonzero(np.frombuffer(block, np.uint8) == _FEED)
    return np.concatenate(([-1], feeds, [len(block)]))


class _Ends:
    """The first and the last bytes of texts, by which nearly all other lines are told at once."""

    def __init__(self, texts: set[bytes]) -> None:
        self.width = min(8, *map(len, texts)) if texts else 0
        self.marks = np.zeros(1 << 16, bool)
        for text in texts:
            self.marks[self._marks(text, np.array([0]), np.array([len(text)]))] = True

    def like(self, block: bytes, edges: NDArray[np.int64]) -> list[int]:
        """The numbers of the lines between the edges that may be one of the texts."""
        starts, ends = edges[:-1] + 1, edges[1:]
        long = np.flatnonzero(ends - starts >= self.width)
        found: list[int] = long[self.marks[self._marks(block, starts[long], ends[long])]].tolist()
        return found

    def _marks(
        self, block: bytes, starts: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> NDArray[np.uint64]:
        padded = block + bytes(8)
        words: NDArray[np.uint64] = np.ndarray(len(block) + 1, "<u8", padded, strides=(1,))
        # Of a word the first `width` bytes are the lowest.
        unused = np.uint64(8 * (8 - self.width))
        first, last = (words[at] << unused for at in (starts, ends - self.width))
        return (first * _ODD + last) * _ODD >> np.uint64(48)


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
