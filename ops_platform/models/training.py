"""Training: the exact rows, the judging on a window by time, the gate, the refit, the record."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import pandas as pd

from ops_platform.errors import UnfitError
from ops_platform.features.build import published_with_features
from ops_platform.features.known_by import ByDelivery
from ops_platform.lake import catalog
from ops_platform.lake.faults import faults
from ops_platform.lake.location import Lake
from ops_platform.models import gate, provenance
from ops_platform.models import state as states
from ops_platform.models.card import CARD, card, quality, summary, whole
from ops_platform.models.estimators import Estimator, estimator, unfitted
from ops_platform.models.gate import Verdict
from ops_platform.models.kinds import task_of
from ops_platform.models.pictures import pictures
from ops_platform.models.provenance import MadeWith
from ops_platform.models.recipe import recipe_of
from ops_platform.models.registry import CHAMPION, Registry, Version
from ops_platform.models.runs import Shown
from ops_platform.models.search import Trial, best
from ops_platform.models.task import CHALLENGER, Judged, Rules, Task, TrainingSet

# Of a version: the parameters that a search found, as JSON.
SEARCHED = "searched"
FAULTS_TOLD = 5
# So many versions are in the picture of a card.
SHOWN = 30
Say = Callable[[str], object]


@dataclass(frozen=True)
class Outcome:
    """What a training came to: the version that it registered, if any, and the gate's verdict.

    `version` is None when nothing was trained, because nothing changed or it is too early; `card`
    is that version's.
    """

    version: int | None
    reason: str
    verdict: Verdict | None
    metrics: Mapping[str, float]
    card: str = ""


def require_fit(lake: Lake, sources: list[str]) -> None:
    """Raise UnfitError, which names each day of these sources whose data is at fault."""
    unfit = [fault for fault in faults(lake) if fault.source in sources and fault.is_open]
    if unfit:
        first = unfit[0]
        raise UnfitError(
            "nothing is trained on data that is at fault: "
            + "; ".join(fault.told for fault in unfit[:FAULTS_TOLD])
            + (f"; and {len(unfit) - FAULTS_TOLD} more" if len(unfit) > FAULTS_TOLD else "")
            + ". Deliver the days again, corrected; or, where they are right as they are, say so: "
            f"ops data accept {first.source} {first.day} --why '...'"
        )


def read_training_set(lake: Lake, name: str, by_delivery: ByDelivery | None = None) -> TrainingSet:
    """The published rows that the model `name` may be fitted on.

    Raises TrainingError when the published features were made from other marts than the
    published ones, or of different days, or can't tell what had come of marts `by_delivery`;
    NotPublishedError before features are published.
    """
    pointer = published_with_features(lake)
    return task_of(name).training_set(estimator(name), lake, pointer, by_delivery or {})


def train(
    lake: Lake,
    registry: Registry,
    rows: TrainingSet,
    name: str,
    *,
    seed: int,
    rules: Rules,
    cause: str,
    made: MadeWith,
    now: datetime,
    trials: Sequence[Trial] = (),
    say: Say = lambda text: None,
) -> Outcome:
    """Train, judge and register the model `name` on `rows`; its verdict says if it is to serve.

    It has the parameters of the best of `trials`, without a search those that the champion's found
    as long as the recipe is the same, or else the defaults. Nothing is trained when the newest
    version is of the same rows, recipe, parameters and seed, or when too few days have passed since
    the champion's as-of to tell the two apart.
    """
    champion, newest = registry.champion(name), registry.newest(name)
    searched = best(trials).params if trials else _searched(champion, name)
    task, model = task_of(name), unfitted(name, searched, seed=seed, threads=made.threads)
    identity = _identity(rows, model)
    # Where the champion was deleted, one that lost against it is no reason to train none.
    stands = newest is not None and (champion is not None or newest.is_to_be_promoted)
    if newest and stands and all(newest.tags.get(tag) == one for tag, one in identity.items()):
        return Outcome(None, f"nothing has changed since version {newest.version}", None, {})
    rules = task.window(estimator(name), rules)
    cut = _cut(rows, champion, rules)
    if cut is None:
        return _too_early(rows, champion, rules)
    say(f"judging on {cut} to {rows.as_of}")
    with provenance.linear_algebra(made.threads):
        judged = _judged(lake, registry, rows, task, name, model, cut, champion)
    if len(judged.scores) < gate.CUSTOMERS_MIN:
        return _too_early(rows, champion, rules)
    verdict = _verdict(judged, cut, rows.as_of, rules, seed)
    say(f"{verdict.decision}: {verdict.reason}")
    say(f"fitting on {len(rows.rows)} rows up to {rows.as_of}")
    found = {
        **{"model": name, "recipe": identity["recipe"], "seed": seed, "cause": cause},
        **{"searched": dict(searched), "verdict": verdict.as_dict()},
        **_measured(task, judged, seed),
    }
    with provenance.linear_algebra(made.threads):
        model.fit(rows.rows, rows.as_of)
        learned = {"params": model.get_params(), "state_digest": states.digest(model.state())}
        record = provenance.record(lake, rows, made, {**found, **learned}, champion, now)
    tags = _tags(rows, identity, verdict, cause, seed)
    if searched:
        tags[SEARCHED] = json.dumps(searched, sort_keys=True)
    _pin(lake, rows, name)
    say("registering")
    version, told = _register(registry, task, rows, model, record, tags, trials, made, now)
    return Outcome(version, verdict.reason, verdict, found["metrics"], told)


def can_be_judged(registry: Registry, rows: TrainingSet, name: str, rules: Rules) -> bool:
    """Whether there are days by which `train` can judge a version, which a search has to wait for.

    Raises RegistryError where the registry can't be reached.
    """
    rules = task_of(name).window(estimator(name), rules)
    return _cut(rows, registry.champion(name), rules) is not None


def _register(
    registry: Registry,
    task: Task,
    rows: TrainingSet,
    model: Estimator,
    record: Mapping[str, Any],
    tags: Mapping[str, str],
    trials: Sequence[Trial],
    made: MadeWith,
    now: datetime,
) -> tuple[int, str]:
    """Register the fitted model with its record and card: the version, and the card as a whole."""
    name = record["model"]
    drawn = pictures(record, task.title, _before(registry, name, task.metric))
    told = card(record, task, drawn)
    documents = {
        **provenance.documents(record, made.code.patch),
        **{CARD: told.encode(), **drawn},
    }
    version = registry.register(
        name,
        model,
        metrics=record["metrics"],
        tags={**tags, **provenance.tags(documents, record)},
        now=now,
        documents=documents,
        trials=trials,
        shown=Shown(f"as of {rows.as_of}", summary(record, task), rows),
    )
    return version, whole(told, drawn)


def _cut(rows: TrainingSet, champion: Version | None, rules: Rules) -> date | None:
    """Where the days begin that judge; None where there are too few."""
    longest, shortest = rules.longest_days, rules.shortest_days
    return gate.window(rows.as_of, _as_of(champion), rows.first_day, longest, shortest)


def _as_of(champion: Version | None) -> date | None:
    return None if champion is None else date.fromisoformat(champion.tags["as_of"])


def _measured(task: Task, judged: Judged, seed: int) -> dict[str, Any]:
    """What the record says of how good the version is."""
    return {
        "metrics": _metrics(task, judged),
        "quality": quality(judged.scores, seed),
        "segments": {
            one: quality(scores, seed) for one, scores in judged.segments.items() if len(scores) > 1
        },
        "details": dict(judged.details),
    }


def _pin(lake: Lake, rows: TrainingSet, name: str) -> None:
    """Before it is registered: a version whose snapshot upkeep may expire could not be rebuilt.

    It holds the marts too, which had not changed when the features were published.
    """
    snapshot = rows.pointer.snapshot
    catalog.pin(lake, f"models/{name}/{rows.digest[:16]}@{snapshot}", snapshot)


def _before(registry: Registry, name: str, metric: str) -> list[tuple[date, float]]:
    """As-of and score of the versions so far, as the card shows them."""
    versions = [registry.version(name, number) for number in registry.numbers(name)[-SHOWN:]]
    return [
        (date.fromisoformat(one.tags["as_of"]), one.metrics[metric])
        for one in versions
        if metric in one.metrics
    ]


def _searched(champion: Version | None, name: str) -> dict[str, float]:
    """What the search before the champion's training found, if for the recipe as it is now."""
    if champion is None or champion.tags.get("recipe") != recipe_of(estimator(name)()):
        return {}
    found: dict[str, float] = json.loads(champion.tags.get(SEARCHED, "{}"))
    return found


