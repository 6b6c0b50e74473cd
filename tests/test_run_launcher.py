"""Whether a run lives is told by its process: host, container, pid and start."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._core.launcher import WorkerStatus

from ops_platform.run_executor import PROCESS
from ops_platform.run_launcher import WatchedRunLauncher
from ops_platform.run_process import RunProcess, by_ps, namespace, started_at, this_process


@pytest.mark.parametrize("look", [started_at, by_ps])
def test_a_process_lives_until_it_ends_collected_or_not(look):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert look(process.pid) == look(process.pid) is not None

    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert look(process.pid) is None  # a zombie now, for nobody has collected it

    process.wait()
    assert look(process.pid) is None


@pytest.fixture
def health():
    """What the launcher says of a run that has told this of its process."""
    with dg.DagsterInstance.ephemeral() as instance:
        launcher = WatchedRunLauncher()
        launcher.register_instance(instance)

        def health(process):
            run = dg.DagsterRun("walk", status=dg.DagsterRunStatus.STARTED)
            instance.add_run(run)
            if process is not None:
                told = {PROCESS: dg.MetadataValue.json(asdict(process))}
                instance.report_engine_event("told", run, EngineEventData(told))
            return launcher.check_run_worker_health(run)

        yield health


def test_a_run_whose_process_lives_runs(health):
    assert health(this_process()).status == WorkerStatus.RUNNING


def test_a_pid_that_another_process_has_now_is_no_sign_of_life(health):
    found = health(replace(this_process(), started="1"))

    assert found.status == WorkerStatus.FAILED
    assert f"({os.getpid()} of " in found.msg


def test_a_run_of_another_host_or_of_an_unknown_process_is_not_judged(health):
    gone = replace(this_process(), started="1")
    assert health(replace(gone, host="elsewhere")).status == WorkerStatus.RUNNING
    assert health(None).status == WorkerStatus.RUNNING


def test_a_run_of_another_container_with_the_same_hostname_is_not_judged(health):
    tell = (
        "import dataclasses, json; from ops_platform.run_process import this_process; "
        "print(json.dumps(dataclasses.asdict(this_process())))"
    )
    contain = [shutil.which("unshare") or "unshare", "-Urpf", "--mount-proc"]
    try:
        told = subprocess.check_output([*contain, sys.executable, "-c", tell], text=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no pid namespace can be made here")
    process = RunProcess(**json.loads(told))

    assert process.host == this_process().host
    assert health(process).status == WorkerStatus.RUNNING
    assert health(replace(process, namespace=namespace())).status == WorkerStatus.FAILED
