"""Load by wrk, and the processes that answer it, on loopback."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ops_platform.settings import PROJECT, TELEMETRY_OFF

CONNECTIONS = 16
SCRIPT = Path(__file__).with_name("serving_load.lua")
START_SECONDS = 120


@dataclass(frozen=True)
class Load:
    """What wrk counted: answers, those of status 4xx and 5xx, broken ones; latencies in ms."""

    requests: int
    seconds: float
    bytes: int
    refused: int
    broken: int
    p50: float
    p99: float
    p999: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.requests / self.seconds


@dataclass(frozen=True)
class Asked:
    """What is asked: where, with which headers, and what stands around a customer's id."""

    url: str
    headers: Sequence[str] = ()
    path: tuple[str, str] = ("/", "")
    body: tuple[str, str] | None = None


@contextmanager
def wrk(asked: Asked, ids: Path, seconds: float) -> Iterator["Running"]:
    """Load while the block runs; the block asks for what was counted by `load()`."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "counted"
        environment = {"IDS": str(ids), "OUT": str(out)}
        environment |= dict(zip(("PATH_BEFORE", "PATH_AFTER"), asked.path, strict=True))
        if asked.body:
            environment |= dict(zip(("BODY_BEFORE", "BODY_AFTER"), asked.body, strict=True))
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:.0f}s", "-s", str(SCRIPT)]
        # Longer than any answer should take, so that what takes longer is counted as broken.
        command += ["--timeout", "10s"]
        for header in asked.headers:
            command += ["-H", header]
        process = subprocess.Popen(
            [*command, asked.url], env={**os.environ, **environment}, stdout=subprocess.DEVNULL
        )
        try:
            yield Running(process, out)
        finally:
            process.kill()
            process.wait()


@dataclass(frozen=True)
class Running:
    """wrk at work."""

    process: subprocess.Popen[bytes]
    out: Path

    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.process.poll() is not None

    def load(self) -> Load:
        """What it counted, once it has ended."""
        self.process.wait()
        return Load(**json.loads(self.out.read_text(encoding="utf-8")))


def loaded(asked: Asked, ids: Path, seconds: float) -> Load:
    """Load for so long, and what was counted."""
    with wrk(asked, ids, seconds) as running:
        return running.load()


@contextmanager
def process(
    command: Sequence[str], url: str, log: Path, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that answers at `url` when the block begins, and is ended with it."""
    with log.open("ab") as said:
        started = subprocess.Popen(
            [sys.executable, *command],
            cwd=PROJECT,
            env={**os.environ, **TELEMETRY_OFF, **environment},
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(url):
            if started.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{' '.join(command)} does not answer: see {log}")
            time.sleep(0.1)
        yield started
    finally:
        _end(started)


def _end(started: subprocess.Popen[bytes]) -> None:
    # With what it has started itself.
    os.killpg(started.pid, signal.SIGTERM)
    try:
        started.wait(timeout=30)
    except subprocess.TimeoutExpired:
        os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
