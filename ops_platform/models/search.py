"""The search for hyper-parameters: seeded, resumable, the defaults always among the trials."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ops_platform.errors import TrainingError
from ops_platform.models.space import Span

if TYPE_CHECKING:
    import optuna

Say = Callable[[str], object]


@dataclass(frozen=True)
class Trial:
    """Parameters that were tried, and their score on the validation windows; more is better."""

    params: Mapping[str, float]
    score: float


def search(
    space: Mapping[str, Span],
    defaults: Mapping[str, float],
    score: Callable[[Mapping[str, float]], float],
    *,
    trials: int,
    seed: int,
    study: str,
    journal: Path,
    say: Say = lambda text: None,
) -> list[Trial]:
    """So many trials in their order, by Optuna's TPE (Bergstra et al., NeurIPS 2011).

    The first are the defaults. What was tried of the study before is in `journal` and not tried
    again; the trials are the same whether it was interrupted or not.

    Parameters
    ----------
    space : by parameter.
    defaults : what each parameter is without a search.
    score : of parameters; more is better.
    study : the name of what is searched for: of other rows or another recipe it is another one.

    Raises
    ------
    TrainingError : the journal can't be read or written to.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        journal.parent.mkdir(parents=True, exist_ok=True)
        storage = JournalStorage(JournalFileBackend(str(journal)))
        found = optuna.create_study(
            storage=storage, study_name=study, direction="maximize", load_if_exists=True
        )
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"the journal of the search, {journal}, can't be used: {error}: delete it to search "
            "anew"
        ) from error
    _give_up_unfinished(found)
    for number in range(len(_complete(found)), trials):
        # A sampler for each trial: a search that is taken up again goes on as it would have.
        found.sampler = optuna.samplers.TPESampler(seed=seed + number)
        if number == 0:
            found.enqueue_trial(dict(defaults))
        trial = found.ask()
        params = {name: _suggested(trial, name, span) for name, span in space.items()}
        value = score(params)
        found.tell(trial, value)
        best = max(one.score for one in _complete(found))
        say(f"trial {number + 1} of {trials}: {value:.4f}, the best so far {best:.4f}")
    return _complete(found)[:trials]


def best(trials: Sequence[Trial]) -> Trial:
    """The trial with the highest score, the first of equals: the defaults where nothing is better.

    Raises ValueError without trials.
    """
    return max(trials, key=lambda trial: trial.score)


def _suggested(trial: "optuna.Trial", name: str, span: Span) -> float:
    if isinstance(span.low, int) and isinstance(span.high, int):
        return trial.suggest_int(name, span.low, span.high, log=span.log)
    return trial.suggest_float(name, span.low, span.high, log=span.log)


def _complete(study: "optuna.Study") -> list[Trial]:
    return [
        Trial(one.params, float(one.value))
        for one in study.get_trials(deepcopy=False)
        if one.value is not None
    ]


def _give_up_unfinished(study: "optuna.Study") -> None:
    """Those of a process that was killed, and those that it had queued: they are tried anew."""
    from optuna.trial import TrialState

    for one in study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING)):
        study.tell(one.number, state=TrialState.FAIL)
