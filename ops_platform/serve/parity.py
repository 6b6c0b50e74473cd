"""Train/serve parity: what customers were answered by, and what training makes of it at present."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from numbers import Real
from pathlib import Path

import pandas as pd

from ops_platform.features.known_by import arrivals_sql
from ops_platform.features.online_store import SUFFIX, OnlineStore, Value
from ops_platform.features.point_in_time import LABEL_TIME, training_set
from ops_platform.features.view import FeatureView, find_views
from ops_platform.lake.connect import ALIAS, connect
from ops_platform.lake.location import Lake
from ops_platform.lake.published import published
from ops_platform.lake.session import has_table
from ops_platform.models.labels import midnight
from ops_platform.serve import kept
from ops_platform.serve.release import Manifest, read_manifest

SERVED = "raw.served"
SAMPLE = 1000
# Sums of doubles may differ in their last digits with the order of the rows.
TOLERANCE = 1e-9
# What a served line names, and so what the features of may be asked for.
KEYS = ("customer_id", "product_id")
_LINES = """
WITH came AS ({arrivals})
SELECT release, {keys} FROM {served} JOIN came ON _delivery = delivery
WHERE known AND model = ? AND list_contains(?, release)
ORDER BY delivered_at DESC, md5(concat_ws(':', answer_id, rank, ?)) LIMIT ?
"""


@dataclass(frozen=True)
class Compared:
    """A feature of a view: entities compared, those that differ, and one of them in words."""

    view: str
    feature: str
    entities: int
    mismatches: int
    example: str = ""

    @property
    def share(self) -> float:
        """The share of the entities that differ."""
        return self.mismatches / self.entities


@dataclass(frozen=True)
class Parity:
    """What came of a replay: the served lines that were sampled, and every feature of theirs."""

    lines: int
    features: tuple[Compared, ...]

    def beyond(self, allowance: float) -> list[Compared]:
        """The features of which a larger share differs than late deliveries may explain."""
        return [one for one in self.features if one.share > allowance]


def replay(lake: Lake, folder: Path, seed: int, lines: int = SAMPLE) -> Parity:
    """Compare the features that releases have answered by with those that training makes now.

    So many lines of `raw.served` are sampled, of the newest deliveries first, among those of
    customers whom a release knew that is still kept. What its online stores say of the line's
    customer and product is held against `training_set` as of the release, on the lake as it is
    published at present. An entity is compared once a release. A feature that only the store or
    only the view has is left out: the view was changed since.

    Parameters
    ----------
    folder : of the releases of a model.
    seed : of the sample; the same lines for the same seed.

    Raises
    ------
    NotPublishedError : something was served, and nothing is published.
    ReleaseError : a release that is kept can't be read.
    TrainingError : the lake ends before a release's as-of, since an older one was restored, say.
    """
    sample = _sample(lake, folder, seed, lines)
    if sample.empty:
        return Parity(0, ())
    manifests = {name: read_manifest(folder / name) for name in sorted(set(sample["release"]))}
    ends = {name: _end_of(one) for name, one in manifests.items()}
    sample[LABEL_TIME] = sample["release"].map(ends)
    with connect(lake, snapshot=published(lake).snapshot) as connection:
        compared = list[Compared]()
        for view in find_views():
            asked = _asked(view, sample, manifests)
            if asked is not None:
                made = training_set(connection, asked, [view]).rows
                compared += _compared(view, made, folder)
    return Parity(len(sample), tuple(compared))


def _sample(lake: Lake, folder: Path, seed: int, lines: int) -> pd.DataFrame:
    """The columns release and KEYS; of what the service logged, so at the lake's head."""
    nothing = pd.DataFrame(columns=["release", *KEYS])
    if not lake.exists:
        return nothing
    with connect(lake) as connection:
        if not has_table(connection, SERVED):
            return nothing
        sql = _LINES.format(
            arrivals=arrivals_sql(ALIAS, ["served"]), keys=", ".join(KEYS), served=SERVED
        )
        values = [folder.name, kept.names(folder), str(seed), lines]
        return connection.execute(sql, values).df()


def _end_of(manifest: Manifest) -> pd.Timestamp:
    return pd.Timestamp(midnight(date.fromisoformat(manifest.as_of) + timedelta(days=1)))


def _asked(
    view: FeatureView, sample: pd.DataFrame, manifests: Mapping[str, Manifest]
) -> pd.DataFrame | None:
    """The distinct entities of a view by release; None where it isn't of what a line names."""
    if not set(view.entity) <= set(KEYS):
        return None
    holding = [name for name, one in manifests.items() if f"{view.name}{SUFFIX}" in one.files]
    found = sample[sample["release"].isin(holding)]
    columns = ["release", *view.entity, LABEL_TIME]
    return None if found.empty else found[columns].drop_duplicates(ignore_index=True)


def _compared(view: FeatureView, made: pd.DataFrame, folder: Path) -> Iterator[Compared]:
    stores = {
        name: OnlineStore(folder / name / f"{view.name}{SUFFIX}") for name in set(made.release)
    }
    keys = list(zip(made["release"], *(made[name] for name in view.entity), strict=True))
    served = [stores[name].get(*entity) for name, *entity in keys]
    for feature in view.features_named:
        column = made[f"{view.name}__{feature}"]
        held = [feature in stores[name].features for name, *_ in keys]
        differ = [
            (key, one and one[feature], expected)
            for key, is_held, one, expected in zip(keys, held, served, column, strict=True)
            if is_held and not _same(one[feature] if one else None, expected)
        ]
        example = ""
        if differ:
            (name, *entity), value, expected = differ[0]
            example = f"{name} says {value} of {', '.join(entity)}, training {expected}"
        if any(held):
            yield Compared(view.name, feature, sum(held), len(differ), example)


def _same(served: Value, trained: object) -> bool:
    """Equal, a double nearly; what is null is no number in the frame that training makes."""
    if pd.isna(trained):  # type: ignore[call-overload]
        return served is None or served != served
    if served is None:
        return False
    if isinstance(served, date):
        return bool(pd.Timestamp(served) == trained)
    if isinstance(trained, Real) and not isinstance(served, str):
        return math.isclose(float(served), float(trained), rel_tol=TOLERANCE)
    return bool(served == trained)
