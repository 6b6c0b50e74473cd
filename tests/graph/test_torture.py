"""A small torture of writers; `make torture` is the long one, and kills whole graph runs too."""

import pytest

from benchmarks import killed_writers

pytestmark = pytest.mark.graph


@pytest.mark.long
def test_writers_killed_at_random_moments_lose_nothing(tmp_path):
    outcome = killed_writers.run(kills=4, seed=0, folder=tmp_path)

    assert outcome.faults == []
    assert outcome.kills.total() == 4
    assert outcome.reads > 0
