"""The seal of a SQLite catalog: the digest of its pages, as the last writer left them.

SQLite has no checksums: a bit that flips in a number of rows, or in the published snapshot's id, is
a value like any other to it. So each holder of the write lock breaks the seal and puts a new one.
Where a holder was killed there is none, and the next one trusts what it finds. A Postgres catalog
has its server's checksums instead.
"""

import atexit
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from threading import Lock

from ops_platform.lake.durable import sync_folder
from ops_platform.lake.location import Lake

# In a process of its own, for the reason that `session` gives; it ends with its parent.
_READER = """
import hashlib, sqlite3, sys
from contextlib import closing
for uri in sys.stdin:
    try:
        with closing(sqlite3.connect(uri.strip() + "?mode=ro", uri=True)) as catalog:
            print(hashlib.sha256(catalog.serialize()).hexdigest(), flush=True)
    except sqlite3.Error as error:
        print("unreadable:", str(error).replace(chr(10), " "), flush=True)
"""
_asking = Lock()
DIGEST = re.compile("[0-9a-f]{64}")


def path_of(lake: Lake) -> Path:
    """Where the seal lies: it goes wherever the catalog's files go."""
    return lake.catalog_file.with_name(f"{lake.catalog_file.name}.sha256")


def is_broken(lake: Lake) -> bool:
    """Whether the catalog is not as its seal says; False where there is no seal."""
    sealed = _read(lake)
    return sealed is not None and sealed != _digest(lake.catalog_file)


def lift(lake: Lake) -> None:
    """Take the seal off before a write; one that does not fit stays, and is told by `check`."""
    if lake.catalog_url is None and _read(lake) is not None and not is_broken(lake):
        path_of(lake).unlink()
        # For good, before the first commit: after a power failure it would not fit.
        sync_folder(lake.home)


def put(lake: Lake) -> None:
    """Seal what the write left."""
    if lake.catalog_url is None and lake.catalog_file.exists() and _read(lake) is None:
        digest = _digest(lake.catalog_file)
        # What can't be read now is sealed by the next writer, who may.
        if DIGEST.fullmatch(digest):
            aside = path_of(lake).with_suffix(".partial")
            aside.write_text(digest, encoding="ascii")
            aside.replace(path_of(lake))


def _read(lake: Lake) -> str | None:
    try:
        return path_of(lake).read_bytes().decode("ascii", "replace") or None
    except FileNotFoundError:
        return None


def _digest(catalog: Path) -> str:
    """The digest, or why there is none; asked again of a new reader where one has died."""
    with _asking:
        try:
            found = _ask(catalog)
        except (OSError, ValueError):
            found = ""
        if not DIGEST.fullmatch(found):
            _reader(os.getpid()).kill()
            _reader.cache_clear()
            found = _ask(catalog)
        return found


def _ask(catalog: Path) -> str:
    reader = _reader(os.getpid())
    assert reader.stdin is not None
    assert reader.stdout is not None
    reader.stdin.write(catalog.absolute().as_uri() + "\n")
    reader.stdin.flush()
    return reader.stdout.readline().strip()


@cache
def _reader(process: int) -> "subprocess.Popen[str]":
    """The reader of this process: one that was forked has another number."""
    reader = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _READER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Ctrl-C at a terminal is for the writer, who seals what it leaves.
        start_new_session=True,
    )
    atexit.register(reader.kill)
    return reader
