"""A version against its rebuild: identical, or what differs first on the way from data to state."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ops_platform.models.state import State, digest

Outcome = Literal["identical", "different", "not comparable"]
# Where each part of the recipe is told on the version too, so that neither can be changed alone.
_TOLD_TWICE = {
    "data": ("training_set", "as_of", "snapshot", "marts_snapshot"),
    "code": ("recipe",),
}


@dataclass(frozen=True)
class Finding:
    """What a rebuild came to.

    Attributes
    ----------
    outcome : `identical` only where the rebuilt state has the recorded digest.
    part : what differs first: record, data, code, parameters, seed, environment or state.
    told : that in words.
    difference : the largest between two arrays of the states, None where they were not compared.
    """

    outcome: Outcome
    part: str
    told: str
    difference: float | None = None


def of_record(
    record: Mapping[str, Any], tags: Mapping[str, str], params: Mapping[str, Any], *, sealed: bool
) -> Finding | None:
    """What the record says otherwise than the version's tags; None where they agree.

    `params` are those of the tags; `sealed` is whether the record has the digest it was sealed by.
    """
    told = {**record["data"], "recipe": record["recipe"]}
    for part, names in _TOLD_TWICE.items():
        for name in names:
            if str(told.get(name)) != tags.get(name):
                return _otherwise(part, name, told.get(name), tags.get(name))
    for name in sorted({*record["params"], *params}):
        one, other = record["params"].get(name), params.get(name)
        if one != other:
            return _otherwise("seed" if name == "seed" else "parameters", name, one, other)
    if str(record["seed"]) != tags.get("seed") or record["seed"] != params.get("seed"):
        return _otherwise("seed", "seed", record["seed"], tags.get("seed"))
    if record["state_digest"] != tags["state_digest"]:
        return _otherwise("state", "state_digest", record["state_digest"], tags["state_digest"])
    if not sealed:
        return Finding("different", "record", "provenance.json is not as it was registered")
    return None


def _otherwise(part: str, name: str, recorded: object, tagged: object) -> Finding:
    told = f"{name} is {recorded} in provenance.json and {tagged} on the version"
    return Finding("different", part, told)


def of_rebuild(
    record: Mapping[str, Any], rebuilt: Mapping[str, Any], original: State, learned: State
) -> Finding:
    """What a rebuild came to, the first difference first.

    Other digits on another machine prove nothing, so they are not comparable.
    """
    for part, told in _causes(record, rebuilt):
        return Finding("different", part, told, _largest(original, learned))
    if digest(learned) == record["state_digest"]:
        return Finding("identical", "state", f"state {record['state_digest'][:16]}", 0.0)
    name = next(
        name
        for name in sorted({*original, *learned})
        if name not in original
        or name not in learned
        or digest({name: original[name]}) != digest({name: learned[name]})
    )
    largest = _largest(original, learned)
    told = f"{name} is the first array that differs; largest difference {_number(largest)}"
    if others := list(_kernels(record["environment"], rebuilt["environment"])):
        return Finding("not comparable", "environment", "; ".join([*others, told]), largest)
    return Finding("different", "state", told, largest)


def _causes(record: Mapping[str, Any], rebuilt: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What went in otherwise than recorded, in the order of the walk."""
    data, again = record["data"], rebuilt["data"]
    for name in ("as_of", "rows", "training_set"):
        if data[name] != again[name]:
            yield "data", f"{name} was {data[name]} and is {again[name]}"
    if not again["features_follow_from_marts"]:
        yield "data", "the features are not what their marts give"
    for name in sorted({*data["views"], *again["views"]}):
        if data["views"].get(name) != again["views"].get(name):
            yield "code", f"the feature view {name} is another than recorded"
    if record["recipe"] != rebuilt["recipe"]:
        yield "code", f"the recipe models/zoo/{record['model']}.py is another than recorded"
    one, other = record["params"], rebuilt["params"]
    for name in sorted({*one, *other}, key=lambda name: (name == "seed", name)):
        if one.get(name) != other.get(name):
            part = "seed" if name == "seed" else "parameters"
            yield part, f"{name} was {one.get(name)} and is {other.get(name)}"


def _kernels(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[str]:
    """What computes here otherwise than it did there."""
    for name in ("python", "machine", "packages", "simd", "blas"):
        if recorded[name] != here[name]:
            yield f"{name} was {_short(recorded[name])} and is {_short(here[name])}"


def _short(told: Any) -> str:
    if isinstance(told, list):
        return ", ".join(map(_short, told)) or "none"
    return " ".join(f"{value}" for value in told.values()) if isinstance(told, dict) else str(told)


def _largest(original: State, learned: State) -> float | None:
    """The largest difference between two arrays of the same name; None where shapes differ."""
    found = 0.0
    for name in original.keys() | learned.keys():
        if name not in original or name not in learned:
            return None
        one, other = original[name], learned[name]
        if one.shape != other.shape:
            return None
        if np.issubdtype(one.dtype, np.number):
            # What is the same differs by nothing, also where it is infinite or no number.
            unequal = (one != other) & ~(np.isnan(one) & np.isnan(other))
            apart = np.abs(one[unequal].astype(float) - other[unequal].astype(float))
            found = max(found, float(np.nan_to_num(apart, nan=np.inf).max(initial=0.0)))
    return found


def _number(largest: float | None) -> str:
    return "not to be told, for shapes differ" if largest is None else f"{largest:.3g}"
