"""What serves follows the verdicts; a run that is killed anywhere is finished by the next."""

import shutil
from dataclasses import replace
from functools import partialmethod

import numpy as np
import pytest

from ops_platform.errors import LakeError, ReleaseError
from ops_platform.lake import catalog
from ops_platform.lake.write import write
from ops_platform.models.labels import views_of
from ops_platform.models.zoo import recommender
from ops_platform.models.zoo.purchase_probability import PurchaseProbability
from ops_platform.serve import history, promotion, release
from ops_platform.serve.old_releases import remove_old
from ops_platform.serve.promotion import Served, reconcile
from tests.models.conftest import AS_OF
from tests.models.test_purchase_probability import moments
from tests.serve.conftest import NAME, NOW, fitted

RECOMMEND = recommender.Recommender.recommend


def alias(home) -> int:
    champion = home.registry.champion(NAME)
    return champion.version if champion else 0


def test_without_a_version_nothing_serves(home):
    assert home.release() is None
    assert not home.folder.exists()


def test_a_version_that_is_to_be_promoted_serves_and_is_the_champion(home):
    home.register()
    found = home.release()
    assert found == Served(NAME, 1, release.pointed(home.folder), moved=True)
    assert alias(home) == 1
    assert not home.registry.newest(NAME).is_to_be_promoted
    assert home.release() == Served(NAME, 1, found.release, moved=False)


def crown_a_teller(home) -> None:
    name = promotion.PROBABILITIES
    model = PurchaseProbability().fit(moments(np.random.default_rng(1), 1, 0.0), AS_OF)
    version = home.registry.register(name, model, metrics={}, tags={}, now=NOW)
    home.registry.promote(name, version)


def test_a_release_stands_as_long_as_its_probabilities_are_the_champions(home):
    columns = "(customer_id VARCHAR, as_of DATE)"
    views = [view.table for view in views_of(PurchaseProbability())]
    tables = "; ".join(f"CREATE TABLE {table} {columns}" for table in views)
    write(home.lake, lambda connection: connection.execute(f"CREATE SCHEMA features; {tables}"))
    home.snapshot = catalog.head(home.lake)
    home.register()
    place = home.folder / home.release().release
    assert promotion._stands(home.lake, home.registry, place)
    crown_a_teller(home)
    assert not promotion._stands(home.lake, home.registry, place)


def test_a_version_from_before_the_features_of_the_probabilities_is_released_without(home):
    crown_a_teller(home)
    home.register()
    made = home.release()
    assert release.load(home.folder / made.release).manifest.purchase_probability is None
    assert home.release() == replace(made, moved=False)


def test_a_version_that_the_gate_refused_does_not_serve(home):
    home.register()
    first = home.release()
    home.register(fitted(repeat_weight=0.1), promote=False)
    assert home.release() == Served(NAME, 1, first.release, moved=False)
    assert alias(home) == 1


@pytest.mark.parametrize("moment", ["release written", "pointer moved", "alias set"])
def test_a_run_killed_in_between_is_finished_by_the_next(home, monkeypatch, moment):
    home.register()
    first = home.release()
    home.register(fitted(repeat_weight=0.1))
    with monkeypatch.context() as patch:
        if moment == "release written":
            patch.setattr(release, "point_to", _killed)
        elif moment == "pointer moved":
            patch.setattr(type(home.registry), "promote", _killed)
        else:
            patch.setattr("mlflow.MlflowClient.set_model_version_tag", _killed)
        with pytest.raises(KeyboardInterrupt):
            home.release()
    pointed = release.pointed(home.folder)
    assert (pointed == first.release) == (moment == "release written")
    assert alias(home) == (2 if moment == "alias set" else 1)

    found = home.release()

    assert (found.version, found.moved) == (2, moment == "release written")
    assert alias(home) == 2
    assert release.version_of(release.pointed(home.folder), home.folder) == 2
    assert not home.registry.newest(NAME).is_to_be_promoted


def test_a_version_that_a_killed_run_left_is_released_though_a_later_one_has_lost(home):
    home.register()
    home.release()
    home.register(fitted(repeat_weight=0.1))
    home.register(fitted(repeat_weight=0.2), promote=False)

    assert (home.release().version, alias(home)) == (2, 2)
    assert home.release().moved is False


def test_a_version_that_a_newer_one_has_overtaken_is_left_also_after_going_back(home):
    home.register()
    first = home.release().release
    home.register(fitted(repeat_weight=0.1))
    home.register(fitted(repeat_weight=0.2))
    assert home.release().version == 3
    release.point_to(home.folder, first)

    assert home.release() == Served(NAME, 1, first, moved=False)


def _killed(*args, **kwargs):
    raise KeyboardInterrupt


def test_the_pointer_wins_over_the_alias(home):
    home.register()
    home.release()
    home.register(fitted(repeat_weight=0.1))
    home.release()
    home.registry.promote(NAME, 1)
    reconcile(home.registry, home.settings.releases, NAME)
    assert alias(home) == 2


