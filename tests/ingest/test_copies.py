"""Copies of what servers deliver that accept and then never answer: ended, and nothing with them."""

import os
import socket
import subprocess
import sys
from dataclasses import replace

import dagster as dg
import pytest
from filelock import FileLock
from pydantic import SecretStr

from ops_platform.errors import SourceError
from ops_platform.ingest.assets import raw_asset
from ops_platform.ingest.contract_file import read_contract
from ops_platform.ingest.copies import NOW, source_location
from ops_platform.ingest.landing import land
from ops_platform.settings import PROJECT, Settings

CUSTOMERS = replace(
    read_contract(PROJECT / "contracts" / "customers.odcs.yaml"),
    key=SecretStr("a key of the tests"),
)
HANGING = {
    "customers": "postgresql://me:hunter2@{}/shop?sslmode=disable",
    "orders": "http://me:hunter2@{}/a.csv",
}
# What a Postgres says to whom it lets in; then it is asked, and there is no limit to waiting.
LET_IN = {"customers": b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I", "orders": b""}
# Begins a copy, and ends once its own input does.
ENDS = """
import sys
from datetime import timedelta
from ops_platform.errors import SourceError
from ops_platform.ingest.contract_file import read_contract_of
from ops_platform.ingest.copies import Copies
from ops_platform.settings import Settings
settings, copies = Settings(), Copies()
contract = read_contract_of(sys.argv[1], settings.contracts, None)
try:
    copies.location(settings, contract, timedelta(), until=0)
except SourceError as error:
    print(error, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def hanging():
    """It takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        yield server


def address(server, source):
    return HANGING[source].format(f"127.0.0.1:{server.getsockname()[1]}")


@pytest.mark.parametrize("source", HANGING)
def test_a_copy_that_hangs_is_ended_after_its_time(
    orders_contract, hanging, source, tmp_path, capfd
):
    contract = {"orders": orders_contract, "customers": CUSTOMERS}[source]
    settings = Settings(home=tmp_path, source={source: address(hanging, source)}, copy_seconds=3)

    with pytest.raises(SourceError, match=f"source {source}: its copy is not done after 3 s") as it:
        source_location(settings, contract)

    assert f"OPS_SOURCE_{source.upper()}" in str(it.value)
    assert "OPS_COPY_SECONDS" in str(it.value)
    assert "hunter2" not in "".join([str(it.value), *capfd.readouterr()])
    with FileLock(settings.landed / source / ".lock", timeout=0):
        pass  # whoever had it is gone


@pytest.mark.parametrize("source", HANGING)
@pytest.mark.parametrize("how", ["ends", "is killed"])
def test_a_process_ends_while_it_copies_and_its_copy_with_it(hanging, source, how, tmp_path):
    settings = Settings(home=tmp_path, source={source: address(hanging, source)})
    with subprocess.Popen(
        [sys.executable, "-c", ENDS, source],
        env={**os.environ, **settings.as_environment()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert "its copy is still being made" in process.stdout.readline()
        connection, _ = hanging.accept()
        connection.sendall(LET_IN[source])
        if how == "is killed":
            process.kill()
        process.stdin.close()

    assert process.returncode == {"ends": 0, "is killed": -9}[how]
    with connection:
        connection.settimeout(20)  # of the web DuckDB gives up after 30 s
        while connection.recv(1000):
            pass  # what it asked before it was ended


def test_a_source_that_hangs_fails_by_itself_in_a_run(shop, hanging, tmp_path, a_row):
    shop.deliver("a.csv", a_row(1))
    settings = Settings(
        home=shop.lake.home.parent,
        source={"orders": str(shop.folder), "customers": address(hanging, "customers")},
        copy_seconds=3,
    )

    run = dg.materialize(
        [raw_asset(CUSTOMERS), raw_asset(shop.contract)],
        resources={"settings": settings},
        raise_on_error=False,
    )

    made = {event.asset_key.path[-1] for event in run.get_asset_materialization_events()}
    (failed,) = run.get_step_failure_events()
    assert (failed.step_key, "orders" in made) == ("raw__customers", True)
    assert shop.raw() == ["1"]


def test_another_that_is_at_it_is_waited_for_as_long_as_a_copy_may_take(tmp_path):
    settings = Settings(home=tmp_path, copy_seconds=0.01)
    folder = settings.landed / "customers"
    folder.mkdir(parents=True)
    with FileLock(folder / ".lock"), pytest.raises(TimeoutError, match="could not be acquired"):
        land(settings, CUSTOMERS, "shop.sqlite", NOW)
