"""The landing sensor on real files and a real lake, tick by tick."""

import socket
import time
from dataclasses import replace
from itertools import islice

import dagster as dg
import pytest
from pydantic import SecretStr

from ops_platform.automation import SETTLED_TAG
from ops_platform.ingest import sensors
from ops_platform.ingest.assets import contract_checks, raw_asset
from ops_platform.ingest.contract_file import read_contract
from ops_platform.ingest.sensors import landing_sensor, state_tag
from ops_platform.ingest.take_in import take_in
from ops_platform.settings import PROJECT, Settings

CUSTOMERS = replace(
    read_contract(PROJECT / "contracts" / "customers.odcs.yaml"),
    key=SecretStr("a key of the tests"),
)

PRODUCTS = read_contract(PROJECT / "contracts" / "products.odcs.yaml")


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def ends(instance):
    """Lets a run that was asked for end, well or not."""

    def ends(request, well=True):
        @dg.op
        def work():
            assert well

        @dg.job
        def landed():
            work()

        landed.execute_in_process(instance=instance, tags=request.tags, raise_on_error=False)

    return ends


@pytest.fixture
def tick(shop, instance):
    """Ticks the sensor, with the cursor that the tick before it left, or another."""
    sensor = landing_sensor([shop.contract])
    cursor = None

    def tick(again=False, settle_seconds=0, retry_seconds=3600):
        nonlocal cursor
        settings = Settings(
            home=shop.lake.home.parent,
            source={"orders": str(shop.folder)},
            settle_seconds=settle_seconds,
            retry_seconds=retry_seconds,
        )
        context = dg.build_sensor_context(
            instance=instance, cursor=cursor, resources={"settings": settings}
        )
        found = sensor.evaluate_tick(context)
        if not again:
            cursor = found.cursor
        return found

    return tick


def test_a_delivery_asks_for_its_table_once(shop, tick, ends, a_row):
    shop.deliver("a.csv", a_row(1))

    (request,) = tick().run_requests

    assert request.asset_selection == [dg.AssetKey(["raw", "orders"])]
    ends(request)
    assert tick().run_requests == []


def test_a_tick_that_is_repeated_asks_by_the_same_key(shop, tick, a_row):
    shop.deliver("a.csv", a_row(1))

    keys = [tick(again=again).run_requests[0].run_key for again in (True, False, True)]

    assert len(set(keys)) == 1


def test_what_has_been_taken_in_already_asks_for_nothing(shop, tick, a_row):
    shop.deliver("a.csv", a_row(1))
    take_in(shop.lake, shop.contract, shop.folder, shop.now)

    assert tick().run_requests == []


def test_a_delivery_that_grows_is_waited_for(shop, tick, a_row):
    shop.deliver("a.csv", a_row(1))

    found = tick(settle_seconds=3600)

    assert found.run_requests == []
    assert "has changed just now" in found.skip_message
    shop.deliver("a.csv", a_row(1), a_row(2))
    assert len(tick().run_requests) == 1


def test_a_correction_and_a_file_that_is_gone_ask_again(shop, tick, a_row):
    path = shop.deliver("a.csv", a_row(1))
    first = tick().run_requests[0].run_key
    take_in(shop.lake, shop.contract, shop.folder, shop.now)

    shop.deliver("a.csv", a_row(1), a_row(2))
    second = tick().run_requests[0].run_key
    take_in(shop.lake, shop.contract, shop.folder, shop.now)
    path.unlink()
    third = tick().run_requests[0].run_key

    assert len({first, second, third}) == 3


def test_a_source_that_delivers_all_the_time_is_taken_in_all_the_same(shop, tick, a_row):
    path = shop.deliver("a.csv", a_row(1))
    settle_seconds = 0.3
    time.sleep(settle_seconds)  # nothing else makes a file old: its ctime can't be set
    shop.deliver("b.csv", a_row(2))

    (request,) = tick(settle_seconds=settle_seconds).run_requests

    settled_ns = int(request.tags[SETTLED_TAG])
    assert path.stat().st_ctime_ns <= settled_ns
    take_in(shop.lake, shop.contract, shop.folder, shop.now, settled_ns=settled_ns)
    assert shop.status() == [("a.csv", "taken")]
    time.sleep(settle_seconds)
    assert len(tick(settle_seconds=settle_seconds).run_requests) == 1


