"""A source that changes: new columns are reported, wider types widen the table as it lies there."""

import json
from dataclasses import replace

import pytest

from ops_platform.errors import ContractError
from ops_platform.ingest.contract import Column
from ops_platform.ingest.retry import retry
from ops_platform.ingest.take_in import has_news
from ops_platform.lake import catalog
from tests.ingest.conftest import HEADER

LINE = "1,22423,CAKE STAND,{},2024-05-01 10:00:00,1.25,17.0,UK"
TOO_MANY = "3000000000"


def retyped(contract, **types):
    """The contract with other types."""
    return replace(
        contract,
        columns=tuple(replace(c, type=types.get(c.name, c.type)) for c in contract.columns),
    )


def raw_files(shop) -> set[str]:
    return {file.name for file in catalog.files(shop.lake) if "/raw/orders/" in str(file.path)}


def test_a_new_column_is_reported_and_read_once_the_contract_names_it(shop):
    shop.deliver_bytes("a.csv", f"{HEADER},Colour,Size\n{LINE.format(2)},red,9\n")
    shop.run()
    (entry,) = shop.entries()
    assert (entry.status, entry.rows_raw, entry.unnamed) == ("taken", 1, "Colour, Size")
    assert entry.trouble.startswith("new columns: Colour, Size")

    colour = Column("colour", "VARCHAR", ("Colour",), '"Colour"', "")
    shop.contract = replace(shop.contract, columns=(*shop.contract.columns, colour))
    shop.run()
    assert shop.raw("colour") == ["red"]
    assert shop.entries()[0].unnamed == "Size"


def test_a_retry_looks_again_which_columns_are_new(shop):
    bad = LINE.format("x")
    shop.deliver_bytes("a.csv", f"{HEADER},Colour\n{LINE.format(2)},red\n{bad},blue\n")
    shop.run()
    assert shop.entries()[0].unnamed == "Colour"
    colour = Column("colour", "VARCHAR", ("Colour",), '"Colour"', "")
    shop.contract = replace(shop.contract, columns=(*shop.contract.columns, colour))
    retry(shop.lake, shop.contract, shop.folder, shop.now)
    assert shop.raw("colour") == ["red"]
    assert [(entry.unnamed, entry.trouble) for entry in shop.entries()] == [(None, None)]


def test_a_new_name_in_json_lines_is_reported(shop):
    columns = [
        replace(c, inputs=(c.name,), expression=f'"{c.name}"') for c in shop.contract.columns
    ]
    shop.contract = replace(
        shop.contract, columns=tuple(columns), format="json", location="orders/*.jsonl"
    )
    line = dict(zip([c.name for c in columns],
                    ["1", "22423", "STAND", 2, "2024-05-01", 1.25, "17", "UK"], strict=True))  # fmt: skip
    shop.deliver_bytes("a.jsonl", json.dumps(line) + "\n" + json.dumps({**line, "colour": "red"}))
    shop.run()
    assert [entry.unnamed for entry in shop.entries()] == ["colour"]
    assert shop.raw() == ["1", "1"]


def test_a_wider_type_rewrites_nothing_and_reads_again_what_did_not_fit(shop):
    shop.deliver_bytes("a.csv", f"{HEADER}\n{LINE.format(2)}\n")
    shop.run()
    before = raw_files(shop)
    shop.deliver_bytes("b.csv", f"{HEADER}\n{LINE.format(3)}\n{LINE.format(TOO_MANY)}\n")
    shop.run()
    assert [why for _, why in shop.reasons()] == [["quantity: not a INTEGER"]]

    shop.contract = retyped(shop.contract, quantity="BIGINT", unit_price="DECIMAL(16, 4)")
    assert has_news(shop.lake, shop.contract, shop.folder, shop.now)
    shop.run()
    types = {name: kind for name, kind, *_ in shop.query("DESCRIBE raw.orders")}
    assert (types["quantity"], types["unit_price"]) == ("BIGINT", "DECIMAL(16,4)")
    assert shop.raw("quantity") == [2, 3, int(TOO_MANY)]
    assert shop.reasons() == []
    # The file that was sound lies there untouched.
    assert before and before <= raw_files(shop)
    assert not has_news(shop.lake, shop.contract, shop.folder, shop.now)


@pytest.mark.parametrize(
    ("kind", "why"),
    [("SMALLINT", "narrower"), ("VARCHAR", "another type"), ("DECIMAL(5,2)", "another type")],
)
def test_a_type_that_would_lose_values_is_refused(shop, a_row, kind, why):
    shop.deliver("a.csv", a_row(1))
    shop.run()
    shop.contract = retyped(shop.contract, quantity=kind)
    with pytest.raises(ContractError, match=f"quantity is .*: {why} would lose values"):
        shop.run()
    assert shop.raw("quantity") == [2]
