"""`ops replay` and the asset, on a lake that holds a small shop."""

import io
import json
import re

import dagster as dg
import pytest
from typer.testing import CliRunner

from ops_platform import cli_replay
from ops_platform.cli import app
from ops_platform.prompt import Whole
from ops_platform.replay.assets import JOB, SIDE_BY_SIDE, policies, replay_job
from ops_platform.settings import Settings
from tests.monitor.conftest import Home


@pytest.fixture(scope="module")
def home(orders, tmp_path_factory) -> Home:
    made = Home(Settings(home=tmp_path_factory.mktemp("home")))
    made.publish(orders(0.7))
    return made


@pytest.fixture
def ask(home: Home, monkeypatch):
    """The command's exit code, what it printed and what it told beside."""

    def ask(*arguments: str, at=home.settings.home):
        monkeypatch.setenv("OPS_HOME", str(at))
        done = CliRunner().invoke(app, ["replay", *arguments])
        return done.exit_code, done.stdout, " ".join(done.stderr.split())

    return ask


def test_policies_stand_side_by_side_with_both_ends(ask, home: Home, tmp_path):
    arguments = ["--policy", "every:14", "--policy", "cusum", "--from", "2024-03-21"]
    picture = tmp_path / "new" / "gain.png"

    code, out, told = ask(*arguments, "--json", "--picture", str(picture))

    assert code == 0, told
    found = json.loads(out)
    assert [one["policy"] for one in found["figures"]] == [
        "never",
        "every:14",
        "cusum",
        "daily",
    ] * 2
    assert (found["from"], found["first_champion_as_of"]) == ("2024-03-21", "2024-03-20")
    trainings = {name: len(those) for name, those in found["trainings"].items()}
    days = found["ndcg_at_20_by_day"]["all items"]
    assert (trainings["never"], trainings["daily"]) == (0, len(days) - 1)
    assert trainings["every:14"] == 2
    assert found["trainings"]["cusum"][0]["why"].startswith("alarm recommender-v1-2024-")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "fitted as of" in told

    # What was fitted is kept, for other policies too.
    before = {path: path.stat().st_mtime_ns for path in home.settings.home.glob("replay/*/*.npz")}
    more = ("--policy", "every:7", "--policy", "on_drift+worth_it")
    code, out, told = ask(*more, "--from", "2024-03-21")
    assert code == 0
    assert "fitted as of" not in told
    assert "every:7" in out
    for heading in ("trainings", "to fit", "NDCG@20", "below daily", "of daily's gain"):
        assert heading in out
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_at_80_columns_names_and_figures_stay_whole(ask, monkeypatch):
    screen = io.StringIO()
    terminal = Whole(file=screen, force_terminal=True, width=80, color_system=None)
    monkeypatch.setattr(cli_replay, "console", terminal)
    policies = ("on_performance:0.1,14", "cusum+every:14")

    ask("--policy", policies[0], "--policy", policies[1], "--from", "2024-03-21")

    lines = screen.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert all(any(f" {name} " in line for line in lines) for name in policies)
    figures = re.findall(r"(?<= )[-+]?0\.\S*(?= )", screen.getvalue())
    assert len(figures) > 24
    assert all(re.fullmatch(r"[-+]?0\.(\d{4}|\d%)", one) for one in figures)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--policy", "sometimes"], "there is no retraining policy 'sometimes'"),
        (["--from", "2024-04-10", "--to", "2024-04-01"], "is after the last, 2024-04-01"),
        (["--to", "2030-01-01"], "is later than what is published"),
        (["--from", "2020-01-01"], "two and one are needed"),
        (["--model", "purchase_probability"], "is no recommender"),
        (["--model", "oracle"], "there is no model 'oracle'"),
    ],
)
def test_what_cant_be_replayed_is_told_with_exit_code_1(ask, arguments, told):
    code, out, errors = ask(*arguments)

    assert (code, out) == (1, "")
    assert told in errors


def test_without_a_lake_it_says_what_to_do(ask, tmp_path):
    code, _, told = ask(at=tmp_path / "nothing")
    assert code == 1
    assert "nothing is published yet: materialize" in told


def test_the_asset_replays_what_its_config_names_and_else_nothing(home: Home, instance):
    def run(**config) -> dict:
        done = dg.materialize(
            [policies],
            instance=instance,
            resources={"settings": home.settings},
            run_config={"ops": {"replay__policies": {"config": config}}} if config else None,
        )
        (made,) = done.asset_materializations_for_node("replay__policies")
        return {name: value.value for name, value in made.metadata.items()}

    assert run() == {"policies": 0}

    shown = run(policies=["every:14"], first="2024-03-21", last="2024-04-10")
    assert shown["policies"] == 3
    assert (shown["from"], shown["to"]) == ("2024-03-21", "2024-04-10")
    assert "| every:14 | 1 |" in shown["all items"]
    assert shown["picture"].startswith("![gain](data:image/png;base64,")


def test_the_job_names_policies():
    definitions = dg.Definitions(
        [policies], jobs=[replay_job()], resources={"settings": Settings()}
    )
    job = definitions.resolve_job_def(JOB)
    assert job.run_config["ops"]["replay__policies"]["config"]["policies"] == SIDE_BY_SIDE
