"""Where a lake is: its catalog, its data files and its lock."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ops_platform.errors import LakeError
from ops_platform.lake.session import has_table, session
from ops_platform.settings import Settings


@dataclass(frozen=True)
class Lake:
    """One DuckLake.

    Parameters
    ----------
    home : folder of the embedded catalog and of the lock file.
    data_path : absolute folder of the Parquet files, the same in every process.
    catalog_url : `postgresql://...`, or None for SQLite under `home`.
    lock_seconds : how long a writer waits for its turn.
    """

    home: Path
    data_path: Path
    catalog_url: str | None = field(default=None, repr=False)
    lock_seconds: float = 600

    @classmethod
    def at(cls, settings: Settings) -> "Lake":
        """The lake that the settings name."""
        home = settings.home / "lake"
        return cls(
            home=home,
            data_path=settings.data_path or home / "data",
            catalog_url=settings.catalog_url,
            lock_seconds=settings.lock_seconds,
        )

    @classmethod
    def of_production(cls, settings: Settings) -> "Lake":
        """Production's lake, for who only reads it."""
        home = settings.production_home / "lake"
        return cls(
            home=home,
            data_path=settings.production_data_path or home / "data",
            catalog_url=settings.production_catalog_url,
            lock_seconds=settings.lock_seconds,
        )

    @property
    def catalog_file(self) -> Path:
        """The SQLite catalog, where it is not a Postgres one."""
        return self.home / "catalog.sqlite"

    @property
    def exists(self) -> bool:
        """Whether a first write has made the catalog; raises LakeError when it can't be reached."""
        if self.catalog_url is None and not self.catalog_file.exists():
            return False
        with session(self) as catalog:
            # A first write that was killed leaves a catalog without DuckLake's tables.
            return has_table(catalog, "ducklake_snapshot")

    @property
    def catalog_path(self) -> str:
        """What DuckDB attaches as the catalog database, without the password: it gets logged."""
        return str(self.catalog_file) if self.catalog_url is None else self.postgres[0]

    @property
    def attach_path(self) -> str:
        """What DuckDB attaches as the lake: `ducklake:<kind>:<catalog>`."""
        return f"ducklake:{'postgres' if self.catalog_url else 'sqlite'}:{self.catalog_path}"

    @cached_property
    def postgres(self) -> tuple[str, str | None]:
        """The Postgres catalog as libpq names it, `host=... dbname=...`, and its password apart."""
        try:
            return without_password(self.catalog_url or "")
        except psycopg.ProgrammingError:
            # libpq's message would quote the URL, password and all.
            raise LakeError("OPS_CATALOG_URL is not a postgresql:// URL that libpq reads") from None

    @property
    def catalog_name(self) -> str:
        """The catalog in words, for messages."""
        if self.catalog_url is None:
            return str(self.catalog_file)
        return f"Postgres with {self.postgres[0]}"

    @property
    def attach_options(self) -> dict[str, str | int]:
        """Options of the attach, the same for every process that writes."""
        options: dict[str, str | int] = {
            "DATA_PATH": f"{self.data_path}/",
            # Inlined rows live in the catalog, where concurrent readers have lost some
            # (duckdb/ducklake #1094); without inlining every row is in a checked file.
            "DATA_INLINING_ROW_LIMIT": 0,
        }
        if self.catalog_url is None:
            options |= {"META_JOURNAL_MODE": "WAL", "META_BUSY_TIMEOUT": 5000}
        return options


def without_password(url: str, **defaults: str | int) -> tuple[str, str | None]:
    """A Postgres URL as libpq names it, `host=... dbname=...`, and its password apart.

    Raises psycopg.ProgrammingError, whose message has the password, where libpq can't read it.
    """
    parts = {**defaults, **conninfo_to_dict(url)}
    password = parts.pop("password", None)
    return make_conninfo("", **parts), None if password is None else str(password)
