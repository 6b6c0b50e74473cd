import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ops_platform.errors import LakeBusyError
from ops_platform.lake import catalog
from ops_platform.lake.check import check
from ops_platform.lake.lock import write_lock
from ops_platform.lake.write import digest_new_files
from ops_platform.settings import PROJECT, TELEMETRY_OFF
from tests.lake.conftest import quick, read, run

# While this hook reads its pipe dbt can't go on, so the test decides how long it runs.
HOOK = """{{ config(materialized='table', pre_hook="create or replace temp table said as
select * from read_text('%s')") }} select 2 as a"""


@pytest.fixture
def dbt(lake, tmp_path):
    """Start a dbt command on a tiny project, in a home where no extension has been copied yet."""
    project, home = tmp_path / "project", tmp_path / "user"
    (project / "models").mkdir(parents=True)
    home.mkdir()
    shutil.copy(PROJECT / "dbt_project" / "profiles.yml", project)
    (project / "dbt_project.yml").write_text("name: tiny\nprofile: ops\n")
    (tmp_path / "scratch").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (project / "models" / "made.sql").write_text(HOOK % (tmp_path / "pipe"))
    environment = {
        **os.environ, **TELEMETRY_OFF, "HOME": str(home),
        "OPS_HOME": str(lake.home.parent), "OPS_CATALOG_URL": lake.catalog_url or "",
        "OPS_DATA_PATH": str(lake.data_path), "OPS_DBT_SCRATCH": str(tmp_path / "scratch"),
        "OPS_LOCK_SECONDS": "10",
    }  # fmt: skip
    started = []

    def start(command):
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("dbt")), "--debug", *command.split(),
             "--project-dir", str(project), "--profiles-dir", str(project)],
            env=environment, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def pipe_that_it_reads(process, path):
    """The pipe's end for writing, once dbt has opened the other: it is in the midst of its model."""
    while process.poll() is None:
        try:
            return os.fdopen(os.open(path, os.O_WRONLY | os.O_NONBLOCK), "w")
        except OSError as error:
            assert error.errno == errno.ENXIO, "nobody reads it yet"
            time.sleep(0.02)
    pytest.fail(f"dbt ended before its model: {process.communicate()[0]}")


def test_dbt_holds_the_lock_itself_until_it_ends(lake, dbt, tmp_path):
    run(lake, "CREATE TABLE t AS SELECT 1 AS a")
    process = dbt("run")
    with pipe_that_it_reads(process, tmp_path / "pipe") as pipe:
        with quick(lake) as impatient, pytest.raises(LakeBusyError):
            run(impatient, "CREATE TABLE u AS SELECT 1 AS a")
        assert read(lake, "FROM t") == [(1,)]
        pipe.write("go on")
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 0, output
    assert read(lake, "FROM made") == [(2,)]
    assert (tmp_path / "scratch" / "snapshot").read_text() == str(catalog.head(lake))
    assert digest_new_files(lake) == 1
    assert check(lake) == []
    logs = output + "".join(p.read_text() for p in tmp_path.rglob("dbt.log"))
    assert "s3cr" not in logs


@pytest.mark.parametrize("lake", ["sqlite"], indirect=True)
def test_a_killed_dbt_frees_the_lock_and_what_only_reads_does_not_take_it(lake, dbt, tmp_path):
    before = run(lake, "CREATE TABLE t AS SELECT 1 AS a")
    process = dbt("run")
    with pipe_that_it_reads(process, tmp_path / "pipe"):
        process.kill()
        process.wait()
    with write_lock(lake):
        reading = dbt("compile")
        assert reading.communicate(timeout=60)[0]
        assert reading.returncode == 0
    assert catalog.head(lake) == before
    assert check(lake) == []
