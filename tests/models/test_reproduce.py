"""Versions are made again bit for bit, and what was altered is found where it was altered."""

import json
import shutil
import sqlite3
import subprocess
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from ops_platform.cli import app
from ops_platform.errors import RegistryError
from ops_platform.features.view import find_views
from ops_platform.lake import catalog
from ops_platform.lake.connect import connect
from ops_platform.models import code, comparison, provenance
from ops_platform.models.card import CARD, card, quality, summary
from ops_platform.models.kinds import task_of
from ops_platform.models.pictures import pictures
from ops_platform.models.provenance import MadeWith
from ops_platform.models.rebuild import rebuild
from ops_platform.models.reproduce import reproduce
from ops_platform.models.task import Rules
from ops_platform.models.training import read_training_set, train
from ops_platform.settings import PROJECT, Settings
from tests.models.conftest import AS_OF, order_lines
from tests.monitor.conftest import Home

NAME = "recommender"
DAYS = {AS_OF - timedelta(days=20): "by hand", AS_OF: "alarm recommender-v1-2024-03-25"}


@dataclass(frozen=True)
class Trained:
    """A home with a version of each of DAYS, and the checkout that they were trained with."""

    home: Home
    checkout: Path
    made: MadeWith

    def version(self, number: int):
        return self.home.registry.version(NAME, number)

    def reproduce(self, number: int, scratch: Path):
        registry = self.home.registry
        return reproduce(self.home.settings, registry, self.version(number), self.checkout, scratch)


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


def checkout(folder: Path) -> Path:
    """A repository of the package as it is here, of which one file has not been committed."""
    shutil.copytree(
        PROJECT / "ops_platform",
        folder / "ops_platform",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    shutil.copy(PROJECT / "requirements.lock", folder)
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "as it is")
    (folder / "ops_platform" / "just_added.py").write_bytes(b'"""Gr\xfc\xdfe."""\n')
    with (folder / "ops_platform" / "plug_ins.py").open("a") as file:
        file.write("# Not committed.\n")
    return folder


