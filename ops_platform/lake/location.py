"""Where a lake is: its catalog, its data files and its lock."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import sqlalchemy

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
    catalog_url: str | None = None
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

    @property
    def catalog_file(self) -> Path:
        """The SQLite catalog, where it is not a Postgres one."""
        return self.home / "catalog.sqlite"

    @property
    def exists(self) -> bool:
        """Whether a first write has made the catalog."""
        if self.catalog_url is None:
            return self.catalog_file.exists()
        return sqlalchemy.inspect(self.catalog).has_table("ducklake_metadata")

    @property
    def attach_path(self) -> str:
        """What DuckDB attaches: `ducklake:<catalog>`."""
        if self.catalog_url is None:
            return f"ducklake:sqlite:{self.catalog_file}"
        return f"ducklake:postgres:{self.catalog_url}"

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

    @cached_property
    def catalog(self) -> sqlalchemy.Engine:
        """The catalog database, for what DuckLake's own functions do not tell."""
        if self.catalog_url is None:
            url = sqlalchemy.URL.create("sqlite", database=str(self.catalog_file))
            return sqlalchemy.create_engine(
                url, connect_args={"timeout": 5}, poolclass=sqlalchemy.NullPool
            )
        url = sqlalchemy.make_url(self.catalog_url).set(drivername="postgresql+psycopg")
        return sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
