"""A Postgres of the tests' own, and a fresh database of it for each test."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp
from uuid import uuid4

import psycopg
import pytest

PASSWORD = "s3cr/et@'"  # what a URL, a conninfo and SQL each have to quote
QUOTED = "s3cr%2Fet%40%27"


def _bindir() -> Path:
    config = shutil.which("pg_config")
    if config is None:
        pytest.skip("no Postgres here: pg_config is not on PATH")
    found = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=True)
    where = Path(found.stdout.strip())
    if not (where / "initdb").exists():
        pytest.skip(f"no Postgres server here: no initdb in {where}")
    return where


def _as_postgres(folder: Path) -> list[str]:
    """Postgres refuses to run as root."""
    if os.geteuid() != 0:
        return []
    try:
        shutil.chown(folder, "postgres")
    except LookupError:
        pytest.skip("Postgres does not run as root, and there is no user postgres")
    return ["runuser", "-u", "postgres", "--"]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a running server, without a database; skips where Postgres can't be started."""
    tools = _bindir()
    folder = Path(mkdtemp(prefix="ops-pg-"))  # short: a socket's path has at most 107 bytes
    prefix = _as_postgres(folder)
    (folder / "password").write_text(PASSWORD + "\n")
    (folder / "password").chmod(0o644)
    port = _free_port()
    run = {"check": True, "stdout": subprocess.DEVNULL, "cwd": "/"}
    control = [*prefix, tools / "pg_ctl", "-D", folder / "db"]
    options = f"-p {port} -c unix_socket_directories={folder} -c listen_addresses=127.0.0.1"
    try:
        subprocess.run(
            [*prefix, tools / "initdb", "-D", folder / "db", "-U", "ops", "--no-sync",
             "--auth=scram-sha-256", f"--pwfile={folder / 'password'}"],
            **run,
        )  # fmt: skip
        subprocess.run(
            [*control, "-w", "-o", f"{options} -c fsync=off", "-l", folder / "log", "start"], **run
        )
        yield f"postgresql://ops:{QUOTED}@127.0.0.1:{port}"
    finally:
        with suppress(subprocess.CalledProcessError):
            subprocess.run([*control, "-m", "immediate", "stop"], **run)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """URL of an empty database."""
    name = f"lake_{uuid4().hex}"
    with psycopg.connect(f"{postgres_server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield f"{postgres_server}/{name}"
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