def test_a_correction_that_grows_leaves_what_is_there_and_asks_for_nothing(shop, tick, a_row):
    shop.deliver("a.csv", a_row(1))
    shop.run()
    shop.deliver("a.csv", a_row(1), a_row(2))

    settled_ns = time.time_ns() - int(3600e9)

    assert not take_in(
        shop.lake, shop.contract, shop.folder, shop.now, settled_ns=settled_ns
    ).changed
    assert shop.status() == [("a.csv", "taken")]
    assert tick(settle_seconds=3600).run_requests == []


def test_a_failed_run_is_asked_for_again_after_a_while_under_another_key(shop, tick, ends, a_row):
    shop.deliver("a.csv", a_row(1))
    (first,) = tick().run_requests
    ends(first, well=False)

    waits = tick()
    (second,) = tick(retry_seconds=0).run_requests
    ends(second, well=False)
    (third,) = tick(retry_seconds=0).run_requests

    assert "its run failed, tried again at" in waits.skip_message
    assert len({first.run_key, second.run_key, third.run_key}) == 3
    assert first.tags[state_tag("orders")] == third.tags[state_tag("orders")]


def test_a_run_that_failed_after_it_took_all_in_is_asked_for_again_for_its_checks(
    shop, tick, ends, a_row
):
    shop.deliver("a.csv", a_row(1))
    ends(tick().run_requests[0], well=False)
    shop.run()

    (again,) = tick(retry_seconds=0).run_requests

    ends(again)
    assert tick(retry_seconds=0).run_requests == []


def test_a_run_that_went_well_is_not_asked_for_again_whatever_it_left(shop, tick, ends, a_row):
    shop.deliver("a.csv", a_row(1))
    ends(tick().run_requests[0])

    assert [tick(retry_seconds=0).skip_message for _ in range(2)] == ["nothing new"] * 2


def test_a_delivery_that_can_not_be_read_is_asked_for_until_it_can(shop, tick, ends, a_row):
    shop.deliver("a.csv", a_row(1))
    broken = shop.folder / "b.csv"
    broken.symlink_to("/proc/self/mem")

    def taken(found):
        (request,) = found.run_requests
        shop.run()
        ends(request)
        return request

    # Held open, or the system may make its node anew, with other times.
    with broken.open("rb"):
        first = taken(tick())
        waits = tick()
        second = taken(tick(retry_seconds=0))
    broken.unlink()
    shop.deliver("b.csv", a_row(2))
    taken(tick())

    assert "orders: b.csv can't be read, tried again at" in waits.skip_message
    # Nothing of the file has changed.
    assert first.tags[state_tag("orders")] == second.tags[state_tag("orders")]
    assert first.run_key != second.run_key
    assert shop.raw() == ["1", "2"]
    assert tick(retry_seconds=0).skip_message == "nothing new"


@pytest.mark.parametrize("checked", [True, False])
def test_a_neighbour_that_fails_in_the_run_is_tried_again_by_itself(
    shop, instance, tmp_path, a_row, checked
):
    both, products = [PRODUCTS, shop.contract], tmp_path / "products"
    products.mkdir()
    (products / "a.json").touch()
    shop.deliver("a.csv", a_row(1))
    sensor, cursor = landing_sensor(both), None

    def tick(retry_seconds):
        nonlocal cursor
        settings = Settings(
            home=shop.lake.home.parent,
            source={"orders": str(shop.folder), "products": str(products)},
            settle_seconds=0,
            retry_seconds=retry_seconds,
        )
        context = dg.build_sensor_context(
            instance=instance, cursor=cursor, resources={"settings": settings}
        )
        found = sensor.evaluate_tick(context)
        cursor = found.cursor
        return found, settings

    first, settings = tick(3600)
    away = products.rename(tmp_path / "away")
    dg.materialize(
        [raw_asset(one) for one in both] + [contract_checks(one) for one in both if checked],
        instance=instance,
        resources={"settings": settings},
        tags=first.run_requests[0].tags,
        raise_on_error=False,
    )
    away.rename(products)
    waits, _ = tick(3600)
    again, _ = tick(0)

    assert {key.path[-1] for key in first.run_requests[0].asset_selection} == {"products", "orders"}
    assert shop.raw() == ["1"]
    assert "products: its run failed" in waits.skip_message
    # What was taken in and died before its checks is asked for too.
    assert ("orders: its run failed" in waits.skip_message) == (not checked)
    tried = {key.path[-1] for key in again.run_requests[0].asset_selection}
    assert tried == ({"products"} if checked else {"products", "orders"})