@pytest.fixture(scope="module")
def trained(fresh_store, tmp_path_factory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    home = Home(Settings(home=folder / "home"))
    (folder / "home" / "mlflow").mkdir(parents=True)
    shutil.copy(fresh_store, folder / "home" / "mlflow" / "mlflow.db")
    project = checkout(folder / "checkout")
    made = MadeWith(code.read(project), provenance.lock_digest(project), {"orders": "d"}, "m", 1)
    for day, cause in DAYS.items():
        home.publish(order_lines(), day)
        outcome = train(
            home.lake,
            home.registry,
            read_training_set(home.lake, NAME),
            NAME,
            seed=3,
            rules=Rules(30, 7, 0.01, 0.05),
            cause=cause,
            made=made,
            now=datetime(2024, 4, 1),
        )
        assert outcome.version
        home.registry.promote(NAME, outcome.version)
    return Trained(home, project, made)


@pytest.fixture
def record(trained) -> dict:
    return provenance.read(trained.home.registry, trained.version(2))[0]


def judged(version, record, sealed=True):
    return comparison.of_record(
        record, version.tags, json.loads(version.tags["params"]), sealed=sealed
    )


def test_a_version_tells_what_it_was_made_of(trained, record):
    version = trained.version(2)
    assert provenance.read(trained.home.registry, version)[1]
    assert record["cause"] == version.tags["cause"] == DAYS[AS_OF]
    assert record["champion"]["state_digest"] == trained.version(1).tags["state_digest"]
    assert record["environment"]["lock"] == provenance.lock_digest(PROJECT)
    assert {one["num_threads"] for one in record["environment"]["blas"]} == {1}
    assert record["params"]["threads"] == record["environment"]["threads"] == 1
    assert record["data"]["views"] == {view.name: view.version for view in find_views()}
    assert record["metrics"] == version.metrics
    patch = trained.home.registry.document(version, provenance.PATCH)
    assert b"just_added.py" in patch and b"# Not committed." in patch
    assert record["data"]["snapshot"] in catalog.pins(trained.home.lake).values()


def test_a_version_has_a_card_with_its_figures(trained, record):
    version, registry = trained.version(2), trained.home.registry
    told = registry.document(version, CARD).decode()
    before = [(AS_OF - timedelta(days=20), trained.version(1).metrics["ndcg_at_20"])]
    shown = pictures(record, "NDCG@20", before)
    assert told == card(record, task_of(NAME), shown)
    assert {name: registry.document(version, name) for name in shown} == shown
    assert "| new customers |" in told
    assert told.startswith("# recommender, as of 2024-03-31\n")
    assert "Cause: alarm recommender-v1-2024-03-25." in told
    assert f"| popularity | {record['metrics']['popularity_ndcg_at_20']:.4f} |" in told
    assert f"Judged against version 1 (state `{record['champion']['state_digest'][:16]}`)" in told
    assert f"{record['data']['rows']:,} distinct customer, product and day" in told


def test_mlflows_pages_show_what_a_version_was_fitted_on_and_how_good_it_is(trained, record):
    version, client = trained.version(2), trained.home.registry._client
    run = client.get_run(version.run_id)
    assert run.info.run_name == f"as of {AS_OF}"
    [given] = run.inputs.dataset_inputs
    assert {tag.key: tag.value for tag in given.tags} == {"mlflow.data.context": "training"}
    dataset, data = given.dataset, record["data"]
    assert dataset.name == f"models/{NAME}/training_set"
    assert data["training_set"].startswith(dataset.digest)
    source = json.loads(dataset.source)
    assert (source["snapshot"], source["digest"]) == (data["snapshot"], data["training_set"])
    assert json.loads(dataset.profile) == {"num_rows": data["rows"]}
    columns = [one["name"] for one in json.loads(dataset.schema)["mlflow_colspec"]]
    assert columns == ["customer_id", "product_id", "day"]
    [made] = run.outputs.model_outputs
    assert client.get_logged_model(made.model_id).source_run_id == version.run_id
    told = summary(record, task_of(NAME))
    assert told.startswith(f"**{record['verdict']['decision']}**: ")
    assert client.get_model_version(NAME, "2").description == told
    assert run.data.tags["mlflow.note.content"] == told
    assert f"| this version | {record['metrics']['ndcg_at_20']:.4f} |" in told
    assert client.get_registered_model(NAME).description.startswith("What each customer will buy")


def test_the_card_and_the_record_are_shown_at_the_prompt(trained, record, monkeypatch):
    monkeypatch.setenv("OPS_HOME", str(trained.home.settings.home))
    shown = CliRunner().invoke(app, ["models", "show", "models/recommender@1"])
    assert shown.stdout.startswith("version 1 of recommender\n")
    # Without a terminal as Markdown.
    assert "\n# recommender, as of " in shown.stdout
    assert "Cause: by hand." in shown.stdout
    told = json.loads(CliRunner().invoke(app, ["models", "show", NAME, "--json"]).stdout)
    assert (told["version"], told["sealed"], told["record"]) == (2, True, record)


def test_the_interval_of_a_mean_is_that_of_a_bootstrap_paired_by_customer():
    scores = pd.DataFrame({"challenger": [0.0, 0.0, 0.0, 1.0]})
    found = quality(scores.assign(popularity=scores["challenger"] - 0.25), seed=1)
    # Of four customers one has 1: so many of a resample of four are drawn by chance.
    assert found["challenger"] == pytest.approx(
        {"mean": 0.25, "low": 0.0, "high": 0.75}
        | {"difference": 0.0, "difference_low": 0.0, "difference_high": 0.0}
    )
    assert found["popularity"]["difference_low"] == pytest.approx(0.25)
    assert found["popularity"]["difference_high"] == pytest.approx(0.25)


def test_a_version_is_made_again_bit_for_bit_and_nothing_is_written(trained, tmp_path):
    head = catalog.head(trained.home.lake)
    found = trained.reproduce(1, tmp_path)
    assert (found.outcome, found.difference) == ("identical", 0.0), found
    assert catalog.head(trained.home.lake) == head
    assert len(trained.home.registry.versions(NAME)) == 2


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("data", {"data": {"training_set": "0" * 64}}),
        ("code", {"recipe": "0" * 64}),
        ("parameters", {"params": {"neighbours": 7}}),
        ("seed", {"seed": 4}),
        ("seed", {"params": {"seed": 4}}),
        ("state", {"state_digest": "0" * 64}),
    ],
)
def test_an_altered_record_is_found_in_its_part(trained, record, part, change):
    version = trained.version(2)
    assert judged(version, record) is None
    altered = {
        name: {**record[name], **value} if isinstance(value, dict) else value
        for name, value in change.items()
    }
    found = judged(version, record | altered)
    assert (found.outcome, found.part) == ("different", part)


