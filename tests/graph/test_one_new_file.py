"""A source, a feature view, a mart and a model are one new file each, with no edit elsewhere."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from ops_platform.settings import PROJECT
from ops_platform.simulate.shop import Shop, write_orders

pytestmark = [pytest.mark.graph, pytest.mark.long]

VIEWS = "ops_platform/features/views"
ZOO = "ops_platform/models/zoo"
LIST = """
import json
from ops_platform.definitions import defs
graph = defs.resolve_asset_graph()
keys = sorted(key.to_user_string() for key in graph.get_all_asset_keys())
checks = sorted(f"{k.asset_key.to_user_string()}:{k.name}" for k in graph.asset_check_keys)
print(json.dumps([keys, checks]))
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The project with one file more of each kind, and its environment."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("ops_platform", "contracts", "dbt_project"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    _derive(folder / "contracts/orders.odcs.yaml", "returns", ("orders", "returns"))
    _derive(
        folder / VIEWS / "customer_activity.py",
        "activity_again.py",
        ("customer_activity", "activity_again"),
    )
    _derive(
        folder / ZOO / "recommender.py",
        "second_guess.py",
        ("class Recommender", "class SecondGuess"),
    )
    _derive(
        folder / ZOO / "purchase_probability.py",
        "churn.py",
        ("class PurchaseProbability", "class Churn"),
    )
    (folder / "dbt_project/models/marts/fct_guests.sql").write_text(
        "{{ config(contract={'enforced': false}) }}\n"
        "select order_id, amount from {{ ref('stg_orders__lines') }} where customer_id is null\n",
        encoding="utf-8",
    )
    # Of probabilities two horizons and more must have passed.
    shop = Shop(seed=2, days=80, customers=60, products=50)
    for source in ("orders", "returns"):
        write_orders(shop, folder / "sources" / source)
    environment = {
        **os.environ,
        "OPS_HOME": str(folder / "home"),
        "OPS_SOURCES": str(folder / "sources"),
        "PYTHONPATH": str(folder),
    }
    return folder, environment


def _derive(path, name, replacement):
    text = path.read_text(encoding="utf-8").replace(*replacement)
    target = f"{name}.odcs.yaml" if path.suffix == ".yaml" else name
    (path.parent / target).write_text(text, encoding="utf-8")


def _python(copy, *arguments):
    folder, environment = copy
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_each_new_file_is_in_the_graph_with_its_checks(copy):
    done = _python(copy, "-c", LIST)

    assert done.returncode == 0, done.stderr[-3000:]
    keys, checks = json.loads(done.stdout.splitlines()[-1])
    assert {
        "raw/returns",
        "marts/fct_guests",
        "features/activity_again",
        "models/second_guess",
        "models/second_guess/training_set",
        "models/churn",
        "models/churn/training_set",
        "monitor/drift",
    } <= set(keys)
    assert "raw/returns:contract_quantity" in checks
    assert "features/activity_again:schema" in checks
    assert "models/second_guess:beats_baselines" in checks
    assert "models/second_guess:drift" in checks
    assert "models/churn:beats_baselines" in checks


def test_the_graph_runs_with_them(copy):
    done = _python(
        copy, "-m", "dagster", "asset", "materialize", "-m", "ops_platform.definitions",
        "--select", "*",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr[-4000:]
    state = json.loads(
        _python(
            copy,
            "-c",
            "import sys; sys.argv = ['ops', 'status', '--json']; from ops_platform.cli import app; app()",
        ).stdout
    )
    assert state["sources"]["returns"]["rows_raw"] == state["sources"]["orders"]["rows_raw"] > 0
    assert state["models"]["second_guess"]["version"] == 1
    assert state["models"]["churn"]["version"] == 1
    assert state["models"]["churn"]["release"] is None
