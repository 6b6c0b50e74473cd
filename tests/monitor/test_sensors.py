"""The watching sensors, tick by tick, on a real lake, registry and Dagster instance."""

from datetime import datetime, timedelta

import dagster as dg
import pytest
from dagster._core.storage.tags import SENSOR_NAME_TAG
from dagster_dbt.errors import DagsterDbtCliRuntimeError

from ops_platform.automation import CAUSE_TAG, MAX_RETRIES, RETRAINING, data_automation
from ops_platform.errors import MonitorError, OpsError
from ops_platform.failures import told_plainly
from ops_platform.ingest.contract_file import read_contract_of, read_contracts
from ops_platform.ingest.rows import make_tables
from ops_platform.lake import catalog, faults
from ops_platform.lake.acceptance import accept
from ops_platform.lake.history import Judgement
from ops_platform.lake.published import Published, publish, published_or_none
from ops_platform.lake.write import write
from ops_platform.models.provenance import made_with
from ops_platform.models.task import Rules as TrainingRules
from ops_platform.models.training import read_training_set, train
from ops_platform.monitor.sensors import (
    AS_OF_TAG,
    CAUSE_ID_TAG,
    failed_run_sensor,
    missing_sensor,
    retraining_sensor,
)
from ops_platform.serve import release
from ops_platform.settings import Settings
from tests.monitor.conftest import AS_OF, NAME, NEWEST, Home

MODEL = dg.AssetKey(["models", NAME])


@pytest.fixture
def tick(home: Home, instance):
    """Ticks the retraining sensor of this home, with settings of the test's own."""

    def tick(**settings) -> dg.SensorResult:
        given = Settings(home=home.settings.home, **settings)
        context = dg.build_sensor_context(instance, resources={"settings": given})
        return retraining_sensor([NAME]).evaluate_tick(context)

    return tick


@pytest.fixture
def alarmed(home: Home, orders) -> Home:
    """A home whose champion alarms."""
    home.publish(orders(0.8))
    home.crown()
    assert home.watch().drift["alarm"].any()
    return home


def run(instance, request, decision: str | None) -> None:
    """A run as the sensor asked for it, in which the gate decides so, or which fails."""

    @dg.asset(key=MODEL)
    def model() -> dg.MaterializeResult:
        if decision is None:
            raise RuntimeError("no memory")
        return dg.MaterializeResult(metadata={"decision": decision})

    job = dg.Definitions(
        [model], jobs=[dg.define_asset_job(RETRAINING, selection=[MODEL])]
    ).resolve_job_def(RETRAINING)
    job.execute_in_process(instance=instance, tags=request.tags, raise_on_error=False)


def test_before_anything_is_published_it_waits(tick):
    assert tick().skip_message == "no features are published yet"


def test_a_model_without_a_champion_is_asked_for(home: Home, orders, tick):
    home.publish(orders(0.0), AS_OF)

    (request,) = tick().run_requests

    assert request.tags[CAUSE_TAG] == f"{NAME} has no champion yet"
    assert MODEL in request.asset_selection
    assert dg.AssetKey(["serve", "release"]) in request.asset_selection


def test_a_champion_that_is_broken_holds_up_its_own_model_only(
    home: Home, orders, instance, caplog
):
    home.publish(orders(0.0))
    broken = home.crown(name="second")
    home.registry._client.delete_model_version_tag("second", str(broken), "state_digest")
    context = dg.build_sensor_context(instance, resources={"settings": home.settings})
    context.log.addHandler(caplog.handler)

    found = retraining_sensor(["second", NAME]).evaluate_tick(context)

    (request,) = found.run_requests
    assert MODEL in request.asset_selection
    assert f"second: Version {broken} of 'second' lacks the tags state_digest" in caplog.text


def test_a_champion_without_an_alarm_is_left_alone(home: Home, orders, tick):
    home.publish(orders(0.0))
    home.crown()
    home.watch()

    found = tick()

    assert found.run_requests == []
    assert found.skip_message == "by cusum there is no reason to retrain"


