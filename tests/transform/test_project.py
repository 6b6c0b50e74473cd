"""The dbt project: compiled once for each state, its faults in dbt's words, its unit tests run."""

import re
import shutil

import pytest

from ops_platform.errors import OpsError
from ops_platform.lake.location import Lake
from ops_platform.settings import PROJECT, Settings
from ops_platform.simulate.shop import Shop, write_orders
from ops_platform.transform.project import manifest_path, project_digest, read_manifest, run_dbt
from tests.transform.conftest import take_in_orders, with_manifest


@pytest.fixture
def own_project(tmp_path):
    """Settings of a copy of the project that a test may change."""
    ignore = shutil.ignore_patterns("target", "logs", "dbt_packages", ".user.yml")
    shutil.copytree(PROJECT / "dbt_project", tmp_path / "dbt", ignore=ignore)
    return Settings(home=tmp_path / "home", dbt_project=tmp_path / "dbt")


def test_every_model_and_test_is_compiled(manifest):
    without = [
        name
        for name, node in manifest["nodes"].items()
        if node["resource_type"] in ("model", "test") and not node.get("compiled_code")
    ]
    assert without == []
    assert {"fct_order_lines", "fct_interactions", "dim_customers", "dim_products"} <= {
        node["name"] for node in manifest["nodes"].values() if node["schema"] == "marts"
    }


def test_the_manifest_is_made_once(compiled):
    path = manifest_path(compiled)
    made = path.stat()
    assert manifest_path(compiled) == path
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (made.st_ino, made.st_mtime_ns)


def test_the_digest_follows_what_dbt_reads_and_nothing_else(own_project):
    before = project_digest(own_project)
    for generated in ("target/manifest.json", "logs/dbt.log", ".user.yml"):
        path = own_project.dbt_project / generated
        path.parent.mkdir(exist_ok=True)
        path.write_text("generated")
    assert project_digest(own_project) == before
    model = own_project.dbt_project / "models" / "marts" / "dim_products.sql"
    text = model.read_text()
    model.write_text(text + "-- more\n")
    assert project_digest(own_project) != before
    model.write_text(text)
    assert project_digest(own_project) == before
    model.rename(model.with_name("dim_goods.sql"))
    assert project_digest(own_project) != before


def test_a_fault_is_told_in_dbts_words_and_leaves_nothing_behind(own_project):
    model = own_project.dbt_project / "models" / "marts" / "dim_products.sql"
    text = model.read_text()
    model.write_text(text.replace("stg_orders__lines", "stg_nothing"))
    with pytest.raises(OpsError) as caught:
        read_manifest(own_project)
    assert f"the dbt project in {own_project.dbt_project} does not compile" in str(caught.value)
    assert "'stg_nothing' which was not found" in str(caught.value)
    assert list((own_project.home / "dbt").iterdir()) == []


def test_its_own_unit_and_data_tests_pass_and_nothing_in_it_is_deprecated(
    compiled, tmp_path, capfd
):
    settings = with_manifest(compiled, tmp_path / "home")
    folder = tmp_path / "orders"
    write_orders(Shop(days=12, customers=20, products=15), folder)
    take_in_orders(Lake.at(settings), folder)
    code = run_dbt(settings, ["--warn-error", "--no-use-colors", "build"])
    said = capfd.readouterr().out
    assert code == 0, said
    assert re.search(r"\b1[0-9] unit tests", said)
    assert re.search(r"\b[6-9][0-9] data tests", said)