def test_a_part_that_a_record_has_lost_is_found_too(trained, record):
    del record["data"]["training_set"]
    assert judged(trained.version(2), record).told.startswith("training_set is None in provenance")


def test_any_other_change_of_the_record_is_found_by_its_seal(trained, record):
    assert judged(trained.version(2), record, sealed=False).part == "record"


@pytest.fixture
def compared(trained, record):
    """Make version 2 again by a changed record, and hold it against a record."""

    def made(by: dict, against: dict | None = None):
        rebuilt, learned = rebuild(trained.home.lake, by)
        original = trained.home.registry.state(trained.version(2))
        return comparison.of_rebuild(against or record, rebuilt, original, learned)

    return made


def test_a_parameter_a_seed_and_a_view_are_told_before_the_state(record, compared):
    found = compared(record | {"params": record["params"] | {"neighbours": 3}})
    assert (found.part, found.told) == ("parameters", "neighbours was 200 and is 3")
    found = compared(record | {"seed": 4})
    assert (found.part, found.told) == ("seed", "seed was 3 and is 4")
    data = record["data"] | {"views": record["data"]["views"] | {"customer_products": "another"}}
    found = compared(record, record | {"data": data})
    assert (found.part, found.told) == (
        "code",
        "the feature view customer_products is another than recorded",
    )


def test_other_digits_are_a_difference_here_and_not_comparable_elsewhere(trained, record):
    original = trained.home.registry.state(trained.version(2))
    learned = {**original, "popularity": original["popularity"] + 0.25}
    rebuilt = {
        "data": record["data"] | {"features_follow_from_marts": True},
        **{name: record[name] for name in ("recipe", "params", "environment")},
    }
    found = comparison.of_rebuild(record, rebuilt, original, learned)
    assert (found.outcome, found.part, found.difference) == ("different", "state", 0.25)
    assert found.told == "popularity is the first array that differs; largest difference 0.25"

    elsewhere = record["environment"] | {"machine": "s390x"}
    found = comparison.of_rebuild(record, rebuilt | {"environment": elsewhere}, original, learned)
    assert (found.outcome, found.difference) == ("not comparable", 0.25)
    assert f"machine was {record['environment']['machine']} and is s390x" in found.told
    assert (
        comparison.of_rebuild(
            record, rebuilt | {"environment": elsewhere}, original, original
        ).outcome
        == "identical"
    )


def test_the_largest_difference_is_told_where_numbers_are_infinite_or_none():
    one = {"threshold": np.array([np.inf, np.nan, 1.0, 2.0])}
    other = {"threshold": np.array([np.inf, np.nan, 1.0, 2.5])}
    assert comparison._largest(one, other) == 0.5
    assert comparison._largest(one, {"threshold": np.array([np.inf, 0.0, 1.0, 2.0])}) == np.inf


@pytest.mark.parametrize(
    ("content", "told"), [(b'{"model": "recomm', "Unterminated"), (b'{"seed": 3}', "lacks model, ")]
)
def test_a_record_that_is_damaged_is_told_as_such(trained, monkeypatch, content, told):
    monkeypatch.setattr(trained.home.registry.__class__, "document", lambda *_: content)
    with pytest.raises(RegistryError, match=rf"provenance\.json of version 2 .*{told}.* backup"):
        provenance.read(trained.home.registry, trained.version(2))


@pytest.fixture
def altered_row(trained, record, monkeypatch):
    """One row of the features of version 2, changed in its file of the lake."""
    with connect(trained.home.lake, snapshot=record["data"]["snapshot"]) as connection:
        ((path,),) = connection.execute(
            "SELECT data_file FROM ducklake_list_files('lake', 'customer_products', "
            f"schema => 'features', snapshot_version => {record['data']['snapshot']})"
        ).fetchall()
    before = Path(path).read_bytes()
    # An instance that has read the file keeps parts of it.
    monkeypatch.setattr("ops_platform.lake.connect._idle", {})
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE t AS FROM '{path}'")
        connection.execute("UPDATE t SET product_id = 'p999' WHERE rowid = 5")
        connection.execute(f"COPY t TO '{path}' (FORMAT parquet)")
    _sized(trained.home.lake, Path(path))
    yield
    Path(path).write_bytes(before)
    _sized(trained.home.lake, Path(path))


