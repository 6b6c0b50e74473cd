"""From a version that is to be promoted to what serves: release, then pointer, then alias."""

import re
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path

import numpy as np

from ops_platform.errors import ReleaseError
from ops_platform.features.online_export import read_rows, require_same
from ops_platform.features.view import find_views
from ops_platform.ingest.personal import HASH
from ops_platform.lake.check import tables
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.lake.lock import write_lock
from ops_platform.models.answers import answers
from ops_platform.models.estimators import Recommends, estimator, foretells, recommends
from ops_platform.models.kinds import recommenders
from ops_platform.models.labels import views_of
from ops_platform.models.registry import Registry, Version
from ops_platform.serve import history, release
from ops_platform.serve.scorer import Question, Scorer

# The model whose answers are in the releases of the others.
PROBABILITIES = "purchase_probability"
# So many customers, evenly spread, are asked before a release serves.
ASKED = 50
K = 20
TOLERANCE = 1e-9
# Which version of which rows a release is of: tags of the version, and in the manifest.
TAGS = ("as_of", "snapshot", "training_set", "state_digest")


@dataclass(frozen=True)
class Served:
    """What serves now: the model's version and release, and whether the pointer has moved to it.

    `release` is empty for a model without releases of its own.
    """

    model: str
    version: int
    release: str
    moved: bool


def put_in_service(
    lake: Lake,
    registry: Registry,
    releases: Path,
    name: str,
    now: datetime,
    customer_key: str | None = None,
) -> Served | None:
    """Let the version serve that is to: the newest whose verdict asks for it, else the champion.

    A run may have been killed before it released what the gate let pass, and a later version may
    have lost since: it is released all the same, unless a newer one has been promoted. The pointer
    is what serves and the alias champion follows it, so a run that is killed between the two is
    finished by the next. A release that is missing or damaged is written again. None where no
    version is to serve yet. `customer_key` is the fingerprint of the key by which customers'
    ids are hashed. A model without releases of its own, whose answers are in those of others, has
    its alias moved alone.

    Raises
    ------
    ReleaseError : the version can't be served, or its release can't be written.
    RegistryError, LakeError : the registry or the version's snapshot can't be read.
    """
    folder = release.folder_of(releases, name)
    # The lake's lock, so that a backup holds either the old pointer and release or the new ones.
    with write_lock(lake):
        due = registry.to_be_promoted(name)
        if name not in recommenders():
            return _named(registry, folder, name, due, now)
        if due is not None:
            return _serve(lake, registry, folder, due, now, customer_key)
        reconcile(registry, releases, name)
        champion = registry.champion(name)
        if champion is None:
            return None
        pointed = _pointed_or_none(folder)
        if pointed is not None and _stands(lake, registry, folder / pointed):
            history.note(folder, pointed, now, "found to serve")
            return Served(name, champion.version, pointed, moved=False)
        return _serve(lake, registry, folder, champion, now, customer_key)


def _stands(lake: Lake, registry: Registry, place: Path) -> bool:
    """Whether a release is whole and has the probabilities of the version that is champion now."""
    try:
        manifest = release.load(place).manifest
    except ReleaseError:
        return False
    teller = registry.champion(PROBABILITIES)
    if manifest.purchase_probability == (teller and teller.version):
        return True
    return manifest.purchase_probability is None and not _can_tell(lake, manifest.snapshot)


def _can_tell(lake: Lake, snapshot: int) -> bool:
    """Whether a snapshot has what PROBABILITIES answers from: a view may be newer than it."""
    with connect(lake, snapshot=snapshot) as connection:
        there = tables(connection)
    return all(view.table in there for view in views_of(foretells(estimator(PROBABILITIES)())))


def _named(
    registry: Registry, folder: Path, name: str, due: Version | None, now: datetime
) -> Served | None:
    champion = registry.champion(name)
    version = due or champion
    if version is None:
        return None
    moved = champion is None or champion.version != version.version
    note_alias(folder, version, now, "released" if due else "found to serve")
    registry.promote(name, version.version)
    return Served(name, version.version, "", moved)


