"""Releases are whole, known by their content, and refused when anything in them has changed."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from ops_platform.errors import ReleaseError
from ops_platform.features.online_store import Column, OnlineStore, Rows
from ops_platform.serve import release
from tests.serve.conftest import AS_OF, NOW


@pytest.fixture
def made(home):
    home.register()
    return home.folder / home.release().release


def test_a_release_says_what_it_is_and_holds_plain_arrays(home, made):
    manifest = json.loads((made / "manifest.json").read_text())
    tags = home.registry.champion("recommender").tags
    assert manifest["model"] == "recommender"
    assert manifest["version"] == 1
    assert manifest["as_of"] == AS_OF.isoformat()
    assert manifest["snapshot"] == home.snapshot
    assert manifest["state_digest"] == tags["state_digest"]
    assert manifest["release"] == made.name
    assert manifest["created_at"] == NOW.isoformat()
    assert sorted(path.name for path in made.iterdir()) == sorted(
        [*manifest["files"], "manifest.json"]
    )
    assert not [path for path in home.folder.iterdir() if path.name.startswith(".")]


def test_the_same_version_gives_the_same_release(home, made):
    content = {path.name: path.read_bytes() for path in made.iterdir()}
    shutil.rmtree(home.folder)
    assert home.release().release == made.name
    assert {path.name: path.read_bytes() for path in made.iterdir()} == content


def test_another_state_or_catalog_or_version_gives_another_release(home, made):
    whole = release.load(made)
    origin = release.Origin(
        **{name: getattr(whole.manifest, name) for name in release.Origin.__dataclass_fields__}
    )

    def name(origin=origin, catalog=whole.catalog, **arrays):
        return release.write(home.folder, origin, {**whole.arrays, **arrays}, catalog, NOW, {})

    assert name() == made.name
    others = {
        name(popularity=whole.arrays["popularity"] * 2),
        name(catalog={**whole.catalog, "p001": release.Product("A NEW NAME", None, True)}),
        name(origin=release.Origin(**{**vars(origin), "version": 2})),
        made.name,
    }
    assert len(others) == 4


def test_a_release_names_its_online_features_by_their_digest(home, made):
    whole = release.load(made)
    origin = release.Origin(
        **{name: getattr(whole.manifest, name) for name in release.Origin.__dataclass_fields__}
    )
    number = Column("int", np.arange(2), np.zeros(2, dtype=bool))
    rows = Rows(("customer_id",), origin.as_of, [("ann",), ("bob",)], {"number": number})
    name = release.write(home.folder, origin, whole.arrays, whole.catalog, NOW, {"customer": rows})
    path = home.folder / name / "customer.features"
    assert OnlineStore(path).get("bob") == {"number": 1}
    assert path.name in release.load(path.parent).manifest.files
    assert name != made.name
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(ReleaseError, match=r"customer\.features has not the SHA-256"):
        release.load(path.parent)


@pytest.mark.parametrize("name", ["model.npz", "online.npz", "catalog.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["a byte is changed", "cut short", "gone"])
def test_a_damaged_release_is_refused(made, name, damage):
    path = made / name
    content = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    elif damage == "cut short":
        path.write_bytes(content[: len(content) // 2])
    else:
        at = content.index(b"2024") if name == "manifest.json" else len(content) // 2
        content[at] ^= 1
        path.write_bytes(content)
    with pytest.raises(ReleaseError, match="materialize serve/release, which writes it again"):
        release.load(made)
    assert not release.is_whole(made)


def test_a_release_under_another_name_is_refused(made):
    other = made.rename(made.with_name("v1-000000000000"))
    with pytest.raises(ReleaseError, match="not the one that it was named by"):
        release.load(other)


def test_the_pointer_names_a_release_or_nothing(tmp_path):
    assert release.pointed(tmp_path) is None
    release.point_to(tmp_path, "v12-0123456789ab")
    assert release.pointed(tmp_path) == "v12-0123456789ab"
    assert release.version_of("v12-0123456789ab", tmp_path) == 12
    (tmp_path / "current").write_text("../../etc")
    with pytest.raises(ReleaseError, match=r"names '\.\./\.\./etc', which is no release"):
        release.pointed(tmp_path)


def test_a_disk_that_refuses_is_said_to(home, made, monkeypatch):
    sync = os.fsync

    def refuse(descriptor):
        if str(home.folder) in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            raise OSError(28, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    shutil.rmtree(made)
    with pytest.raises(ReleaseError, match="No space left on device; the present one goes on"):
        home.release()
    assert not made.exists()
    assert not (home.folder / ".making").exists()
