"""Text files of a delivery, opened as if none of them were compressed."""

import io
from pathlib import Path
from typing import BinaryIO, TextIO, cast

COMPRESSED = {".gz": "gzip", ".zst": "zstd"}


def is_compressed(path: Path) -> bool:
    """Whether a file's name says that it is compressed."""
    return path.suffix in COMPRESSED


def open_bytes(path: Path) -> BinaryIO:
    """The content of a file; one that is cut off or no archive raises OSError without a number."""
    if not is_compressed(path):
        return path.open("rb")
    import pyarrow

    stream = pyarrow.input_stream(str(path), compression=COMPRESSED[path.suffix])
    return cast(BinaryIO, io.BufferedReader(stream))


def open_text(path: Path, newline: str) -> TextIO:
    """The same as UTF-8 text, without a byte order mark, its line ends as `open` treats them."""
    return io.TextIOWrapper(open_bytes(path), encoding="utf-8-sig", newline=newline)