def _sized(lake, path: Path) -> None:
    """Let the catalog know the file's size and that of its footer, which DuckDB looks at."""
    content = path.read_bytes()
    with sqlite3.connect(lake.catalog_file) as connection:
        connection.execute(
            "UPDATE ducklake_data_file SET file_size_bytes = ?, footer_size = ? WHERE path = ?",
            [len(content), int.from_bytes(content[-8:-4], "little"), path.name],
        )


def test_an_altered_row_is_found(altered_row, record, compared):
    found = compared(record)
    assert (found.outcome, found.part) == ("different", "data")
    assert found.told.startswith(f"training_set was {record['data']['training_set']} and is")


def test_code_that_is_not_at_hand_is_named_by_its_files(trained, tmp_path):
    moved_on = tmp_path / "moved_on"
    shutil.copytree(trained.checkout, moved_on)
    shutil.rmtree(moved_on / ".git")
    recipe = moved_on / "ops_platform" / "models" / "demand.py"
    recipe.write_text(recipe.read_text().replace("REBUY_PRIOR = 20", "REBUY_PRIOR = 21"))
    found = replace(trained, checkout=moved_on).reproduce(2, tmp_path)
    assert (found.outcome, found.part) == ("not comparable", "code")
    assert found.told.endswith("Of the code here differ: ops_platform/models/demand.py")


def test_code_that_moved_on_is_taken_from_git_with_its_patch(trained, tmp_path):
    moved_on = tmp_path / "moved_on"
    shutil.copytree(trained.checkout, moved_on)
    recipe = moved_on / "ops_platform" / "models" / "demand.py"
    recipe.write_text(recipe.read_text().replace("REBUY_PRIOR = 20", "REBUY_PRIOR = 21"))
    git(moved_on, "commit", "--quiet", "--all", "-m", "another recipe")
    found = replace(trained, checkout=moved_on).reproduce(2, tmp_path)
    assert found.outcome == "identical", found


def test_another_lock_needs_the_recorded_environment(trained, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(trained.checkout, other)
    (other / "requirements.lock").write_text("numpy==1.0\n")
    found = replace(trained, checkout=other).reproduce(2, tmp_path)
    assert (found.outcome, found.part) == ("not comparable", "environment")
    assert "--in-recorded-environment" in found.told


def test_a_version_whose_snapshot_is_gone_is_not_comparable(trained, tmp_path):
    shutil.copytree(trained.home.settings.home, tmp_path / "home")
    home = Home(Settings(home=tmp_path / "home", data_path=trained.home.lake.data_path))
    with sqlite3.connect(home.lake.catalog_file) as connection:
        connection.execute(
            "DELETE FROM ducklake_snapshot WHERE snapshot_id = ?",
            [int(trained.version(1).tags["snapshot"])],
        )
    found = replace(trained, home=home).reproduce(1, tmp_path)
    assert (found.outcome, found.part) == ("not comparable", "data")
    assert f"at snapshot {trained.version(1).tags['snapshot']}" in found.told


@pytest.mark.parametrize("named", ["recommender@9", "recommender@x", "nobody"])
def test_an_unknown_version_is_refused_with_exit_code_2(trained, monkeypatch, named):
    monkeypatch.setenv("OPS_HOME", str(trained.home.settings.home))
    done = CliRunner().invoke(app, ["reproduce", named])
    assert done.exit_code == 2
    assert "error:" in done.stderr


def test_every_version_is_told_at_the_prompt_and_one_that_differs_decides(trained, monkeypatch):
    monkeypatch.setenv("OPS_HOME", str(trained.home.settings.home))
    registry = trained.home.registry
    registry.set_tag(NAME, 1, "seed", "9")
    registry.set_tag(NAME, 2, "recipe", "0" * 64)
    try:
        done = CliRunner().invoke(app, ["reproduce", "--all", "--json"])
    finally:
        registry.set_tag(NAME, 1, "seed", "3")
        registry.set_tag(NAME, 2, "recipe", trained.version(1).tags["recipe"])
    assert done.exit_code == 1
    assert "recommender@1: different" in done.stderr
    found = json.loads(done.stdout)
    assert [(one["version"], one["part"]) for one in found] == [(1, "seed"), (2, "code")]
