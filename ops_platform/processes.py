"""The processes that people start: Dagster's and MLflow's, with one home and no telemetry."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ops_platform.errors import OpsError
from ops_platform.models.registry import Registry
from ops_platform.settings import PROJECT, TELEMETRY_OFF, Settings

DAGSTER_YAML = """\
telemetry:
  enabled: false
# No invitation to a newsletter.
nux:
  enabled: false
"""
_STEP = re.compile(r'Finished execution of step "(?P<step>.+)" in (?P<time>\S+)\.$')


def environment(settings: Settings) -> dict[str, str]:
    """The environment of every process: Dagster's storage under `OPS_HOME`, telemetry off."""
    home = settings.home / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    instance = home / "dagster.yaml"
    if not instance.exists():
        instance.write_text(DAGSTER_YAML, encoding="utf-8")
    return {
        **os.environ,
        **TELEMETRY_OFF,
        # MLflow's server would start a dozen job workers that nothing here uses.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "OPS_HOME": str(settings.home),
        "DAGSTER_HOME": str(home),
    }


def materialize(settings: Settings, say: Callable[[str, str], object]) -> None:
    """Materialize the whole graph by Dagster's own command, telling each step and its time.

    Raises OpsError with the end of Dagster's log when the run fails.
    """
    command = [
        _executable("dagster"), "asset", "materialize",
        "-m", "ops_platform.definitions", "--select", "*",
    ]  # fmt: skip
    log: list[str] = []
    with subprocess.Popen(
        command,
        env=environment(settings),
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as run:
        assert run.stdout is not None
        for line in run.stdout:
            log.append(line)
            step = _STEP.search(line.strip())
            if step:
                say(step["step"].replace("__", "/"), step["time"])
    if run.returncode:
        raise OpsError("the run failed; the end of its log:\n" + "".join(log[-40:]))


def user_interfaces(settings: Settings, port: int, mlflow_port: int) -> int:
    """Run Dagster's web server and daemon and MLflow's UI until one of them ends; its exit code.

    All are stopped together, also on Ctrl-C.
    """
    commands = [
        [_executable("dagster"), "dev", "-w", str(PROJECT / "workspace.yaml"),
         "-h", "127.0.0.1", "-p", str(port)],
        [_executable("mlflow"), "server", "--backend-store-uri", settings.mlflow_tracking_uri,
         "--host", "127.0.0.1", "--port", str(mlflow_port), "--workers", "1"],
    ]  # fmt: skip
    if settings.mlflow_uri:
        del commands[1]
    Registry(settings.mlflow_tracking_uri, settings.mlflow_artifact_root).make_ready()
    # A polite kill must end the children too, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    started: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            # One by one: those already started must be ended if a later one fails.
            started.append(  # noqa: PERF401
                subprocess.Popen(
                    command, env=environment(settings), cwd=PROJECT, start_new_session=True
                )
            )
        while True:
            for process in started:
                code = _ended(process)
                if code is not None:
                    return code
    finally:
        for process in started:
            _end_all_of(process)


def _end_all_of(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it started: politely, and by force after half a minute."""
    with suppress(ProcessLookupError):
        # Not SIGINT, on which MLflow's server shows a stack trace.
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=30)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _ended(process: subprocess.Popen[bytes]) -> int | None:
    """The exit code of a process that ends within a second, else None."""
    try:
        return process.wait(timeout=1)
    except subprocess.TimeoutExpired:
        return None


def _executable(name: str) -> str:
    return str(Path(sys.executable).with_name(name))