def test_the_alias_follows_a_release_that_somebody_went_back_to(home: Home, orders, tick):
    home.publish(orders(0.0))
    assert (home.crown(), home.crown()) == (1, 2)
    folder = release.folder_of(home.settings.releases, NAME)
    folder.mkdir(parents=True)

    release.point_to(folder, "v1-0123456789ab")
    assert tick().skip_message == "by cusum there is no reason to retrain"
    assert home.registry.champion(NAME).version == 1

    release.point_to(folder, "v9-0123456789ab")
    assert f"the registry has no version 9 of '{NAME}'" in tick().skip_message
    assert home.registry.champion(NAME).version == 1


def test_an_alarm_asks_for_one_run_by_its_key_with_its_cause(alarmed: Home, tick):
    (request,), (again,) = tick().run_requests, tick().run_requests

    assert request.run_key == again.run_key == f"{request.tags[CAUSE_ID_TAG]}#1"
    assert request.tags[CAUSE_TAG].startswith(f"alarm {NAME}-v1-")
    assert request.tags[AS_OF_TAG] == NEWEST.isoformat()


def test_the_policy_of_the_settings_decides(home: Home, orders, tick):
    home.publish(orders(0.0))
    home.crown()
    home.watch()
    age = (NEWEST - AS_OF).days

    (request,) = tick(retraining_policy=f"cusum+every:{age}").run_requests
    assert request.run_key == f"{NAME}-v1-{age}-days#1"
    assert request.tags[CAUSE_TAG] == f"the champion is {age} days old, retrained every {age}"
    (request,) = tick(retraining_policy="worth_it:cost=0.001").run_requests
    assert request.tags[CAUSE_ID_TAG].startswith(f"{NAME}-v1-worth-2024-W")
    assert tick(retraining_policy="worth_it:cost=1e6").run_requests == []
    with pytest.raises(OpsError, match="only cusum, every, "):
        tick(retraining_policy="sometimes")


def test_a_months_budget_counts_what_the_registry_holds(home: Home, orders, tick):
    home.publish(orders(0.0))
    home.crown(NEWEST.replace(day=2))
    home.crown(NEWEST.replace(day=5))

    found = tick(retraining_policy="every:10", retrainings_a_month=2)
    assert found.run_requests == []
    assert "2 trainings in 2024-04, OPS_RETRAININGS_A_MONTH allows 2" in found.skip_message
    assert len(tick(retraining_policy="every:10", retrainings_a_month=3).run_requests) == 1


def test_a_young_champion_waits_and_says_so(alarmed: Home, tick):
    days = (NEWEST - AS_OF + timedelta(days=1)).days

    found = tick(cooldown_days=days)

    assert found.run_requests == []
    assert f"{days} are needed" in found.skip_message


def test_a_challenger_that_loses_settles_the_alarm(alarmed: Home, tick, instance):
    run(instance, tick().run_requests[0], "worse")

    found = tick()

    assert found.run_requests == []
    assert "settled, worse" in found.skip_message
    # Of another policy there is a reason still.
    age = (NEWEST - AS_OF).days
    (request,) = tick(retraining_policy=f"cusum+every:{age}").run_requests
    assert request.run_key == f"{NAME}-v1-{age}-days#1"


def test_a_failed_run_is_tried_again_under_another_key(alarmed: Home, tick, instance):
    first = tick().run_requests[0]
    run(instance, first, None)

    assert tick(retry_seconds=3600).run_requests == []
    (second,) = tick(retry_seconds=0).run_requests
    assert second.run_key == first.run_key.replace("#1", "#2")


