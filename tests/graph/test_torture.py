"""A small torture of the real graph; `make torture` is the long one."""

import pytest

from benchmarks import killed_writers
from benchmarks.killed_graphs import run

pytestmark = pytest.mark.graph


def test_runs_killed_at_random_moments_lose_nothing_and_heal(tmp_path):
    summary = run(kills=3, seed=0, folder=tmp_path)

    assert summary.violations == []
    assert summary.kills == 3
    assert {attempt.kind for attempt in summary.attempts if attempt.hit} == {
        "group",
        "parent",
        "dbt",
    }
    assert summary.reads > 0


def test_writers_killed_at_random_moments_lose_nothing(tmp_path):
    outcome = killed_writers.run(kills=4, seed=0, folder=tmp_path)

    assert outcome.faults == []
    assert outcome.kills.total() == 4
    assert outcome.reads > 0
