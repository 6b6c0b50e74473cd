"""What may happen to a service under load: swaps, damage, a killed worker, a full disk."""

import os
import resource
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.serving_home import Home, Service
from benchmarks.serving_wrk import CONNECTIONS, Load, wrk
from ops_platform.serve import keys, release
from ops_platform.settings import Settings

SWAP_SECONDS, TAKEN_UP_MAX = 5.0, 2.0
SECONDS = 15.0
# The size of a file beyond which the system refuses to write, as a disk does that is full.
FILE_BYTES = 1_000_000


@dataclass(frozen=True)
class Found:
    """What was done, what wrk counted, whether it is as promised, and the details."""

    what: str
    load: Load
    holds: bool
    told: str


def steady(home: Home, seconds: float) -> Found:
    """One release after the other, each 5 s: nothing fails, and each is taken up within 2 s."""
    took: list[float] = []
    with home.service() as service, wrk(service.lists(), home.ids, seconds) as running:
        began = time.monotonic()
        while not running.is_over():
            due = began + SWAP_SECONDS * (len(took) + 1)
            time.sleep(max(0.0, due - time.monotonic()))
            if running.is_over():
                break
            name = home.releases[(len(took) + 1) % 2]
            release.point_to(home.folder, name)
            moved = time.monotonic()
            _until(lambda name=name: service.ready()["release"] == name)
            took.append(time.monotonic() - moved)
        load = running.load()
        versions = [name.split("-")[0][1:] for name in home.releases]
        by = [service.counted("ops_answers_total", version=version) for version in versions]
    release.point_to(home.folder, home.releases[0])
    holds = not (load.refused or load.broken) and max(took) <= TAKEN_UP_MAX and all(by)
    told = (
        f"{len(took)} swaps, taken up in {median(took):.2f} s, at most {max(took):.2f}; "
        f"{by[0]:,} and {by[1]:,} answers"
    )
    return Found("a swap each 5 s", load, holds, told)


def damaged(home: Home) -> Found:
    """The pointer moves to a release with one byte changed: refused, and the present one serves."""
    present, other = home.releases
    path = home.folder / other / release.MODEL
    whole = path.read_bytes()
    path.write_bytes(whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:])

    def harm(service: Service) -> str:
        release.point_to(home.folder, other)
        refused = _until(lambda: service.ready()["refused"])
        return f"refused: {refused['release']}; {service.ready()['release']} serves"

    try:
        load, told, service_said = _under_load(home, harm)
    finally:
        path.write_bytes(whole)
        release.point_to(home.folder, present)
    holds = _is_clean(load) and service_said["release"] == present
    return Found("a damaged release", load, holds, told)


def killed(home: Home) -> Found:
    """One of two workers is killed: no more fails than was in flight, and another takes over."""

    def harm(service: Service) -> str:
        before = _workers(service.process.pid)
        os.kill(min(before), signal.SIGKILL)
        _until(lambda: len(_workers(service.process.pid) - {min(before)}) == len(before))
        return "replaced"

    load, told, _ = _under_load(home, harm, OPS_WORKERS="2")
    holds = not load.refused and load.broken <= CONNECTIONS
    told = f"{load.broken} of at most {CONNECTIONS} in flight failed; {told}"
    return Found("a killed worker", load, holds, told)


def full(home: Home) -> Found:
    """The log can't be written to any further: answers go on, and the loss is counted."""

    def harm(service: Service) -> str:
        _until(lambda: service.counted("ops_log_lines_total", outcome="lost"))
        lost = service.counted("ops_log_lines_total", outcome="lost")
        return f"{lost:,} lines were counted as lost by then"

    logs = Settings(home=home.path).served
    shutil.rmtree(logs, ignore_errors=True)
    load, told, _ = _under_load(home, harm, limit=FILE_BYTES)
    return Found("a full disk", load, _is_clean(load), told)


def revoked(home: Home) -> Found:
    """The key that asks is revoked: 401 from the next request on, and only from then on."""
    key, settings = home.new_key(), Settings(home=home.path)
    told = []

    def harm(service: Service) -> str:
        before = service.counted("ops_requests_total", status="401")
        keys.revoke(settings.keys, key.split("_")[1], settings.now())
        good = service.counted("ops_answers_total")
        time.sleep(1)
        told.append(service.counted("ops_answers_total") - good)
        return f"{before} refused before; {told[0]} answered after"

    load, said, _ = _under_load(home, harm, key=key)
    return Found("a revoked key", load, load.refused > 0 and not told[0] and not load.broken, said)


def _under_load(
    home: Home, harm: Callable[[Service], str], *, key: str = "", limit: int = 0, **settings: str
) -> tuple[Load, str, dict[str, Any]]:
    """Load for a while with the harm done in its midst; what was counted, told, and is ready."""
    with home.service(**settings) as service:
        if limit:
            resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (limit, limit))
        with wrk(service.lists(key or None), home.ids, SECONDS) as running:
            time.sleep(SECONDS / 3)
            told = harm(service)
            load = running.load()
        return load, told, service.ready()


def _is_clean(load: Load) -> bool:
    return not (load.refused or load.broken)


def _workers(pid: int) -> set[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    # Python's own tracker of what processes share is one too.
    return {int(one) for one in found if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes()}


def _until(holds: Callable[[], Any], seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        if time.monotonic() > deadline:
            raise SystemExit("the service did not come to what was waited for")
        time.sleep(0.02)
    return found