def test_unfit_data_that_is_accepted_begins_the_attempts_anew(home: Home, orders, tick, instance):
    home.publish(orders(0.0), AS_OF)
    half = Judgement("volume", "", 100.0, 200.0, None, None, None, None, "unfit")

    def judge(connection) -> None:
        make_tables(connection, read_contract_of("orders", home.settings.contracts, None))
        faults.make(connection)
        profile = f"'{faults.DELIVERY}' AS \"column\", 100 AS rows, MAP {{}} AS parts"
        connection.execute(
            f"INSERT INTO {faults.PROFILES} BY NAME SELECT 'orders' AS source, ? AS period, {profile}",
            [AS_OF],
        )
        faults.write_judgements(connection, "orders", {AS_OF: [half]})

    write(home.lake, judge)
    run(instance, tick().run_requests[0], None)
    assert tick(retry_seconds=3600).run_requests == []

    accept(home.lake, "orders", AS_OF, who="ann", why="", now=datetime(2024, 5, 1))
    assert len(tick(retry_seconds=3600).run_requests) == 1


def test_a_champion_that_was_deleted_by_hand_is_asked_for_again(home: Home, orders, tick, instance):
    home.publish(orders(0.0), AS_OF)
    first = tick().run_requests[0]
    run(instance, first, "first")
    home.registry._client.delete_model_version(NAME, str(home.crown()))

    (again,) = tick().run_requests
    assert again.run_key == first.run_key.replace("#1", "#2")


@pytest.mark.long
def test_a_version_that_lost_against_a_deleted_champion_keeps_none_from_being_trained(
    home: Home, orders
):
    home.publish(orders(0.0), AS_OF)

    def trained() -> int | None:
        rows, rules = read_training_set(home.lake, NAME), TrainingRules(28, 7, 0.01, 0.05)
        return train(
            home.lake,
            home.registry,
            rows,
            NAME,
            seed=0,
            rules=rules,
            cause="",
            now=datetime(2024, 5, 1),
            made=made_with(home.settings),
        ).version

    assert (trained(), trained()) == (1, None)
    home.registry._client.set_model_version_tag(NAME, "1", "verdict", '{"promote": false}')
    assert trained() == 2


def test_too_early_is_asked_again_only_when_there_are_newer_days(
    alarmed: Home, orders, tick, instance
):
    request = tick().run_requests[0]
    run(instance, request._replace(tags={**request.tags, AS_OF_TAG: "2024-04-01"}), "too early")
    assert len(tick().run_requests) == 1

    run(instance, request, "too early")
    assert "newer days are awaited" in tick().skip_message


DBT_SAID = """The dbt CLI process with command `dbt build` failed with exit code `2`.
Encountered an error:
Database Error in model dim_products (models/marts/dim_products.sql)
  unable to connect: password=secret
Failure in test unique_dim_products (models/marts/_marts.yml)
ops_platform.errors.LakeBusyError: another process writes: wait for it
"""


@pytest.mark.parametrize(
    ("error", "retried", "told"),
    [
        (
            MonitorError("the champion is gone: train another"),
            True,
            "the champion is gone: train another; it is tried again",
        ),
        (
            DagsterDbtCliRuntimeError(DBT_SAID),
            False,
            "Error in model dim_products, Failure in test unique_dim_products, "
            "LakeBusyError: another process writes: wait for it",
        ),
        (
            ConnectionError("postgresql://ops:secret@db"),
            False,
            "ConnectionError, see the log of the run",
        ),
    ],
)
def test_a_failed_run_is_told_with_its_cause(home: Home, instance, webhook, error, retried, told):
    @dg.asset(key=MODEL)
    @told_plainly()
    def model() -> None:
        raise error

    tags = {CAUSE_TAG: "alarm x", **(MAX_RETRIES if retried else {})}

    assert alerts_of_failed(home, instance, webhook, [model], tags) == [
        f"failed (alarm x): models__recommender: {told}"
    ]


def test_of_a_run_of_the_automation_that_is_given_up_it_is_told_what_asks_again(
    home: Home, instance, webhook
):
    @dg.asset(key=MODEL)
    def marts() -> None:
        raise OSError

    tags = {**MAX_RETRIES, SENSOR_NAME_TAG: data_automation().name}
    for more in ({}, dict.fromkeys(MAX_RETRIES, "0")):
        alerts_of_failed(home, instance, webhook, [marts], tags | more)
    retried, given_up = (alert["text"] for alert in webhook[1])

    assert "\ndone: it is tried again\n" in retried
    assert "nothing asks for it again before a source has news or `nightly` runs" in given_up


