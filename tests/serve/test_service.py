"""What the service does with a release that it can't read, look by look."""

import shutil

import numpy as np
import pytest

from ops_platform.errors import ReleaseError
from ops_platform.serve import rehearsal, release, service
from ops_platform.serve.lists import Lists
from ops_platform.serve.log import DeliveryLog
from ops_platform.serve.messages import Filters
from ops_platform.serve.service import Service
from tests.serve.conftest import NOW, copy_of, until


@pytest.fixture(scope="module")
def released(bare_home, tmp_path_factory):
    """A folder of one release, and its name."""
    home = copy_of(bare_home, tmp_path_factory.mktemp("released") / "home")
    home.register()
    return home.folder, home.release().release


@pytest.fixture
def served(released, tmp_path):
    """A service that has looked at nothing yet, and the release that its pointer names."""
    folder, made = released
    return Service(shutil.copytree(folder, tmp_path / "releases"), None, lambda: NOW), made


@pytest.fixture
def disk(monkeypatch):
    """A disk that fails so many reads of a release, with whatever `fails` with."""
    read, disk = release.load, Disk()

    def load(place):
        disk.reads += 1
        if disk.reads <= disk.failures:
            raise disk.error
        return read(place)

    monkeypatch.setattr(release, "load", load)
    return disk


class Disk:
    reads = failures = 0
    error: Exception = ReleaseError("the disk has failed for a moment")


def test_a_release_that_could_not_be_read_for_a_moment_is_taken_up_by_itself(
    served, disk, monkeypatch
):
    monkeypatch.setattr(service, "RETRY_SECONDS", 0.01)
    (serving, made), disk.failures = served, 3

    serving.look()
    assert serving.refused.release == made
    until(lambda: serving.look() or serving.scorer)

    assert (serving.scorer.manifest.release, serving.refused) == (made, None)
    reads = disk.reads
    serving.look()
    assert disk.reads == reads


def test_it_is_not_read_again_at_each_look(served, disk):
    (serving, _), disk.failures = served, 9

    for _ in range(3):
        serving.look()

    assert disk.reads == 1


def test_who_answers_makes_way_while_a_release_is_loaded_and_no_longer(served, monkeypatch):
    serving, made = served
    lists = Lists(serving, DeliveryLog(serving.folder / "served", lambda: NOW, 60))
    rests, load = [], release.load
    serving.look()
    monkeypatch.setattr(rehearsal.time, "sleep", rests.append)

    def answer():
        return lists.answer(serving.scorer, "c001", Filters())

    def look_again():
        next((serving.folder / made).iterdir()).touch()
        serving.look()

    monkeypatch.setattr(release, "load", lambda place: answer() and load(place))
    answer()
    assert rests == []
    look_again()
    answer()
    assert rests == [rehearsal.REST_SECONDS]
    monkeypatch.setattr(release, "load", lambda place: answer() and load(place / "nowhere"))
    look_again()
    answer()
    assert serving.refused
    assert rests == [rehearsal.REST_SECONDS] * 2


def test_what_fails_otherwise_is_tried_again_too(served, disk, monkeypatch):
    monkeypatch.setattr(service, "RETRY_SECONDS", 0.0)
    (serving, made), disk.failures, disk.error = served, 1, MemoryError()

    with pytest.raises(MemoryError):
        serving.look()
    serving.look()

    assert serving.scorer.manifest.release == made


def test_the_wait_doubles_up_to_a_minute_and_begins_anew_with_another_release(
    served, disk, monkeypatch
):
    (serving, _), disk.failures = served, 99
    moment, waits = 0.0, []
    monkeypatch.setattr(service.time, "monotonic", lambda: moment)
    for _ in range(7):
        serving.look()
        waits.append(serving._again - moment)
        moment = serving._again
    assert waits == [2, 4, 8, 16, 32, 60, 60]

    release.point_to(serving.folder, "v2-0123456789ab")
    serving.look()
    assert serving._again - moment == 2


def test_a_release_that_answers_nonsense_is_refused_though_it_is_whole(served):
    serving, made = served
    serving.look()
    whole = release.load(serving.folder / made)
    origin = release.Origin(
        **{name: getattr(whole.manifest, name) for name in release.Origin.__dataclass_fields__}
    )
    far = np.full_like(whole.arrays["history_indices"], 9999)
    infinite = np.full_like(whole.arrays["trend"], np.inf)
    gone = {
        name: release.Product(entry.description, None, offered=False)
        for name, entry in whole.catalog.items()
    }
    for arrays, catalog, words in (
        ({"history_indices": far}, whole.catalog, "IndexError"),
        ({"trend": infinite}, whole.catalog, "scores"),
        ({}, gone, "recommends nothing"),
    ):
        bad = release.write(serving.folder, origin, {**whole.arrays, **arrays}, catalog, NOW, {})
        release.point_to(serving.folder, bad)
        serving.look()
        assert serving.refused.release == bad
        assert "fails at a sample request" in serving.refused.reason
        assert words in serving.refused.reason
        assert serving.scorer.manifest.release == made
