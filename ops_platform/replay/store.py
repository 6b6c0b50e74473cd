"""How the recipe does when fitted as of each day: computed once, kept on disk, whoever asks."""

import hashlib
import inspect
import json
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ops_platform.models import metrics
from ops_platform.models.estimators import Recommends
from ops_platform.models.recipe import recipe_of
from ops_platform.monitor import profile
from ops_platform.replay import history
from ops_platform.replay.history import Scores, Visits, score

Say = Callable[[str], object]
# How often a long computation says where it is.
SAY_SECONDS = 5.0
ARRAYS = ("ndcg", "discovery", "known", "seconds")


class Store:
    """The scores of one recipe on one history, by the as-of that it was fitted at.

    What is on disk is never computed again, so a replay that was killed goes on where it was.

    Parameters
    ----------
    folder : of this recipe and history alone; see `folder_of`.
    model : the unfitted recipe.
    visits : that judge.
    known : the interactions that were known at the end of a day.
    say : is told of the progress.
    """

    def __init__(
        self,
        folder: Path,
        model: Recommends,
        visits: Visits,
        known: Callable[[date], pd.DataFrame],
        say: Say = lambda text: None,
    ) -> None:
        """Keep what is given; nothing is computed yet."""
        self.visits = visits
        self._folder, self._model, self._known, self._say = folder, model, known, say
        self._read: dict[date, Scores] = {}

    def at(self, as_of: date) -> Scores:
        """The scores of the recipe fitted on what was known at the end of a day."""
        if as_of not in self._read:
            self.prepare([as_of])
            self._read[as_of] = self._load(as_of)
        return self._read[as_of]

    def prepare(self, days: Iterable[date]) -> int:
        """Compute what is missing of these days, each kept as soon as it is there; how many.

        Days that follow one another are the cheaper for it where the model has `fits`.
        """
        missing = sorted({day for day in days if not self._path(day).exists()})
        began = said = time.monotonic()
        fits = self._fits(missing)
        for number, day in enumerate(missing):
            start = time.perf_counter()
            model, reading = next(fits)
            seconds = time.perf_counter() - start - reading
            self._write(day, score(model, self.visits, day, seconds))
            now = time.monotonic()
            if now - said >= SAY_SECONDS or 1 < len(missing) == number + 1:
                said, done = now, number + 1
                left = (now - began) / done * (len(missing) - done)
                self._say(f"fitted as of {day}: {done} of {len(missing)} days, {left:.0f} s left")
        return len(missing)

    def _fits(self, days: Sequence[date]) -> Iterator[tuple[Recommends, float]]:
        """The model as of each day, and the seconds that reading what was known took."""
        reading = 0.0

        def histories() -> Iterator[tuple[pd.DataFrame, date]]:
            nonlocal reading
            for day in days:
                start = time.perf_counter()
                rows = self._known(day)
                reading = time.perf_counter() - start
                yield rows, day

        for model in _fitted(self._model, histories()):
            yield model, reading

    def _path(self, as_of: date) -> Path:
        return self._folder / f"{as_of}.npz"

    def _write(self, as_of: date, scores: Scores) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        aside = self._folder / f".{as_of}.npz"
        with aside.open("wb") as file:
            np.savez(file, **{name: getattr(scores, name) for name in ARRAYS})
        # Whole or not at all: a replay may be killed at any moment.
        aside.replace(self._path(as_of))

    def _load(self, as_of: date) -> Scores:
        path = self._path(as_of)
        with suppress(OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
            with np.load(path) as held:
                seconds = float(held["seconds"])
                scores = Scores(held["ndcg"], held["discovery"], held["known"], seconds)
            if len(scores.ndcg) == len(self.visits) - self.visits.first_after(as_of):
                return scores
        self._say(f"{path} can't be read: computed again")
        path.unlink(missing_ok=True)
        self.prepare([as_of])
        return self._load(as_of)


def _fitted(
    model: Recommends, histories: Iterator[tuple[pd.DataFrame, date]]
) -> Iterator[Recommends]:
    fits: Any = getattr(model, "fits", None)
    if fits is not None:
        yield from fits(histories)
        return
    for rows, as_of in histories:
        yield type(model)(**model.get_params()).fit(rows, as_of)


def folder_of(home: Path, model: Recommends, data: Sequence[str]) -> Path:
    """Where the scores of a recipe on a history are kept: named by all that they depend on.

    Parameters
    ----------
    home : of the platform.
    data : digests of what the history is made of.
    """
    code = [inspect.getsource(module) for module in (history, profile, metrics)]
    params = json.dumps(model.get_params(), sort_keys=True)
    identity = json.dumps([recipe_of(model), params, *data, *code])
    return home / "replay" / hashlib.sha256(identity.encode()).hexdigest()[:16]
