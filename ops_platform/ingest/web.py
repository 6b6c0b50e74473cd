"""Files at an http(s) or s3 location, copied to a folder of our own by DuckDB."""

import re
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import duckdb

from ops_platform.errors import SourceError
from ops_platform.ingest.contract import Contract
from ops_platform.ingest.sql import literal
from ops_platform.lake.session import load_extension

SCHEMES = ("http", "https", "s3")
# Of what the engine says only this is told on: the rest quotes the URL, and any password in it.
TOLD = re.compile(r"HTTP \d{3}[A-Za-z ]*|Could not connect to server|SSL [a-z ]+|Access Denied")


def copy_here(contract: Contract, url: str, folder: Path) -> None:
    """Copy each file of the location into `folder`; in s3 the location may be a glob.

    Raises SourceError, without query or password of the URL, where one can't be had.
    """
    with duckdb.connect(config={"autoinstall_known_extensions": False}) as connection:
        try:
            load_extension(connection, "httpfs")
            for name in _names(connection, url):
                content = connection.execute(f"SELECT content FROM read_blob({literal(name)})")
                file = PurePosixPath(urlsplit(name).path).name or contract.name
                if (folder / file).exists():
                    raise SourceError(
                        f"source {contract.name}: {_bare(url)} has two files named {file}: each "
                        "needs a name of its own, or a location of its own"
                    )
                (folder / file).write_bytes(content.fetchall()[0][0])
        except ImportError as error:
            raise SourceError(
                f"source {contract.name}: {_bare(url)} needs DuckDB's extension httpfs: install "
                f"the package duckdb-extension-httpfs=={duckdb.__version__}"
            ) from error
        except duckdb.Error as error:
            told = TOLD.search(str(error))
            raise SourceError(
                f"source {contract.name}: {_bare(url)} can't be had: "
                f"{told[0].strip() if told else type(error).__name__}"
            ) from None


def _names(connection: duckdb.DuckDBPyConnection, url: str) -> list[str]:
    if urlsplit(url).scheme != "s3":
        return [url]
    found = connection.execute(f"SELECT file FROM glob({literal(url)}) ORDER BY file").fetchall()
    return [name for (name,) in found]


def _bare(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{parts.path}"
