"""Where a lake is: its catalog, its data files and its lock."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import psycopg
import sqlalchemy
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ops_platform.errors import LakeError
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

    @property
    def catalog_file(self) -> Path:
        """The SQLite catalog, where it is not a Postgres one."""
        return self.home / "catalog.sqlite"

    @property
    def exists(self) -> bool:
        """Whether a first write has made the catalog; raises LakeError when it can't be reached."""
        if self.catalog_url is None and not self.catalog_file.exists():
            return False
        # A first write that was killed leaves a catalog without DuckLake's tables.
        return sqlalchemy.inspect(self.catalog).has_table("ducklake_snapshot")

    @property
    def attach_path(self) -> str:
        """What DuckDB attaches: `ducklake:<catalog>`, without the password, for it gets logged."""
        if self.catalog_url is None:
            return f"ducklake:sqlite:{self.catalog_file}"
        return f"ducklake:postgres:{self.postgres[0]}"

    @cached_property
    def postgres(self) -> tuple[str, str | None]:
        """The Postgres catalog as libpq names it, `host=... dbname=...`, and its password apart."""
        try:
            parts = conninfo_to_dict(self.catalog_url or "")
        except psycopg.ProgrammingError:
            # libpq's message would quote the URL, password and all.
            raise LakeError("OPS_CATALOG_URL is not a postgresql:// URL that libpq reads") from None
        password = parts.pop("password", None)
        return make_conninfo("", **parts), None if password is None else str(password)

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

    @cached_property
    def catalog(self) -> sqlalchemy.Engine:
        """The catalog database, for what DuckLake's own functions do not tell."""
        if self.catalog_url is None:
            url = sqlalchemy.URL.create("sqlite", database=str(self.catalog_file))
            engine = sqlalchemy.create_engine(
                url, connect_args={"timeout": 5}, poolclass=sqlalchemy.NullPool
            )
        else:
            engine = sqlalchemy.create_engine(
                "postgresql+psycopg://",
                # A Postgres that is gone is an error within seconds, not after minutes.
                creator=lambda: psycopg.connect(self.catalog_url or "", connect_timeout=10),
                poolclass=sqlalchemy.NullPool,
            )
        sqlalchemy.event.listen(engine, "handle_error", self._in_our_words, retval=True)
        return engine

    def _in_our_words(self, context: sqlalchemy.engine.ExceptionContext) -> LakeError:
        return LakeError(
            f"the lake's catalog, {self.catalog_name}, refuses: {context.original_exception}"
        )
