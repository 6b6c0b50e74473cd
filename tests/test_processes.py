"""The processes that people start are stopped together."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

BIN = Path(sys.executable).parent


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