def test_while_a_run_of_the_source_is_under_way_nothing_is_asked(shop, tick, instance, a_row):
    shop.deliver("a.csv", a_row(1))
    (request,) = tick().run_requests
    run = dg.DagsterRun("landed", tags=request.tags, status=dg.DagsterRunStatus.STARTED)
    instance.add_run(run)
    shop.deliver("b.csv", a_row(2))

    assert tick().skip_message == "orders: its run is under way"
    instance.report_run_canceled(run)
    assert len(tick().run_requests) == 1


def test_deliveries_that_were_away_and_are_back_ask_again(shop, tick, ends, a_row):
    shop.deliver("a.csv", a_row(1))
    away = shop.folder.with_name("away")

    def taken():
        (request,) = tick().run_requests
        shop.run()
        ends(request)
        return request.run_key

    first = taken()
    shop.folder.rename(away)
    shop.folder.mkdir()
    taken()
    shop.folder.rmdir()
    away.rename(shop.folder)  # a file in it has the time that it had

    assert taken() != first


def test_a_folder_that_is_missing_is_said_and_stops_nothing(shop, tick):
    shop.folder.rmdir()

    found = tick()

    assert found.run_requests == []
    assert "there is no folder" in found.skip_message


def test_what_another_source_waits_for_is_logged_by_a_tick_that_asks_for_a_run(
    shop, instance, a_row, caplog
):
    shop.deliver("a.csv", a_row(1))
    settings = Settings(
        home=shop.lake.home.parent,
        source={"orders": str(shop.folder), "customers": str(shop.folder / "none.sqlite")},
        settle_seconds=0,
    )
    context = dg.build_sensor_context(instance=instance, resources={"settings": settings})
    context.log.addHandler(caplog.handler)

    found = landing_sensor([CUSTOMERS, shop.contract]).evaluate_tick(context)

    (request,) = found.run_requests
    assert request.asset_selection == [dg.AssetKey(["raw", "orders"])]
    assert "none.sqlite can't be read: there is no such file" in caplog.text


def test_a_server_that_hangs_holds_up_its_own_source_only(shop, instance, a_row, monkeypatch):
    monkeypatch.setattr(sensors, "COPIES_SECONDS", 0.2)
    shop.deliver("a.csv", a_row(1))
    sensor = landing_sensor([CUSTOMERS, shop.contract])

    def tick(cursor):
        context = dg.build_sensor_context(
            instance=instance, cursor=cursor, resources={"settings": settings}
        )
        return sensor.evaluate_tick(context)

    # It takes connections, and says nothing.
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        address = f"postgresql://me@127.0.0.1:{hanging.getsockname()[1]}/shop"
        settings = Settings(
            home=shop.lake.home.parent,
            source={"orders": str(shop.folder), "customers": address},
            settle_seconds=0,
        )
        first = tick(None)
        take_in(shop.lake, shop.contract, shop.folder, shop.now)
        second = tick(first.cursor)

    assert len(first.run_requests) == 1
    assert second.skip_message == "customers: its copy is still being made, the others go on"
    told = (tick(first.cursor).skip_message for _ in iter(int, 1))
    assert any("customers: the Postgres database" in one for one in islice(told, 1000))