def test_a_blocking_check_that_fails_is_told_by_its_name(home: Home, instance, webhook):
    @dg.asset(check_specs=[dg.AssetCheckSpec("whole", asset="model", blocking=True)])
    def model() -> dg.MaterializeResult:
        return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=False)])

    (text,) = alerts_of_failed(home, instance, webhook, [model], {})

    assert "1 blocking asset check failed" in text
    assert webhook[1][-1]["text"].startswith("blocked by a check: run ")
    assert "whole" in text


def alerts_of_failed(home: Home, instance, webhook, assets, tags) -> list[str]:
    """What the sensor sends of a run of these assets, from `failed` on."""
    address, got = webhook
    done = dg.materialize(assets, instance=instance, tags=tags, raise_on_error=False)
    context = dg.build_run_status_sensor_context(
        "failed_runs",
        done.get_run_failure_event(),
        instance,
        instance.get_run_by_id(done.run_id),
        resources={"settings": Settings(home=home.settings.home, webhook=address)},
    ).for_run_failure()
    failed_run_sensor()(context)
    assert done.run_id[:8] in got[-1]["text"]
    lines = [alert["text"].partition("\nlook at: ")[0].replace("\ndone: ", "; ") for alert in got]
    return [line[line.index("failed") :] for line in lines]


@pytest.fixture
def look(home: Home, webhook, tmp_path):
    """Ticks the sensor of missing data on a day, each tick with the cursor of the one before."""
    contracts = read_contracts(home.settings.contracts)
    beside = [contract for contract in contracts if contract.name == "served"]
    address, got = webhook
    clock, cursor = tmp_path / "clock", [None]

    def look(day: str) -> tuple[list[str], str]:
        clock.write_text(day)
        given = Settings(home=home.settings.home, clock=str(clock), webhook=address)
        context = dg.build_sensor_context(cursor=cursor[0], resources={"settings": given})
        sent = len(got)
        found = missing_sensor(contracts, beside).evaluate_tick(context)
        cursor[0] = found.cursor
        return [alert["text"] for alert in got[sent:]], found.skip_message

    return look


def take_in(home: Home, table: str, column: str, event: str) -> None:
    """Have an event in a raw table, not published."""

    def work(connection) -> None:
        connection.execute("CREATE SCHEMA IF NOT EXISTS raw")
        connection.execute(f"CREATE OR REPLACE TABLE raw.{table} AS SELECT '{event}' AS {column}")

    write(home.lake, work)


def publish_all(home: Home) -> None:
    head = catalog.head(home.lake)
    publish(home.lake, Published(head, head), published_or_none(home.lake))


def test_a_source_that_is_late_is_told_once_until_it_has_delivered(home: Home, look):
    assert look("2024-01-20") == ([], "every source is as fresh as promised")
    take_in(home, "orders", "ordered_at", "2024-01-10")
    publish_all(home)

    assert look("2024-01-14") == ([], "every source is as fresh as promised")
    (alert,), waits = look("2024-01-15")
    assert alert == f"missing data: {waits}\nlook at: ops status"
    assert waits.startswith("orders: the newest event is of 2024-01-10 00:00")
    assert "4 days" in waits
    assert look("2024-01-16") == ([], waits)

    take_in(home, "orders", "ordered_at", "2024-01-15")
    assert look("2024-01-17") == ([], waits), "what is not published does not count"
    publish_all(home)
    assert look("2024-01-18") == ([], "every source is as fresh as promised")
    assert len(look("2024-01-20")[0]) == 1


def test_what_was_served_counts_when_it_is_taken_in(home: Home, look):
    take_in(home, "served", "served_at", "2024-01-10")
    publish_all(home)
    take_in(home, "served", "served_at", "2024-01-15")

    assert look("2024-01-16") == ([], "every source is as fresh as promised")
    (alert,), _ = look("2024-01-17")
    assert alert.startswith("missing data: served: the newest event is of 2024-01-15")
