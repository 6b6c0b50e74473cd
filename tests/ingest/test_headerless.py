"""Files without a header: the contract names their columns, by position."""

from dataclasses import replace

import pytest

from ops_platform.errors import ContractError
from ops_platform.ingest.contract_file import read_contract
from ops_platform.settings import PROJECT

NAMES = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice",
         "CustomerID", "Country")  # fmt: skip
LINE = "{}\t22423\tCAKE STAND\t2\t2024-05-01 10:00:00\t1.25\t17.0\tUK\n"


@pytest.fixture
def headerless(shop, orders_contract):
    shop.contract = replace(orders_contract, names=NAMES, delimiter="\t", location="orders/*")
    return shop


@pytest.mark.parametrize("odd", ["", '3\t22423\t"a ""b"" c\nd"\t2\t2024-05-01\t1\t\tUK\n'])
def test_the_first_line_is_a_record(headerless, odd):
    headerless.deliver_bytes("a.tsv", LINE.format(1) + odd + LINE.format(2) + LINE.format("x"))
    headerless.run()
    assert headerless.raw() == ["1", "2", *(["3"] if odd else [])]
    lines = 5 if odd else 3
    assert headerless.reasons() == [(lines, ["order_id: does not match ^[A-Z]?[0-9]+$"])]


def test_a_line_of_other_length_is_quarantined(headerless):
    headerless.deliver_bytes("a.tsv", "1\t2\n" + LINE.format(1))
    headerless.run()
    assert headerless.raw() == ["1"]
    assert headerless.reasons() == [(1, ["can't be parsed: 2 fields, the header has 8"])]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not even one record was delivered"),
        (LINE.replace("\t", ",").encode(), "no line has 8 fields"),
        (LINE.encode() + b"\xff\n", "not UTF-8 at byte"),
    ],
)
def test_a_file_that_is_something_else_is_refused(headerless, content, reason):
    headerless.deliver_bytes("a.tsv", content)
    headerless.run()
    (entry,) = headerless.entries()
    assert entry.status == "refused"
    assert reason in entry.reason


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        ("[InvoiceNo, StockCode]", "'Description' is none of the columns"),
        ("[a, A]", "none of them twice"),
    ],
)
def test_the_contract_must_name_what_it_reads(tmp_path, names, fault):
    text = (PROJECT / "contracts" / "orders.odcs.yaml").read_text(encoding="utf-8")
    custom = f"    customProperties: [{{property: columns, value: {names}}}]\n"
    path = tmp_path / "orders.odcs.yaml"
    path.write_text(
        text.replace("    format: csv\n", "    format: csv\n" + custom), encoding="utf-8"
    )
    with pytest.raises(ContractError, match=fault):
        read_contract(path)