def note_alias(folder: Path, version: Version, now: datetime, why: str) -> None:
    """Note which version the alias is to name, of a model without releases, by the name of one.

    Before the alias moves, so that whoever is killed between the two is finished by the same again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    history.note(folder, f"v{version.version}-{_origin(version).state_digest[:12]}", now, why)


def reconcile(registry: Registry, releases: Path, name: str) -> None:
    """Let the alias champion name the version of the pointer's release, which is what serves.

    Raises RegistryError when the registry can't be reached, ReleaseError when the version was
    deleted from it.
    """
    folder = release.folder_of(releases, name)
    # Again until both agree: a run may be moving them meanwhile.
    while (pointed := _pointed_or_none(folder)) is not None:
        version, champion = require_registered(registry, folder, pointed), registry.champion(name)
        if champion is not None and champion.version == version:
            return
        registry.promote(name, version)


def require_registered(registry: Registry, folder: Path, pointed: str) -> int:
    """The version of the release `pointed`; raises ReleaseError where the registry has none."""
    name, version = folder.name, release.version_of(pointed, folder)
    if version not in (there := registry.numbers(name)):
        raise ReleaseError(
            f"the pointer {folder / release.POINTER} names {pointed}, and the registry has no "
            f"version {version} of {name!r} (it has {', '.join(map(str, there)) or 'none'}): "
            "it was deleted. What is loaded goes on serving; write the name of a release of a "
            "version that is there into the pointer, or train: materialize "
            f"models/{name}/training_set, models/{name} and serve/release"
        )
    return version


def _pointed_or_none(folder: Path) -> str | None:
    """What the pointer names; a damaged pointer names nothing, and is written again."""
    try:
        return release.pointed(folder)
    except ReleaseError:
        return None


def _serve(
    lake: Lake,
    registry: Registry,
    folder: Path,
    version: Version,
    now: datetime,
    customer_key: str | None,
) -> Served:
    made = make(lake, registry, folder, version, now, customer_key)
    moved = _pointed_or_none(folder) != made
    if moved:
        move_pointer(folder, made, now, "released")
    registry.promote(version.name, version.version)
    return Served(version.name, version.version, made, moved)


def move_pointer(folder: Path, made: str, now: datetime, why: str) -> None:
    """Let a release serve, and note when and why."""
    release.point_to(folder, made)
    history.note(folder, made, now, why)


def make(
    lake: Lake,
    registry: Registry,
    folder: Path,
    version: Version,
    now: datetime,
    customer_key: str | None,
) -> str:
    """Write the release of a version, and hold its answers against the model's.

    The champion of PROBABILITIES, where there is one and the version's snapshot has the features
    that it needs, answers for every customer in it.
    """
    origin = replace(_origin(version), customer_key=customer_key)
    teller = registry.champion(PROBABILITIES)
    if teller is not None and not _can_tell(lake, origin.snapshot):
        teller = None
    origin = replace(origin, purchase_probability=teller.version if teller else None)
    model = recommends(registry.load(version.name, version.version))
    arrays = _arrays(version, model)
    if customer_key and not all(re.fullmatch(HASH, one) for one in arrays["customers"].tolist()):
        raise ReleaseError(
            f"version {version.version} of {version.name!r} can't be served: it was trained on "
            "customers' ids as they are, and the contract says now that they are hashed; "
            "train it again"
        )
    catalog = _catalog(lake, origin.snapshot, arrays["products"])
    with connect(lake, snapshot=origin.snapshot) as connection:
        as_of = date.fromisoformat(origin.as_of)
        features, told = read_rows(connection, find_views(), as_of), None
        if teller is not None:
            told = answers(connection, foretells(registry.load(teller.name, teller.version)), as_of)
        made = release.write(folder, origin, arrays, catalog, now, features, told)
        require_same(connection, find_views(), folder / made)
    _require_same_answers(Scorer(release.load(folder / made)), model, version)
    return made


def _origin(version: Version) -> release.Origin:
    missing = [tag for tag in TAGS if tag not in version.tags]
    if missing:
        raise ReleaseError(
            f"version {version.version} of {version.name!r} can't be served: it lacks the tags "
            f"{', '.join(missing)}; train it by the graph"
        )
    tags = version.tags
    return release.Origin(
        model=version.name,
        version=version.version,
        as_of=tags["as_of"],
        snapshot=int(tags["snapshot"]),
        training_set=tags["training_set"],
        state_digest=tags["state_digest"],
    )


def _arrays(version: Version, model: Recommends) -> dict[str, np.ndarray]:
    state = model.state()
    wanted = {name for held in release.ARRAYS.values() for name in held}
    if state.keys() != wanted:
        raise ReleaseError(
            f"version {version.version} of {version.name!r} can't be served: its state must have "
            f"exactly the arrays {', '.join(sorted(wanted))}, and it has "
            f"{', '.join(sorted(state)) or 'none'}; mend models/zoo/{version.name}.py"
        )
    return state


def _catalog(lake: Lake, snapshot: int, products: np.ndarray) -> dict[str, release.Product]:
    """What is told of each product; where a catalog is delivered, it says what is offered."""
    with connect(lake, snapshot=snapshot) as connection:
        rows = connection.execute(
            "SELECT product_id, coalesce(description, title, ''), category, title IS NOT NULL "
            "FROM marts.dim_products"
        ).fetchall()
    is_delivered = any(listed for *_, listed in rows)
    named = {
        product: release.Product(description, category, listed or not is_delivered)
        for product, description, category, listed in rows
    }
    missing = release.Product("", None, offered=False)
    return {product: named.get(product, missing) for product in products.tolist()}


def _require_same_answers(scorer: Scorer, model: Recommends, version: Version) -> None:
    """Arrays of the right names may be of a model that scores in another way."""
    everyone = model.customers_
    chosen = np.linspace(0, len(everyone) - 1, min(ASKED, len(everyone))).astype(int)
    # The model knows nothing of the catalog: what is not offered is left out of its lists.
    expected = model.recommend(everyone[chosen], K + len(scorer.not_offered))
    for row, customer in enumerate(everyone[chosen].tolist()):
        found = scorer.recommend(Question(customer, K))
        listed = zip(expected.product_id[row].tolist(), expected.scores[row].tolist(), strict=True)
        offered = [(one, score) for one, score in listed if one not in scorer.not_offered][:K]
        same = [one.product_id for one in found] == [product for product, _ in offered]
        off = [abs(one.score - score) for one, (_, score) in zip(found, offered, strict=False)]
        if not same or max(off, default=0.0) > TOLERANCE:
            raise ReleaseError(
                f"version {version.version} of {version.name!r} can't be served: for customer "
                f"{customer} its release answers otherwise than the model; the service scores as "
                "models/scoring.py does, and so must the model"
            )