def _too_early(rows: TrainingSet, champion: Version | None, rules: Rules) -> Outcome:
    verdict = gate.too_early(rows.as_of, _as_of(champion), rows.first_day, rules.shortest_days)
    return Outcome(None, verdict.reason, verdict, {})


def _identity(rows: TrainingSet, model: Estimator) -> dict[str, str]:
    """What makes two versions the same: rows, recipe (the model's code), parameters and seed."""
    return {
        "training_set": rows.digest,
        "as_of": rows.as_of.isoformat(),
        "recipe": recipe_of(model),
        "params": json.dumps(model.get_params(), sort_keys=True),
    }


def _judged(
    lake: Lake,
    registry: Registry,
    rows: TrainingSet,
    task: Task,
    name: str,
    model: Estimator,
    cut: date,
    champion: Version | None,
) -> Judged:
    """How challenger, baselines and champion did from `cut` on, the champion as it is.

    Nobody is judged where there is too little before `cut` to fit on.
    """
    before = cut - timedelta(days=1)
    known, params = task.known_before(type(model), lake, rows, cut), model.get_params()
    if known.empty:
        return Judged(pd.DataFrame())
    contenders = {
        CHALLENGER: type(model)(**params).fit(known, before),
        **{one: task.baseline(one).fit(known, before) for one in task.baselines},
    }
    if champion is not None:
        contenders[CHAMPION] = registry.load(name, champion.version)
    return task.judge(contenders, lake, rows, cut, params["seed"])


def _verdict(judged: Judged, cut: date, end: date, rules: Rules, seed: int) -> Verdict:
    scores = judged.scores
    if CHAMPION not in scores:
        return gate.first(scores[CHALLENGER], cut, end)
    verdict = gate.decide(
        scores[CHAMPION], scores[CHALLENGER], start=cut, end=end, margin=rules.margin, seed=seed
    )
    return gate.guard(verdict, judged.segments, margin=rules.segment_margin, seed=seed)


def _metrics(task: Task, judged: Judged) -> dict[str, float]:
    means = {str(name): float(one.mean()) for name, one in judged.scores.items()}
    named = {f"{name}_{task.metric}": mean for name, mean in means.items() if name != CHALLENGER}
    count = float(len(judged.scores))
    return {task.metric: means[CHALLENGER], **named, **judged.more, "judged_customers": count}


def _tags(
    rows: TrainingSet, identity: dict[str, str], verdict: Verdict, cause: str, seed: int
) -> dict[str, str]:
    return {
        **identity,
        "snapshot": str(rows.pointer.snapshot),
        "marts_snapshot": str(rows.pointer.marts),
        "training_rows": str(len(rows.rows)),
        "seed": str(seed),
        "cause": cause,
        "decision": verdict.decision,
        "verdict": json.dumps(verdict.as_dict(), sort_keys=True),
    }
