"""The landing sensor on real files and a real lake, tick by tick."""

import dagster as dg
import pytest

from ops_platform.ingest.sensors import landing_sensor
from ops_platform.ingest.take_in import take_in
from ops_platform.settings import Settings


@pytest.fixture
def tick(shop):
    """Ticks the sensor, with the cursor that the tick before it left, or another."""
    sensor = landing_sensor([shop.contract])
    cursor = None

    def tick(again=False, settle_seconds=0):
        nonlocal cursor
        settings = Settings(
            home=shop.lake.home.parent,
            source={"orders": str(shop.folder)},
            settle_seconds=settle_seconds,
        )
        context = dg.build_sensor_context(cursor=cursor, resources={"settings": settings})
        found = sensor.evaluate_tick(context)
        if not again:
            cursor = found.cursor
        return found

    return tick


def test_a_delivery_asks_for_its_table_once(shop, tick, a_row):
    shop.deliver("a.csv", a_row(1))

    found = tick()

    assert [r.asset_selection for r in found.run_requests] == [[dg.AssetKey(["raw", "orders"])]]
    assert tick().run_requests == []


def test_a_tick_that_is_repeated_asks_by_the_same_key(shop, tick, a_row):
    shop.deliver("a.csv", a_row(1))

    keys = [tick(again=True).run_requests[0].run_key for _ in range(2)]

    assert keys[0] == keys[1]


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


def test_a_folder_that_is_missing_is_said_and_stops_nothing(shop, tick):
    shop.folder.rmdir()

    found = tick()

    assert found.run_requests == []
    assert "there is no folder" in found.skip_message
