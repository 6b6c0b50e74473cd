"""The search for hyper-parameters."""

import pytest

from ops_platform.errors import TrainingError
from ops_platform.models.search import Trial, best, search
from ops_platform.models.space import Span

SPACE = {"width": Span(0.1, 10.0, log=True), "depth": Span(1, 8)}
DEFAULTS = {"width": 5.0, "depth": 2}


class StoppedError(Exception):
    """What ends a process in the midst of a trial."""


def score(params):
    return -((params["width"] - 1.0) ** 2) - (params["depth"] - 6) ** 2


def searched(folder, trials, scored=score, **changed):
    return search(
        SPACE, DEFAULTS, scored,
        **{"trials": trials, "seed": 3, "study": "a", "journal": folder / "journal.log"} | changed,
    )  # fmt: skip


def test_the_defaults_are_tried_first_and_something_better_is_found(tmp_path):
    trials = searched(tmp_path, 20)
    assert trials[0] == Trial(DEFAULTS, score(DEFAULTS))
    assert best(trials).score > trials[0].score
    assert all(0.1 <= one.params["width"] <= 10 for one in trials)
    assert all(type(one.params["depth"]) is int for one in trials)


def test_the_same_seed_tries_the_same_and_another_one_does_not(tmp_path):
    once = searched(tmp_path / "a", 12)
    assert searched(tmp_path / "b", 12) == once
    assert searched(tmp_path / "c", 12, seed=50) != once


@pytest.mark.parametrize("killed_at", [1, 5])
def test_a_search_that_was_killed_goes_on_as_if_it_had_not_been(tmp_path, killed_at):
    calls = []

    def stopping(params):
        calls.append(params)
        if len(calls) == killed_at:
            raise StoppedError
        return score(params)

    with pytest.raises(StoppedError):
        searched(tmp_path / "killed", 12, stopping)
    resumed = searched(tmp_path / "killed", 12, stopping)
    assert resumed == searched(tmp_path / "whole", 12)
    assert len(calls) == 13


def test_what_was_tried_is_not_tried_again_but_of_another_study(tmp_path):
    first = searched(tmp_path, 6)
    tried = []
    assert searched(tmp_path, 6, tried.append) == first
    assert not tried
    assert len(searched(tmp_path, 3, study="b")) == 3


def test_of_equals_the_defaults_are_the_best():
    assert best([Trial(DEFAULTS, 0.5), Trial({"width": 1.0}, 0.5)]).params == DEFAULTS


def test_a_journal_that_is_none_is_told(tmp_path):
    (tmp_path / "journal.log").write_text("{ no journal\n", encoding="utf-8")
    with pytest.raises(TrainingError, match=r"journal\.log, can't be used: .*: delete it"):
        searched(tmp_path, 2)
