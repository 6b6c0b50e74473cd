"""What was served arrives as whole deliveries that hold the contract, whatever happens to disks."""

import json
import subprocess
from datetime import datetime
from pathlib import Path

import pytest

from ops_platform.errors import OpsError
from ops_platform.ingest.contract_file import read_contract
from ops_platform.ingest.take_in import take_in
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.serve import log
from ops_platform.serve.log import Answer, DeliveryLog, deliver_left
from ops_platform.serve.scorer import Recommended, encode
from ops_platform.settings import PROJECT
from tests.serve.conftest import until

NOW = datetime(2024, 4, 1, 12)
LINE = b'{"answer_id": "1", "rank": 1}\n'


def answer(number: int = 0, products: int = 3) -> Answer:
    found = [Recommended(f"p{n}", "", 1 / (n + 1), "popular now") for n in range(products)]
    release = "v1-0123456789ab"
    return Answer(
        f"{number:032x}", "c1", True, "recommender", 1, release, encode(found), "champion", True
    )


@pytest.fixture
def served(tmp_path):
    folder = tmp_path / "served"
    made = DeliveryLog(folder, lambda: NOW, seconds=3600)
    yield made
    if made._thread.is_alive():
        made.close()


def lines(folder: Path, pattern: str = "*.jsonl") -> list[dict]:
    return [
        json.loads(line)
        for path in sorted(folder.glob(pattern))
        for line in path.read_bytes().splitlines()
    ]


def test_answers_of_the_service_arrive_in_raw_under_the_contract(home):
    clock = home.path / "clock"
    clock.write_text("2024-04-02T10:00:00.5")
    home.register()
    made = home.release().release
    with home.service(OPS_CLOCK=str(clock)) as service:
        one, other = service.recommend("c001", 100), service.recommend('nobody "x", é', 2)
    assert sorted(path.suffix for path in home.settings.served.iterdir()) == [".jsonl"]

    lake = Lake(home.path / "own", home.path / "own" / "data")
    contract = read_contract(PROJECT / "contracts" / "served.odcs.yaml")
    take_in(lake, contract, home.settings.served, datetime(2024, 4, 2, 11))

    with connect(lake) as connection:
        rows = connection.execute(
            "SELECT * EXCLUDE (_delivery) FROM raw.served ORDER BY answer_id, rank"
        ).fetchall()
        assert connection.execute("SELECT count(*) FROM quarantine.served").fetchone() == (0,)
    expected = [
        (
            given["request_id"], datetime(2024, 4, 2, 10, 0, 0, 500000), given["customer_id"],
            given["known"], rank, product["product_id"], product["score"], "recommender", 1, made,
            "champion", True,
        )
        for given in sorted((one, other), key=lambda given: given["request_id"])
        for rank, product in enumerate(given["recommendations"], start=1)
    ]  # fmt: skip
    assert rows == expected


def test_a_part_becomes_a_delivery_after_its_time(home):
    home.register()
    home.release()
    with home.service(OPS_SERVED_SECONDS="0.2") as service:
        service.recommend("c001", 4)
        until(home.deliveries)
        assert len(home.served()) == 4
        service.recommend("c002", 3)
        until(lambda: len(home.deliveries()) == 2)
    assert len(home.served()) == 7


def test_a_part_becomes_a_delivery_when_it_is_long(tmp_path):
    served = DeliveryLog(tmp_path, lambda: NOW, seconds=3600, lines=5)
    served.start()
    served.record(answer(1))
    until(lambda: served.counts().written == 3)
    assert lines(tmp_path) == []
    served.record(answer(2))
    until(lambda: lines(tmp_path))
    served.close()
    assert len(lines(tmp_path)) == 6
    assert list(tmp_path.glob("*.part")) == []


def test_what_a_killed_service_left_is_delivered_by_the_next(home):
    home.register()
    home.release()
    with home.service() as service:
        for number in range(5):
            service.recommend(f"c00{number}", 10)
        until(lambda: service.ready()["logs"]["served"]["written"] == 50)
        service.process.kill()
        service.process.wait()
    assert home.deliveries() == []
    (part,) = home.settings.served.glob("*.part")
    with part.open("ab") as file:
        file.write(b'{"answer_id": "cut in the mid')
    with home.service():
        pass
    assert len(home.served()) == 50
    assert list(home.settings.served.glob("*.part")) == []


