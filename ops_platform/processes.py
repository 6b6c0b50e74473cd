"""The processes that people start: Dagster's and MLflow's, with one home and no telemetry."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from ops_platform.errors import OpsError
from ops_platform.models.estimators import estimator
from ops_platform.models.registry import Registry
from ops_platform.serve import release
from ops_platform.serve.promotion import reconcile
from ops_platform.settings import PROJECT, TELEMETRY_OFF, Settings

OURS = "# Written by ops, and written anew when it differs: delete this line to keep your edits.\n"
DAGSTER_YAML = f"""\
{OURS}telemetry:
  enabled: false
# No invitation to a newsletter.
nux:
  enabled: false
# One run at a time: nearly all of them write, and only one may. The others queue.
run_queue:
  max_concurrent_runs: 1
  dequeue_interval_seconds: 1
run_launcher:
  module: ops_platform.run_launcher
  class: WatchedRunLauncher
# Finds runs whose process was killed, which would block the queue.
run_monitoring:
  enabled: true
  poll_interval_seconds: 5
  max_runtime_seconds: 14400
# Only runs that say so in their tag dagster/max_retries.
run_retries:
  enabled: true
  max_retries: 0
"""
# What Dagster warns of on its own command and its own call; by their beginning, as Python wants it.
QUIET = (
    "ignore:Function `asset_materialize_command` is superseded",
    "ignore:Parameter `include_sources` of function `AssetSelection.all` is currently in beta",
)
_STEP = re.compile(r'Finished execution of step "(?P<step>.+)" in (?P<time>\S+)\.$')


def environment(settings: Settings) -> dict[str, str]:
    """The environment of every process: Dagster's storage under `OPS_HOME`, telemetry off."""
    home = settings.home / "dagster"
    _configure(home)
    return {
        **os.environ,
        **TELEMETRY_OFF,
        "PYTHONWARNINGS": ",".join(filter(None, (os.environ.get("PYTHONWARNINGS"), *QUIET))),
        # MLflow's server would start a dozen job workers that nothing here uses.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        **settings.as_environment(),
        # Absolute: a process may run in another folder.
        "OPS_HOME": str(settings.home),
        "DAGSTER_HOME": str(home),
    }


def _configure(home: Path) -> None:
    """Write Dagster's configuration, but where it is somebody's own: without our first line."""
    home.mkdir(parents=True, exist_ok=True)
    file = home / "dagster.yaml"
    if file.exists():
        written = file.read_text(encoding="utf-8")
        if written == DAGSTER_YAML or not written.startswith(OURS):
            return
    # Another process may be reading it.
    aside = home / f".dagster-{os.getpid()}.yaml"
    aside.write_text(DAGSTER_YAML, encoding="utf-8")
    aside.replace(file)


def dagster(settings: Settings, arguments: list[str]) -> NoReturn:
    """Become Dagster's own command, whose runs are seen where `ops ui` shows them."""
    command = [executable("dagster"), *arguments]
    os.execve(command[0], command, environment(settings))  # noqa: S606


def materialize(settings: Settings, say: Callable[[str, str], object]) -> None:
    """Materialize the whole graph by Dagster's own command, telling each step and its time.

    Raises OpsError with the end of Dagster's log when the run fails.
    """
    command = [
        executable("dagster"), "asset", "materialize",
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
        [executable("dagster"), "dev", "-w", str(PROJECT / "workspace.yaml"),
         "-h", "127.0.0.1", "-p", str(port)],
        [executable("mlflow"), "server", "--backend-store-uri", settings.mlflow_tracking_uri,
         "--host", "127.0.0.1", "--port", str(mlflow_port), "--workers", "1"],
    ]  # fmt: skip
    if settings.mlflow_uri:
        del commands[1]
    Registry(settings.mlflow_tracking_uri, settings.mlflow_artifact_root).make_ready()
    end_on_sigterm()
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
            end_all_of(process)


def serve(
    settings: Settings,
    model: str,
    host: str,
    port: int,
    options: list[str],
    say: Callable[[str], object],
) -> NoReturn:
    """Become the serving process, once the alias champion names what serves.

    `options` are further ones of its command line. A registry that can't be reached is told and
    keeps nothing from being served. Raises RegistryError when there is no such model.
    """
    estimator(model)
    if release.folder_of(settings.releases, model).exists():
        try:
            registry = Registry(settings.mlflow_tracking_uri, settings.mlflow_artifact_root)
            reconcile(registry, settings.releases, model)
        except OpsError as error:
            say(f"the alias champion may not name what serves: {error}")
    # In its place, so that the serving process holds nothing but what it needs.
    command = [
        *(sys.executable, "-m", "ops_platform.serve"),
        *("--host", host, "--port", str(port), "--model", model),
        *options,
    ]
    os.execve(  # noqa: S606
        sys.executable,
        command,
        {**os.environ, "OPS_HOME": str(settings.home)},
    )


def end_on_sigterm() -> None:
    """Let a polite kill unwind this process, as Ctrl-C does, so that its children end too."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def end_all_of(process: subprocess.Popen[bytes]) -> None:
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


def executable(name: str) -> str:
    """A command of this very environment, whatever PATH says."""
    return str(Path(sys.executable).with_name(name))
