"""The extract of a database's table: all its rows, ordered, as a CSV file that is the delivery.

The same rows give the same bytes, so a table that did not change delivers nothing new. A column
that the contract does not name is there by its name only: its values stay in the database.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import duckdb
import psycopg

from ops_platform.errors import SourceError
from ops_platform.ingest.contract import Contract
from ops_platform.ingest.parquet import INSTANT
from ops_platform.ingest.sql import literal, quoted
from ops_platform.lake.location import without_password
from ops_platform.lake.session import load_extension

POSTGRES = ("postgresql", "postgres")
SECONDS_TO_CONNECT = 5


def extract(contract: Contract, database: str, file: Path) -> None:
    """Write the contract's table to `file`; `database` is a SQLite file or a postgresql:// URL.

    Raises SourceError, without any password, where the database can't be reached or read, or has
    no such table. A missing column is found when the file is looked at.
    """
    with _attached(contract, database, file.parent) as connection:
        table = ".".join(["src", *map(quoted, contract.table.split("."))])
        try:
            described = connection.execute(f"DESCRIBE {table}").fetchall()
        except duckdb.CatalogException as error:
            raise SourceError(
                f"source {contract.name}: {_name(database)} has no table {contract.table}: mend "
                "physicalName in its contract"
            ) from error
        columns = ", ".join(_text(contract, name, kind) for name, kind, *_ in described)
        # All is quoted, for one empty field would be a blank line, and that is no record.
        connection.execute(
            f"COPY (SELECT {columns} FROM {table} ORDER BY ALL) TO {literal(str(file))} "
            "(FORMAT csv, HEADER, FORCE_QUOTE *)"
        )


def _text(contract: Contract, name: str, kind: str) -> str:
    if name not in contract.inputs:
        return f"'' AS {quoted(name)}"
    value = quoted(name) if kind != INSTANT else f"{quoted(name)} AT TIME ZONE 'UTC'"
    # There and back: DuckDB takes texts from SQLite as they are, and loses those not in UTF-8.
    return f"coalesce(decode(encode(CAST({value} AS VARCHAR))), '') AS {quoted(name)}"


@contextmanager
def _attached(
    contract: Contract, database: str, scratch: Path
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with the database as `src`, to be read; it spills into `scratch`."""
    with duckdb.connect(config={"autoinstall_known_extensions": False}) as connection:
        connection.execute(f"SET temp_directory = {literal(str(scratch / '.spilled'))}")
        try:
            if urlsplit(database).scheme in POSTGRES:
                _attach_postgres(connection, database)
            else:
                _attach_sqlite(connection, database)
            yield connection
        except duckdb.ConversionException as error:
            raise SourceError(
                f"source {contract.name}: {_name(database)} holds a text that is not UTF-8"
            ) from error
        except (duckdb.Error, OSError) as error:
            raise SourceError(
                f"source {contract.name}: {_name(database)} can't be read: "
                f"{str(error).splitlines()[0]}: see that it is there and answers, or mend "
                f"OPS_SOURCE_{contract.name.upper()}; it is tried again at the next look"
            ) from error


def _attach_postgres(connection: duckdb.DuckDBPyConnection, url: str) -> None:
    load_extension(connection, "postgres")
    try:
        reached, password = without_password(url, connect_timeout=SECONDS_TO_CONNECT)
    except psycopg.ProgrammingError:
        # libpq's message would quote the URL, password and all.
        raise duckdb.Error("it is no postgresql:// URL that libpq reads") from None
    if password is not None:
        connection.execute(f"CREATE SECRET (TYPE postgres, PASSWORD {literal(password)})")
    connection.execute(f"ATTACH {literal(reached)} AS src (TYPE postgres, READ_ONLY)")


def _attach_sqlite(connection: duckdb.DuckDBPyConnection, database: str) -> None:
    load_extension(connection, "sqlite")
    if not Path(database).is_file():
        raise FileNotFoundError("there is no such file")
    # Any column of SQLite may hold any value: what fits is the contract's to say, row by row.
    connection.execute("SET sqlite_all_varchar = true")
    connection.execute(f"ATTACH {literal(database)} AS src (TYPE sqlite, READ_ONLY)")


def _name(database: str) -> str:
    """The database in words, without what may be a secret."""
    parts = urlsplit(database)
    if parts.scheme not in POSTGRES:
        return f"the database {database}"
    return f"the Postgres database {parts.path.lstrip('/')} on {parts.hostname or 'this machine'}"