@pytest.mark.parametrize(
    ("left", "kept"),
    [
        (LINE * 3, 3),
        (LINE * 3 + LINE[:7], 3),
        (LINE * 3 + LINE.rstrip(), 3),
        (LINE * 2 + b"\0" * 4096, 2),
        (LINE + b"\0\0\0\n" + LINE, 1),
        (LINE[:3], 0),
        (b"", 0),
    ],
)
def test_only_whole_lines_of_a_part_are_delivered(tmp_path, left, kept):
    (tmp_path / "a.jsonl.part").write_bytes(left)
    deliver_left(tmp_path)
    found = [path.read_bytes() for path in tmp_path.iterdir()]
    assert found == ([LINE * kept] if kept else [])


def test_the_part_of_a_living_service_is_left_alone(home):
    home.register()
    home.release()
    with home.service() as service:
        service.recommend("c001", 4)
        until(lambda: service.ready()["logs"]["served"]["written"] == 4)
        with home.service() as second:
            second.recommend("c002", 4)
            until(lambda: second.ready()["logs"]["served"]["written"] == 4)
            assert len(list(home.settings.served.glob("*.part"))) == 2
            assert home.deliveries() == []
        assert len(home.served()) == 4
        service.recommend("c003", 4)
    assert len(home.served()) == 12


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KB."""
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_on_a_full_disk_answers_go_on_and_lost_lines_are_counted(home, small_disk):
    home.register()
    home.release()
    home.settings.served.symlink_to(small_disk)
    with home.service() as service:
        asked = 0
        while not service.ready()["logs"]["served"]["lost"]:
            asked += len(service.recommend(f"c{asked % 60:03}", 25)["recommendations"])
        for number in range(10):
            asked += len(service.recommend(f"c{number:03}", 25)["recommendations"])
        counts = until(
            lambda: (c := service.ready()["logs"]["served"])["written"] + c["lost"] == asked and c
        )
        assert "No space left on device" in counts["reason"]
        lost = ("ops_log_lines_total", (("log", "served"), ("outcome", "lost")))
        assert service.metrics()[lost] == counts["lost"]
        # Room is made, and the log goes on after the last whole line.
        for path in small_disk.glob("*.part"):
            before = path.stat().st_size
        subprocess.run(["mount", "-o", "remount,size=1m", str(small_disk)], check=True)
        service.recommend("c001", 25)
        written = until(
            lambda: (
                (c := service.ready()["logs"]["served"])["written"] > counts["written"]
                and c["written"]
            )
        )
    assert before <= 64 * 1024
    found = home.served()
    assert len(found) == written == counts["written"] + 25
    assert home.log().count("are lost") == 1


def test_a_cut_line_that_can_not_be_taken_back_ends_its_part(served):
    served.start()
    served.record(answer(1))
    until(lambda: served.counts().written == 3)
    part = served._part
    real = part.file
    part.file = _Cut(real)
    served.record(answer(2))
    until(lambda: served.counts().lost == 3)
    real.close()
    served.record(answer(3))
    until(lambda: served.counts().written == 6)
    served.close()
    assert [one["answer_id"] for one in lines(served.folder)] == [f"{3:032x}"] * 3
    deliver_left(served.folder)
    ids = [int(one["answer_id"], 16) for one in lines(served.folder)]
    # Of the second the line that got there whole, though it was given up with the others.
    assert sorted(ids) == [1, 1, 1, 2, 3, 3, 3]


class _Cut:
    """A file on a disk that fills up and then refuses everything."""

    def __init__(self, file):
        self.file = file

    def write(self, content):
        self.file.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    def truncate(self, size):
        raise OSError(5, "Input/output error")

    def close(self):
        self.file.close()


def test_a_folder_that_can_not_be_made_loses_lines_and_not_answers(tmp_path):
    (tmp_path / "served").write_text("a file")
    served = DeliveryLog(tmp_path / "served", lambda: NOW, seconds=3600)
    served.start()
    served.record(answer())
    until(lambda: served.counts().lost == 3)
    served.close()
    assert served.counts().written == 0


def test_a_clock_that_can_not_be_read_loses_lines_and_not_answers(tmp_path):
    def now():
        raise OpsError("no clock")

    served = DeliveryLog(tmp_path, now, seconds=3600)
    served.start()
    served.record(answer())
    served.close()
    assert (served.counts().lost, served.counts().reason) == (3, "no clock")


def test_more_answers_than_can_wait_are_lost_and_nobody_waits(tmp_path, monkeypatch):
    monkeypatch.setattr(log, "WAITING_MAX", 2)
    served = DeliveryLog(tmp_path, lambda: NOW, seconds=3600)
    for number in range(5):
        served.record(answer(number))
    assert served.counts().lost == 9
    served.start()
    served.close()
    assert len(lines(tmp_path)) == 6


def test_nothing_served_leaves_no_file(tmp_path, served):
    served.start()
    served.close()
    assert not served.folder.exists()
    assert list(tmp_path.iterdir()) == []
