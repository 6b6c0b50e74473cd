"""The processes that people start are stopped together."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import yaml

from ops_platform.processes import DAGSTER_YAML, OURS, environment
from ops_platform.settings import Settings

BIN = Path(sys.executable).parent


@pytest.fixture
def written(tmp_path):
    """Dagster's configuration as a process of this version leaves it, given what was there."""

    def written(there=None):
        settings = Settings(home=tmp_path)
        file = tmp_path / "dagster" / "dagster.yaml"
        if there is not None:
            file.parent.mkdir(exist_ok=True)
            file.write_text(there)
        assert environment(settings)["DAGSTER_HOME"] == str(file.parent)
        assert [path.name for path in file.parent.iterdir()] == [file.name]
        return file.read_text()

    return written


def test_dagsters_configuration_is_written_anew_where_ops_wrote_another(written):
    assert written() == DAGSTER_YAML
    assert yaml.safe_load(DAGSTER_YAML)["run_launcher"]["class"] == "WatchedRunLauncher"
    assert written(OURS + "run_queue: {max_concurrent_runs: 9}\n") == DAGSTER_YAML


def test_a_configuration_without_our_first_line_is_somebodys_own(written):
    own = DAGSTER_YAML.removeprefix(OURS) + "run_coordinator: {}\n"
    assert written(own) == own


def test_warnings_that_somebody_silenced_stay_silenced_beside_ours(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONWARNINGS", "ignore:mine")
    found = environment(Settings(home=tmp_path))["PYTHONWARNINGS"]
    code = "import warnings; [warnings.warn(text) for text in ('mine', 'yours', '{}')]"
    done = subprocess.run(
        [sys.executable, "-c", code.format("Function `asset_materialize_command` is superseded.")],
        env={**os.environ, "PYTHONWARNINGS": found},
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line.split(": ")[-1] for line in done.stderr.splitlines() if "Warning" in line] == [
        "yours"
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def _running_with(mark: str) -> list[str]:
    """Processes whose environment carries the mark; zombies have none."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return found


def _wait_for(condition, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.2)
    return False


@pytest.mark.long
def test_ui_serves_dagster_and_mlflow_and_stops_both(tmp_path):
    home, ports = tmp_path / "home", (_free_port(), _free_port())
    command = [str(BIN / "ops"), "ui", "--port", str(ports[0]), "--mlflow-port", str(ports[1])]
    ui = subprocess.Popen(
        command,
        env={**os.environ, "OPS_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert _wait_for(lambda: all(map(_answers, ports)), 90)
        ui.send_signal(signal.SIGTERM)
        assert ui.wait(timeout=60) == 128 + signal.SIGTERM
        assert _wait_for(lambda: not _running_with(str(home)), 20), _running_with(str(home))
    finally:
        ui.kill()
