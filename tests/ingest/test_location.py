"""Where sources are: configured, simulated, or not connected and empty with their types."""

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from ops_platform.errors import SourceError
from ops_platform.ingest.contract_file import read_contracts
from ops_platform.ingest.copies import source_location
from ops_platform.ingest.location import connected_to
from ops_platform.ingest.take_in import take_in
from ops_platform.lake.location import Lake
from ops_platform.settings import PROJECT, Settings

KEY = SecretStr("a key of the tests")
CONTRACTS = {contract.name: contract for contract in read_contracts(PROJECT / "contracts", KEY)}


def connected(settings: Settings) -> set[str]:
    return {name for name, one in CONTRACTS.items() if connected_to(settings, one) is not None}


def test_what_is_connected_follows_the_settings(tmp_path):
    assert connected(Settings(home=tmp_path)) == {"orders", "products", "customers", "events"}
    assert connected(Settings(home=tmp_path, source={"orders": "x"})) == {"orders"}
    assert connected(Settings(home=tmp_path, source={"events": "x"})) >= {"orders", "events"}
    (tmp_path / "in" / "products").mkdir(parents=True)
    folder = Settings(home=tmp_path, sources=tmp_path / "in")
    assert connected(folder) == {"products"}
    own = Settings(home=tmp_path, sources=tmp_path / "in", source={"customers": "postgresql://x/y"})
    assert connected(own) == {"products", "customers"}
    assert connected_to(own, CONTRACTS["customers"]) == "postgresql://x/y"


def test_a_source_that_is_not_connected_is_an_empty_table_of_its_types(shop, tmp_path):
    shop.contract = CONTRACTS["products"]
    take_in(shop.lake, shop.contract, None, shop.now)
    columns = shop.query("DESCRIBE raw.products")
    assert [(name, kind) for name, kind, *_ in columns] == [
        ("product_id", "VARCHAR"), ("title", "VARCHAR"), ("category", "VARCHAR"),
        ("price", "DECIMAL(12,3)"), ("introduced_on", "DATE"), ("_delivery", "VARCHAR"),
    ]  # fmt: skip
    assert shop.raw("*") == []


def test_a_folder_that_is_gone_after_it_has_delivered_is_an_error(shop, tmp_path, a_row):
    settings = Settings(home=tmp_path, sources=tmp_path)
    assert settings.home / "lake" == Lake.at(settings).home
    shop.deliver("a.csv", a_row(1))
    shop.run()
    (shop.folder / "a.csv").unlink()
    shop.folder.rmdir()
    with pytest.raises(SourceError, match="though deliveries were taken from there"):
        source_location(settings, shop.contract)


def test_a_database_is_not_looked_at_again_before_its_time(tmp_path):
    contract, clock = CONTRACTS["customers"], tmp_path / "clock"
    settings = Settings(home=tmp_path / "home", seed=1, clock=str(clock))
    clock.write_text("2024-05-01T00:00:00")
    folder = source_location(settings, contract)
    assert folder is not None
    landed = Path(folder).parent / "customers.csv"
    landed.write_bytes(b"a copy")
    left = landed.parent / ".scratch" / "of-a-dead-process"
    left.mkdir()
    source_location(settings, contract, timedelta(minutes=10))
    assert landed.read_bytes() == b"a copy"
    clock.write_text("2024-05-01T00:10:00")
    source_location(settings, contract, timedelta(minutes=10))
    assert landed.read_bytes() != b"a copy"
    assert list(left.parent.iterdir()) == []
