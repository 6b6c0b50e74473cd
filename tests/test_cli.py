"""What the prompt says where something can't be done: the variable, the reason, one line."""

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from ops_platform import cli
from ops_platform.cli import app
from ops_platform.cli_status import _champion
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.models.estimators import names
from ops_platform.models.kinds import task_of
from ops_platform.models.task import CHALLENGER, Judged
from ops_platform.models.training import _metrics
from ops_platform.settings import Settings


@pytest.fixture
def said(tmp_path, monkeypatch):
    """Run `ops` in an empty home with some settings; its words, which must be a plain failure."""
    monkeypatch.setenv("OPS_HOME", str(tmp_path / "home"))

    def run(command, **settings):
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        done = CliRunner().invoke(app, command.split())
        assert (done.exit_code, type(done.exception)) == (1, SystemExit)
        return done.stderr

    return run


def test_a_wrong_setting_is_told_by_its_variable_and_never_by_its_value(said):
    assert said("status", OPS_SEED="many").startswith("error: OPS_SEED: Input should be")
    told = said("status", OPS_SEED="1", OPS_CATALOG_URL="mysql://u:s3cr@h/x")
    assert told == "error: OPS_CATALOG_URL: must be a postgresql:// URL, or unset for SQLite\n"


def test_a_fault_in_two_settings_together_is_told_too(said):
    told = said("status", OPS_EVALUATION_DAYS="3")
    assert told == "error: OPS_EVALUATION_DAYS_MIN must not be above OPS_EVALUATION_DAYS + 1\n"


@pytest.mark.parametrize("command", ["status", "ui"])
def test_a_policy_or_alarm_rule_that_is_not_there_is_told_at_once_with_those_that_are(
    said, command
):
    told = said(command, OPS_RETRAINING_POLICY="cusum+bogus")
    assert "error: OPS_RETRAINING_POLICY: there is no retraining policy 'bogus' in" in told
    assert "only cusum, every, never, " in told
    told = said(command, OPS_RETRAINING_POLICY="every:often")
    assert "the retraining policy 'every:often' can't be made" in told
    told = said(command, OPS_RETRAINING_POLICY="cusum", OPS_ALARM_RULE="bogus")
    assert "there is no file for OPS_ALARM_RULE=bogus in monitor/alarm_rules/, only " in told


def test_a_source_without_a_contract_is_a_slip_of_the_pen(said):
    assert "no contract ordres.odcs.yaml" in said("ingest", OPS_SOURCE_ORDRES="/tmp")


def test_a_source_that_fails_holds_back_no_other(said, tmp_path):
    (tmp_path / "orders").mkdir()
    header = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
    line = "536365,85123A,MUG,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom"
    (tmp_path / "orders" / "2010-12-01.csv").write_text(f"{header}\n{line}\n", encoding="utf-8")
    told = said(
        "ingest",
        OPS_SOURCE_ORDERS=str(tmp_path / "orders"),
        OPS_SOURCE_CUSTOMERS="postgresql://127.0.0.1:1/shop",
    )
    assert "error: source customers: " in told
    with connect(Lake.at(Settings(home=tmp_path / "home"))) as connection:
        assert connection.execute("SELECT count(*) FROM raw.orders").fetchone() == (1,)
        # It stands after the one that failed.
        assert connection.execute("SELECT count(*) FROM raw.products").fetchone() == (0,)


def test_without_a_terminal_a_line_says_what_goes_on(said, tmp_path):
    (tmp_path / "home").write_text("no folder")
    assert said("lake check").startswith("reading every file of the lake ...\n")


def test_an_unknown_customer_gets_no_score_that_means_nothing():
    assert (cli._score(True, 0.1234), cli._score(False, 1e-6)) == ("0.123", "popular")


def test_dbt_on_a_lake_that_is_not_there_says_so_and_makes_none(said, tmp_path):
    assert f"there is no lake in {tmp_path / 'home'} yet" in said("dbt build --select marts")
    assert not (tmp_path / "home").exists()


def test_recommending_from_nothing_says_so_and_makes_no_registry(said, tmp_path):
    assert "nothing is published yet" in said("recommend 12345")
    assert "no model guess recommends, but recommender" in said("recommend 12345 --model guess")
    assert not (tmp_path / "home" / "mlflow").exists()


def test_the_status_shows_its_sources_while_a_model_has_a_fault(tmp_path, monkeypatch):
    monkeypatch.setenv("OPS_HOME", str(tmp_path))
    registry = tmp_path / "mlflow" / "mlflow.db"
    registry.parent.mkdir()
    registry.write_bytes(b"no database" * 100)

    told, read = (CliRunner().invoke(app, ["status", *more]) for more in ([], ["--json"]))

    assert (told.exit_code, read.exit_code) == (1, 1)
    (line,) = [line for line in told.stdout.splitlines() if line.startswith("recommender: ")]
    assert line.startswith("recommender: Can't look up the champion of 'recommender'")
    assert "file is not a database" in line
    assert "orders" in told.stdout
    state = json.loads(read.stdout)
    assert state["sources"]["orders"]["deliveries"] == 0
    assert state["models"]["recommender"]["fault"].startswith("Can't look up the champion")


@pytest.mark.parametrize("model", names())
def test_the_status_tells_a_champion_by_the_score_of_its_kind(model):
    task = task_of(model)
    scores = pd.DataFrame({CHALLENGER: [0.375], **{one: [0.25] for one in task.baselines}})
    told = _champion(
        model,
        {
            **{"version": 3, "as_of": "2024-05-30", "window": {"start": "2024-05-01"}},
            **_metrics(task, Judged(scores)),
        },
    )
    start = f"champion is version 3, as of 2024-05-30; {task.title} from 2024-05-01 on 0.3750 ("
    assert told.startswith(start)
    assert told.count(" 0.2500") == len(task.baselines)
