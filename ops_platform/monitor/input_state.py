"""What is known of a model's inputs, as bytes: a new day is judged without the old ones."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from ops_platform.lake.profile import Profile
from ops_platform.monitor import e_detector, input_drift, input_feature, input_shape, recursive
from ops_platform.monitor.input_drift import InputDrift
from ops_platform.monitor.input_feature import WatchedFeature
from ops_platform.monitor.input_shape import Shape

_DOCUMENT = "document"
_ARRAYS = ("center_", "scale_", "values_", "scores_", "away_")
_REGRESSIONS = ("trend_", "recall_")
_LEARNED = ("weights_", "covariance_", "squares_")
_EVIDENCE = ("evidence_", "gain_", "since_", "row_")
# Of a day that is not learned from yet, beside its date.
_UNLEARNED = ("values", "regressors", "recalled")


def recipe() -> str:
    """SHA-256 of the code that what is known follows from."""
    digest = hashlib.sha256()
    for module in (e_detector, recursive, input_shape, input_feature, input_drift):
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()


def to_bytes(drift: InputDrift, beside: Mapping[str, Any]) -> bytes:
    """All that was learned, and what JSON can hold of the caller's own."""
    arrays: dict[str, np.ndarray] = {}
    for at, feature in enumerate(drift.features_.values()):
        arrays |= {f"{at}/{name}": array for name, array in _arrays(feature).items()}
    document = {
        "recipe": recipe(),
        "day": drift.day_ and drift.day_.isoformat(),
        "features": {name: _document(feature) for name, feature in drift.features_.items()},
        "beside": beside,
    }
    arrays[_DOCUMENT] = np.frombuffer(json.dumps(document).encode(), dtype=np.uint8)
    file = BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def from_bytes(content: bytes, false_alarm_days: float) -> tuple[InputDrift, dict[str, Any]] | None:
    """What `to_bytes` was given; None where the code was another: learn the days anew."""
    with np.load(BytesIO(content), allow_pickle=False) as arrays:
        document = json.loads(arrays[_DOCUMENT].tobytes())
        if document.get("recipe") != recipe():
            return None
        drift = InputDrift(false_alarm_days)
        drift.day_ = document["day"] and date.fromisoformat(document["day"])
        for at, (name, told) in enumerate(document["features"].items()):
            drift.features_[name] = _feature(told, arrays, f"{at}/")
    return drift, document["beside"]


def as_json(profile: Profile) -> dict[str, Any]:
    """A profile as what JSON can hold."""
    return asdict(profile) | {"sketch": list(profile.sketch), "parts": dict(profile.parts)}


def _arrays(feature: WatchedFeature) -> dict[str, np.ndarray]:
    if feature.reference_ is None:
        return {}
    found = {name: getattr(feature, name) for name in _ARRAYS}
    for regression in _REGRESSIONS:
        learned = getattr(feature, regression)
        found |= {f"{regression}/{name}": getattr(learned, name) for name in _LEARNED}
    found |= {name: getattr(feature.evidence_, name) for name in _EVIDENCE}
    for at, name in enumerate(_UNLEARNED, start=1):
        found[f"unlearned/{name}"] = np.array([one[at] for one in feature.unlearned_])
    return found


def _document(feature: WatchedFeature) -> dict[str, Any]:
    waiting, reference = feature.waiting_, feature.reference_
    known = (
        {}
        if reference is None
        else {
            "shape": asdict(feature.shape_),
            "learned_days": [getattr(feature, one).days_ for one in _REGRESSIONS],
            "unlearned": [day.isoformat() for day, *_ in feature.unlearned_],
        }
    )
    return known | {
        "first": [
            [day.isoformat(), as_json(profile), weekdays.tolist()]
            for day, profile, weekdays in feature.first_
        ],
        "waiting": waiting and as_json(waiting),
        "weekdays": feature.weekdays_.tolist(),
        "reference": reference and as_json(reference),
        "looks": [feature.looks_, feature.judged_from_],
        "days": feature.days_,
    }


def _feature(told: Mapping[str, Any], arrays: Mapping[str, np.ndarray], at: str) -> WatchedFeature:
    made = WatchedFeature()
    made.first_ = [
        (date.fromisoformat(day), Profile(**profile), np.array(weekdays))
        for day, profile, weekdays in told["first"]
    ]
    made.waiting_ = told["waiting"] and Profile(**told["waiting"])
    made.weekdays_ = np.array(told["weekdays"])
    (made.looks_, made.judged_from_), made.days_ = told["looks"], told["days"]
    if told["reference"] is None:
        return made
    made.begin(Profile(**told["reference"]), Shape(**told["shape"]))
    for name in _ARRAYS:
        setattr(made, name, arrays[at + name])
    for regression, days in zip(_REGRESSIONS, told["learned_days"], strict=True):
        learned = getattr(made, regression)
        learned.days_ = days
        for name in _LEARNED:
            setattr(learned, name, arrays[f"{at}{regression}/{name}"])
    for name in _EVIDENCE:
        setattr(made.evidence_, name, arrays[at + name])
    unlearned = [arrays[f"{at}unlearned/{name}"] for name in _UNLEARNED]
    dates = [date.fromisoformat(day) for day in told["unlearned"]]
    made.unlearned_ = list(zip(dates, *unlearned, strict=True))
    return made