def test_a_pointer_put_back_by_hand_stays_and_the_alias_follows(home):
    home.register()
    first = home.release().release
    home.register(fitted(repeat_weight=0.1))
    home.release()
    release.point_to(home.folder, first)
    assert home.release() == Served(NAME, 1, first, moved=False)
    assert alias(home) == 1


def test_without_a_pointer_the_alias_stays(home):
    home.register()
    home.registry.promote(NAME, 1)
    reconcile(home.registry, home.settings.releases, NAME)
    assert alias(home) == 1


def test_a_pointer_to_a_version_that_the_registry_lacks_is_refused(home):
    home.folder.mkdir(parents=True)
    release.point_to(home.folder, "v7-0123456789ab")
    with pytest.raises(ReleaseError, match=r"no version 7 .*it has none\): it was deleted"):
        reconcile(home.registry, home.settings.releases, NAME)


@pytest.mark.parametrize("damage", ["file", "folder", "pointer", "all", "nonsense in the pointer"])
def test_a_champions_release_that_is_damaged_is_written_again(home, damage):
    home.register()
    made = home.release().release
    if damage == "file":
        (home.folder / made / "online.npz").write_bytes(b"")
    elif damage == "folder":
        shutil.rmtree(home.folder / made)
    elif damage == "pointer":
        (home.folder / "current").unlink()
    elif damage == "all":
        shutil.rmtree(home.folder)
    else:
        (home.folder / "current").write_text("\0\xff nonsense")
    assert home.release().release == made == release.pointed(home.folder)
    assert release.is_whole(home.folder / made)
    left = sorted(path.name for path in home.folder.iterdir())
    assert left == ["current", "history.jsonl", made]


def test_a_model_with_another_state_is_refused(home, monkeypatch):
    home.register()
    first = home.release()
    home.register(fitted(repeat_weight=0.1))
    state = recommender.Recommender.state
    with monkeypatch.context() as patch:
        patch.setattr(
            recommender.Recommender, "state", lambda self: {**state(self), "bias": np.zeros(1)}
        )
        with pytest.raises(
            ReleaseError, match="must have exactly the arrays again, customers, history"
        ):
            home.release()
    assert release.pointed(home.folder) == first.release
    assert alias(home) == 1


def test_a_model_that_scores_in_another_way_is_refused(home, monkeypatch):
    home.register()
    with monkeypatch.context() as patch:
        patch.setattr(
            recommender.Recommender, "recommend", partialmethod(RECOMMEND, discovery=True)
        )
        with pytest.raises(ReleaseError, match="its release answers otherwise than the model"):
            home.release()
    assert release.pointed(home.folder) is None


def test_a_version_that_was_not_trained_by_the_graph_is_refused(home):
    home.register(snapshot="")
    with pytest.raises(ReleaseError, match="lacks the tags snapshot; train it by the graph"):
        home.release()


def test_a_version_whose_snapshot_is_gone_is_refused(home):
    home.register(snapshot="999")
    with pytest.raises(LakeError, match="at snapshot 999"):
        home.release()
    assert promotion.release.pointed(home.folder) is None


def test_where_a_catalog_is_delivered_it_says_what_is_offered(home):
    write(
        home.lake,
        lambda connection: connection.execute(
            "UPDATE marts.dim_products SET title = 'Title', category = 'Cups' "
            "WHERE product_id != 'p001'"
        ),
    )
    home.snapshot = catalog.head(home.lake)
    home.register()
    told = release.load(home.folder / home.release().release).catalog
    offered = {product for product, entry in told.items() if entry.offered}
    assert told.keys() - offered == {"p001"}
    assert {told[product].category for product in offered} == {"Cups"}
    # The first product has no description, so its title stands in.
    assert told["p000"].description == "Title"


def test_without_a_catalog_all_that_was_sold_is_offered(home):
    home.register()
    told = release.load(home.folder / home.release().release).catalog
    assert all(entry.offered for entry in told.values())


def test_of_old_releases_those_stay_that_served_last(home):
    made = []
    for weight in (0.1, 0.2, 0.3, 0.4):
        home.register(fitted(repeat_weight=weight))
        made.append(home.release().release)
    release.point_to(home.folder, made[1])
    history.note(home.folder, made[1], NOW, "by hand")
    never = home.folder / "v9-0123456789ab"
    never.mkdir()
    (home.folder / "v1-my-copy").mkdir()

    assert set(remove_old(home.lake, home.folder, 2)) == {made[0], never.name}

    left = {path.name for path in home.folder.iterdir()}
    assert left == {*made[1:], "v1-my-copy", "current", "history.jsonl"}
    assert remove_old(home.lake, home.folder, 2) == []
    assert release.is_whole(home.folder / made[1])


def test_nothing_is_removed_where_it_is_not_known_what_serves(home):
    home.register()
    made = home.release().release
    (home.folder / "current").write_text("nonsense")
    with pytest.raises(ReleaseError, match="no release"):
        remove_old(home.lake, home.folder, 1)
    assert (home.folder / made).exists()
