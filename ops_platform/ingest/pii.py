"""Looking for plain values of personal data in all that the platform keeps.

Files are read as bytes, whatever they are: texts, SQLite databases and their journals. What is
packed is unpacked first: Parquet through the engine, archives by member.
"""

import gzip
import json
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from glob import has_magic
from itertools import chain
from pathlib import Path
from typing import IO, cast
from urllib.parse import quote

import duckdb

from ops_platform.errors import OpsError
from ops_platform.ingest.sql import literal, quoted
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.settings import Settings

SHORTEST = 4
BLOCK, OVERLAP = 1 << 24, 1 << 12
ROWS = 10_000
# As texts are kept: in files and databases, and in numpy's arrays.
ENCODINGS = ("utf-8", "utf-16-le", "utf-32-le")


@dataclass(frozen=True)
class Found:
    """A place that holds a plain value, told by its line in the sample, for it is secret."""

    place: str
    line: int


@dataclass
class Report:
    """What was found, how many files were read, and what can't be from here."""

    found: list[Found] = field(default_factory=list)
    files: int = 0
    not_read: list[str] = field(default_factory=list)


def read_sample(path: Path) -> dict[int, str]:
    """The values of a sample by line; raises OpsError where it is empty or a value is too short."""
    lines = path.read_text(encoding="utf-8").splitlines()
    values = {number: line.strip() for number, line in enumerate(lines, 1) if line.strip()}
    if not values:
        raise OpsError(f"{path} has no values: write one a line")
    short = [number for number, value in values.items() if len(value) < SHORTEST]
    if short:
        raise OpsError(
            f"{path}:{short[0]}: a value of fewer than {SHORTEST} characters would be found by "
            "chance: leave it out"
        )
    return values


def scan(settings: Settings, values: dict[int, str]) -> Report:
    """Where the values stand: in the lake, its catalog, Dagster, MLflow, releases and logs.

    Deliveries are what the sources wrote, and are left out; what was served is not.
    """
    lake, report = Lake.at(settings), Report()
    wanted = {number: _forms(value) for number, value in values.items()}
    for path in _files(settings, lake):
        report.files += 1
        try:
            lines = {line for block in _blocks(path) for line in _in(block, wanted)}
        except (OSError, duckdb.Error, zipfile.BadZipFile, EOFError) as error:
            report.not_read.append(f"{path}: {type(error).__name__}")
            continue
        report.found += [Found(str(path), line) for line in sorted(lines)]
    if lake.catalog_url and lake.exists:
        lines = {line for block in _catalog_blocks(lake) for line in _in(block, wanted)}
        report.found += [Found(lake.catalog_name, line) for line in sorted(lines)]
    if settings.mlflow_uri:
        report.not_read.append("the MLflow server, which is not under OPS_HOME")
    return report


def _forms(value: str) -> list[bytes]:
    """The value as texts, JSON and URLs write it, whatever its letters' size.

    All is compared with the bytes of ASCII's capitals made small, so other letters have two forms.
    """
    texts = {value, json.dumps(value)[1:-1], quote(value), quote(value, safe="")}
    sizes = {size for text in texts for size in (text, text.lower(), text.upper())}
    return sorted({size.encode(encoding).lower() for size in sizes for encoding in ENCODINGS})


def _in(block: bytes, wanted: dict[int, list[bytes]]) -> Iterator[int]:
    for number, forms in wanted.items():
        if any(form in block for form in forms):
            yield number


def _files(settings: Settings, lake: Lake) -> list[Path]:
    given = [settings.simulated_sources, settings.sources, *map(Path, settings.source.values())]
    sources = [_folder(path.absolute()) for path in given if path is not None]
    kept = {
        path
        for root in (settings.home, lake.data_path)
        for path in root.rglob("*")
        if path.is_file()
    }
    return sorted(
        path
        for path in kept
        if path.is_relative_to(settings.served)
        or not any(path.is_relative_to(source) for source in sources)
    )


def _folder(location: Path) -> Path:
    """The folder of a source's deliveries, of a glob the part before its first sign."""
    while has_magic(str(location)):
        location = location.parent
    return location


def _blocks(path: Path) -> Iterable[bytes]:
    if path.suffix == ".parquet":
        return chain(_of_file(path.open("rb")), _of_parquet(path))
    if zipfile.is_zipfile(path):
        return _of_archive(path)
    if path.suffix == ".gz":
        return _of_file(cast(IO[bytes], gzip.open(path)))
    return _of_file(path.open("rb"))


def _of_file(file: IO[bytes]) -> Iterator[bytes]:
    """Blocks that overlap, so that no value is cut in two."""
    rest = b""
    with file:
        while block := file.read(BLOCK):
            yield (rest + block).lower()
            rest = block[-OVERLAP:]


def _of_archive(path: Path) -> Iterator[bytes]:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            yield name.encode().lower()
            yield from _of_file(archive.open(name))


def _of_parquet(path: Path) -> Iterator[bytes]:
    with duckdb.connect(config={"autoinstall_known_extensions": False}) as engine:
        yield from _of_table(engine, f"read_parquet({literal(str(path))})")


def _of_table(engine: duckdb.DuckDBPyConnection, table: str) -> Iterator[bytes]:
    names = [name for name, *_ in engine.execute(f"DESCRIBE FROM {table}").fetchall()]
    texts = ", ".join(f"{quoted(name)}::VARCHAR" for name in names)
    engine.execute(f"SELECT concat_ws(chr(10), {texts}) FROM {table}")
    while rows := engine.fetchmany(ROWS):
        yield "\n".join(row[0] for row in rows).encode().lower()


def _catalog_blocks(lake: Lake) -> Iterator[bytes]:
    """The catalog's own tables, where it is no file: they hold the least and greatest values."""
    with connect(lake) as connection:
        tables = connection.execute(
            "SELECT database_name, schema_name, table_name FROM duckdb_tables() "
            "WHERE starts_with(database_name, '__ducklake')"
        ).fetchall()
        for names in tables:
            yield from _of_table(connection, ".".join(map(quoted, names)))
