"""The demo's story, and which homes it may start over in."""

from datetime import date, timedelta

import pytest

from ops_platform.demo import MARK, STEP_DAYS, _fresh, story
from ops_platform.errors import OpsError
from ops_platform.ingest.contract_file import read_contract
from ops_platform.ingest.take_in import take_in
from ops_platform.lake.location import Lake
from ops_platform.simulate.shop import Shop, write_orders


def test_the_story_is_months_a_few_quiet_days_the_shift_and_days_to_see_it():
    told = story()
    first, quiet, *later = told.ends

    assert (first - told.shop.start).days > 120
    assert first < quiet < told.shift < later[0]
    assert [after - before for before, after in zip([quiet, *later], later, strict=False)] == [
        timedelta(days=STEP_DAYS)
    ] * len(later)
    assert told.shop.start + timedelta(days=told.shop.days - 1) == later[-1]
    assert [drift.day for drift in told.shop.drifts] == [told.shift]


def test_a_fresh_home_has_a_clock_before_the_first_order(tmp_path):
    settings = _fresh(tmp_path / "home")
    assert settings.now().date() == story().shop.start
    assert (settings.home / MARK).exists()


def test_a_home_of_something_else_is_refused_and_left(tmp_path):
    (tmp_path / "thesis.txt").write_text("months of work")
    with pytest.raises(OpsError, match="holds something else than a demo"):
        _fresh(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "months of work"


def test_a_demo_starts_over_in_its_own_home_but_not_where_somebody_went_on(tmp_path):
    settings = _fresh(tmp_path / "home")
    for folder in (settings.home / "simulated" / "orders", tmp_path / "mine"):
        write_orders(Shop(start=date(2024, 1, 1), days=2, customers=9, products=9), folder)
        (settings.home / "left").touch()
        contract = read_contract(settings.contracts / "orders.odcs.yaml")
        take_in(Lake.at(settings), contract, folder, settings.now())
        if folder.is_relative_to(settings.home):
            _fresh(settings.home)
            assert not (settings.home / "left").exists()
    with pytest.raises(OpsError, match="holds orders that are not the demo's"):
        _fresh(settings.home)
    assert (settings.home / "left").exists()
