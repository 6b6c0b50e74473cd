"""Several workers on one socket: one count, one limit, the same release, and none is missed."""

import os
import signal
import threading
from pathlib import Path

import pytest

from ops_platform.serve import release
from tests.serve.conftest import copy_of, fitted, until

ANSWERS, PROC = "ops_answers_total", Path("/proc")


@pytest.fixture(scope="module")
def home(bare_home, tmp_path_factory):
    home = copy_of(bare_home, tmp_path_factory.mktemp("workers") / "home")
    home.register()
    home.release()
    return home


@pytest.fixture(scope="module")
def service(home):
    with home.service(OPS_WORKERS="2") as service:
        yield service


def children(pid: int) -> set[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    # Python's own tracker of what processes share is one too.
    return {int(one) for one in found if b"spawn_main" in (PROC / one / "cmdline").read_bytes()}


def answered(service) -> float:
    found = service.metrics()
    return sum(value for (name, _), value in found.items() if name == ANSWERS)


def test_requests_are_counted_by_all_together(service):
    before = answered(service)
    asking = [
        threading.Thread(target=lambda: [service.recommend("c001", 1) for _ in range(15)])
        for _ in range(4)
    ]
    for one in asking:
        one.start()
    for one in asking:
        one.join()
    assert [answered(service) - before for _ in range(8)] == [60] * 8


def test_a_worker_that_is_killed_is_replaced_and_what_it_logged_is_delivered(service, home):
    before, parts = children(service.process.pid), home.settings.served
    assert len(before) == 2
    # Of each worker, whichever is killed.
    until(lambda: service.recommend("c001", 1) and len(list(parts.glob("*.part"))) == 2)
    total = answered(service)
    assert home.deliveries() == []
    killed = min(before)
    os.kill(killed, signal.SIGKILL)
    until(lambda: len(children(service.process.pid) - {killed}) == 2)
    until(home.deliveries)
    assert service.recommend("c001", 1)["known"]
    assert answered(service) == total + 1


def test_all_workers_take_up_a_new_release(service, home):
    home.register(fitted(repeat_weight=0.05))
    made = home.release().release
    until(lambda: {service.recommend("c001", 1)["release"] for _ in range(8)} == {made})
    assert release.pointed(home.folder) == made


def test_a_limit_is_shared(home):
    with home.service(OPS_WORKERS="2", OPS_KEY_RATE="0.001") as service:
        found = [service.ask("/openapi.json")[0] for _ in range(8)]
    assert sorted(found) == [200] + [429] * 7


def test_workers_end_when_their_parent_was_killed(home):
    with home.service(OPS_WORKERS="2") as service:
        workers = children(service.process.pid)
        assert len(workers) == 2
        answer = service.recommend("c001", 3)
        service.process.kill()
        service.process.wait()
        until(lambda: not any((PROC / str(one)).exists() for one in workers), seconds=60)
    assert answer["request_id"] in {line["answer_id"] for line in home.served()}
