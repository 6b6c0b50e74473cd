"""Real files into a real lake: what is taken, what is not and why, and what a next run makes of it."""

import errno
import os
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from ops_platform.errors import ContractError, SourceError
from ops_platform.ingest import records
from ops_platform.ingest.assets import _deliveries_check
from ops_platform.ingest.take_in import take_in
from ops_platform.lake import catalog
from ops_platform.lake.check import check

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
GOOD = "7,22423,CAKE STAND,2,2024-05-01 10:00:00,1.25,17.0,UK"


def test_good_rows_are_typed_and_carry_their_delivery(shop, a_row):
    shop.deliver("a.csv", a_row(1), a_row(2, CustomerID="", Description='5" PLATE, RED'))
    shop.run()
    (entry,) = shop.entries()
    at = datetime(2024, 5, 1, 10)
    price = Decimal("1.250")
    assert shop.raw("*") == [
        ("1", "22423", "CAKE STAND", 2, at, price, "17", "UK", entry.sha256),
        ("2", "22423", '5" PLATE, RED', 2, at, price, None, "UK", entry.sha256),
    ]
    assert (entry.status, entry.records, entry.rows_raw, entry.rows_quarantined) == (
        "taken", 2, 2, 0,
    )  # fmt: skip
    assert entry.delivered_at == shop.now
    assert entry.snapshot == catalog.head(shop.lake)


def test_a_delivery_is_taken_in_once(shop, a_row):
    shop.deliver("a.csv", a_row(1))
    assert shop.run().count("taken") == 1
    head = catalog.head(shop.lake)
    assert shop.run().changed == []
    assert catalog.head(shop.lake) == head
    assert shop.raw() == ["1"]


def test_a_touched_file_is_no_delivery(shop, a_row):
    path = shop.deliver("a.csv", a_row(1))
    shop.run()
    os.utime(path, ns=(1, 1))
    assert shop.run().changed == []
    assert shop.status() == [("a.csv", "taken")]


def test_a_correction_with_the_size_and_date_of_the_old_file_is_seen(shop, a_row):
    path = shop.deliver("a.csv", a_row(1))
    os.utime(path, ns=(1, 1))
    shop.run()
    shop.deliver("a.csv", a_row(2))
    os.utime(path, ns=(1, 1))
    shop.run()
    assert shop.raw() == ["2"]


def test_a_correction_replaces_rows_and_quarantine_in_one_transaction(shop, a_row):
    shop.deliver("a.csv", a_row(1), a_row(2, Quantity="x"))
    shop.deliver("b.csv", a_row(5))
    shop.run()
    before = catalog.head(shop.lake)
    shop.deliver("a.csv", a_row(1), a_row(3), a_row(4, UnitPrice="y"))
    shop.run()
    assert catalog.head(shop.lake) == before + 1
    assert shop.raw() == ["1", "3", "5"]
    assert [reasons for _, reasons in shop.reasons()] == [["unit_price: not a DECIMAL(12,3)"]]
    assert shop.status() == [("a.csv", "replaced"), ("b.csv", "taken"), ("a.csv", "taken")]
    assert check(shop.lake) == []


def test_a_then_b_then_a_again_is_three_deliveries(shop, a_row):
    for number in (1, 2, 1):
        shop.deliver("a.csv", a_row(number))
        shop.run()
    assert shop.status() == [("a.csv", "replaced"), ("a.csv", "replaced"), ("a.csv", "taken")]
    first, _, third = shop.entries()
    assert first.sha256 == third.sha256
    assert shop.raw() == ["1"]
    assert check(shop.lake) == []


def test_a_vanished_file_is_reported_and_its_rows_stay(shop, a_row):
    path = shop.deliver("a.csv", a_row(1))
    shop.deliver("b.csv", a_row(2))
    shop.run()
    path.unlink()
    intake = shop.run()
    assert [(entry.path, entry.status) for entry in intake.changed] == [(str(path), "vanished")]
    assert shop.raw() == ["1", "2"]
    assert shop.run().changed == []
    shop.deliver("a.csv", a_row(1))
    shop.run()
    assert shop.status() == [("a.csv", "taken"), ("b.csv", "taken")]


def test_a_renamed_file_keeps_its_rows(shop, a_row):
    path = shop.deliver("a.csv", a_row(1))
    shop.run()
    path.rename(path.with_name("b.csv"))
    shop.run()
    assert shop.status() == [("a.csv", "renamed"), ("b.csv", "taken")]
    assert shop.raw() == ["1"]


def test_a_duplicate_is_reported_and_not_taken_in_until_it_is_the_only_one(shop, a_row):
    path = shop.deliver("a.csv", a_row(1))
    shop.deliver("b.csv", a_row(1))
    assert shop.run().count("duplicate") == 1
    assert shop.status() == [("a.csv", "taken"), ("b.csv", "duplicate")]
    assert shop.raw() == ["1"]
    path.unlink()
    shop.run()
    assert shop.status() == [("a.csv", "renamed"), ("b.csv", "taken")]
    assert shop.raw() == ["1"]


def test_a_refused_correction_leaves_the_old_rows_in_service(shop, a_row):
    path = shop.deliver("a.csv", a_row(1))
    shop.run()
    path.write_bytes(path.read_bytes().replace(b"UnitPrice", b"Price"))
    (refused,) = shop.run().changed
    assert (refused.status, refused.records) == ("refused", 0)
    assert shop.raw() == ["1"]
    path.unlink()
    shop.run()
    assert shop.status() == [("a.csv", "vanished"), ("a.csv", "replaced")]
    assert shop.raw() == ["1"]
    shop.deliver("a.csv", a_row(2))
    shop.run()
    assert shop.status() == [("a.csv", "replaced"), ("a.csv", "replaced"), ("a.csv", "taken")]
    assert shop.raw() == ["2"]
    assert check(shop.lake) == []


REFUSED = {
    "no column": (
        HEADER.replace("UnitPrice,", "") + "\n1,2,3,4,5,6,7\n",
        "missing column UnitPrice; the header has InvoiceNo, StockCode",
    ),
    "wrong delimiter": (
        f"{HEADER}\n{GOOD}\n".replace(",", ";"),
        "the header is one column, 'InvoiceNo;StockCode",
    ),
    "Latin-1": (
        f"{HEADER}\n{GOOD}\n".replace("CAKE", "CAFÉ").encode("latin-1"),
        "not UTF-8 at byte 93: deliver it as UTF-8",
    ),
    "UTF-16": (f"{HEADER}\n{GOOD}\n".encode("utf-16"), "not UTF-8 at byte 0"),
    "zero bytes": (b"", "the file is empty: not even a header was delivered"),
    "blank first line": (f"\n{HEADER}\n{GOOD}\n", "the first line is no header"),
    "column twice": (f"{HEADER},country\n{GOOD},UK\n", "the header names a column twice"),
    "column without a name": (f"{HEADER},\n{GOOD},\n", "column 9 of the header has no name"),
    "quote never closed": (
        f"{HEADER}\n{GOOD}\n" + GOOD.replace("CAKE", '"CAKE') + f"\n{GOOD}\n{GOOD}\n",
        "the quote that opens in line 3 is never closed, and 2 more lines follow",
    ),
    "endless field": (
        f"{HEADER}\n{GOOD}\n" + GOOD.replace("CAKE", '"' + "CAKE\n" * 30_000) + "\n",
        "a field is too long after 1 records",
    ),
}  # fmt: skip


def test_a_file_without_records_is_taken_and_said_to_have_none(shop, a_row):
    shop.deliver("empty.csv")
    shop.deliver("good.csv", a_row(1))
    assert shop.run().count("taken") == 2
    told = [text for text in shop.said if "no records" in text]
    assert told == ["empty.csv: it holds no records, and is taken as 0 rows"]


def test_unusable_files_are_refused_each_with_its_reason_and_the_others_land(shop, a_row):
    for kind, (content, _) in REFUSED.items():
        shop.deliver_bytes(f"{kind}.csv", content)
    shop.deliver("good.csv", a_row(1))
    intake = shop.run()
    refused = {Path(e.path).stem: e.reason for e in intake.changed if e.status == "refused"}
    assert {kind: reason[: len(REFUSED[kind][1])] for kind, reason in refused.items()} == {
        kind: reason for kind, (_, reason) in REFUSED.items()
    }
    assert shop.raw() == ["1"]
    assert shop.reasons() == []
    assert shop.run().changed == []
    for number, kind in enumerate(REFUSED, start=2):
        shop.deliver(f"{kind}.csv", a_row(number))
    assert shop.run().count("taken") == len(REFUSED)
    assert len(shop.raw()) == len(REFUSED) + 1
    assert check(shop.lake) == []


ODD = {
    "cut off in a line": (
        f"{HEADER}\n{GOOD}\n8,22423,CAKE STA",
        ["7"],
        [(3, ["can't be parsed: 3 fields, the header has 8"])],
    ),
    "cut off in a quoted field": (
        f'{HEADER}\n{GOOD}\n8,22423,"CAKE STA',
        ["7"],
        [(3, ["can't be parsed: a quote is never closed",
              "can't be parsed: 3 fields, the header has 8"])],
    ),
    "header only": (f"{HEADER}\n", [], []),
    "header only, cut off": (HEADER, [], []),
    "newlines in quoted fields": (
        f"{HEADER}\n{GOOD}\n" + GOOD.replace("CAKE STAND", '"CAKE\nSTAND\r\n, ""RED"""')
        + f"\n{GOOD.replace(',2,', ',x,')}\n",
        ["7", "7"],
        [(6, ["quantity: not a INTEGER"])],
    ),
    "a header over two lines": (
        f'{HEADER},"a\nnote"\n{GOOD},n\n{GOOD.replace(",2,", ",x,")},n\n',
        ["7"],
        [(4, ["quantity: not a INTEGER"])],
    ),
    "a byte order mark": (f"\ufeff{HEADER}\n{GOOD}\n", ["7"], []),
    "line ends of Windows": (
        f"{HEADER}\n{GOOD}\n{GOOD.replace(',2,', ',x,')}\n".replace("\n", "\r\n"),
        ["7"],
        [(3, ["quantity: not a INTEGER"])],
    ),
    "line ends of all kinds": (f"{HEADER}\n{GOOD}\r\n{GOOD}\r{GOOD}", ["7"] * 3, []),
    "blank lines": (
        f"{HEADER}\n\n{GOOD}\n\n\n{GOOD.replace(',2,', ',x,')}\n\n",
        ["7"],
        [(6, ["quantity: not a INTEGER"])],
    ),
    "an empty field too many": (
        f"{HEADER}\n{GOOD},\n{GOOD}\n",
        ["7"],
        [(2, ["can't be parsed: 9 fields, the header has 8"])],
    ),
    "text after a quote": (
        f'{HEADER}\n{GOOD.replace("CAKE STAND", chr(34) + "CAKE" + chr(34) + " STAND")}\n{GOOD}\n',
        ["7"],
        [(2, ["can't be parsed: text after a closing quote"])],
    ),
    "a quote in a bare field": (f'{HEADER}\n{GOOD.replace("CAKE", "5" + chr(34))}\n', ["7"], []),
    "a blank before a quote": (
        f'{HEADER}\n{GOOD.replace("CAKE STAND", " " + chr(34) + "CAKE, STAND" + chr(34))}\n{GOOD}\n',
        ["7"],
        [(2, ["can't be parsed: 9 fields, the header has 8"])],
    ),
    "a zero byte": (f"{HEADER}\n{GOOD.replace('CAKE', chr(0))}\n", ["7"], []),
    "columns of another order and more": (
        "Note,Country,CustomerID,UnitPrice,InvoiceDate,Quantity,Description,StockCode,InvoiceNo\n"
        "n,UK,17.0,1.25,2024-05-01 10:00:00,2,CAKE STAND,22423,7\n",
        ["7"],
        [],
    ),
}  # fmt: skip


def test_odd_files_land_but_for_their_bad_rows(shop):
    for kind, (content, _, _) in ODD.items():
        shop.deliver_bytes(f"{kind}.csv", content)
    shop.run()
    found = {}
    for entry in shop.entries():
        assert entry.status in ("taken", "duplicate"), entry
        of_it = f"_delivery = '{entry.sha256}' ORDER BY ALL"
        raw = [row[0] for row in shop.query(f"SELECT order_id FROM raw.orders WHERE {of_it}")]
        bad = shop.query(f"SELECT line, reasons FROM quarantine.orders WHERE {of_it}")
        found[Path(entry.path).stem] = raw, bad
        assert entry.records == len(raw) + len(bad)
    assert found == {kind: (raw, bad) for kind, (_, raw, bad) in ODD.items()}
    assert check(shop.lake) == []


def test_each_way_to_break_the_contract_has_its_reason_and_line(shop, a_row):
    broken = [
        ({"InvoiceNo": ""}, ["order_id: required"]),
        ({"InvoiceNo": "X-1"}, ["order_id: does not match ^[A-Z]?[0-9]+$"]),
        ({"Quantity": "abc"}, ["quantity: not a INTEGER"]),
        ({"Quantity": ""}, ["quantity: required"]),
        ({"Quantity": "2.5"}, ["quantity: not a INTEGER"]),
        ({"Quantity": "2.5e0"}, ["quantity: not a INTEGER"]),
        ({"Quantity": "99999999999"}, ["quantity: not a INTEGER"]),
        ({"UnitPrice": "1.2345"}, ["unit_price: not a DECIMAL(12,3)"]),
        # In a DOUBLE this one is hardly to be told from 999999999.999.
        ({"UnitPrice": "999999999.9991"}, ["unit_price: not a DECIMAL(12,3)"]),
        ({"UnitPrice": "1000000000"}, ["unit_price: not a DECIMAL(12,3)"]),
        ({"UnitPrice": "-0.01"}, ["unit_price: below 0"]),
        ({"InvoiceDate": "2024-02-31 10:00:00"}, ["ordered_at: not a TIMESTAMP"]),
        ({"InvoiceDate": "2024-05-01 10:00:00+02"}, ["ordered_at: not a TIMESTAMP"]),
        ({"InvoiceDate": "2024-06-01 01:00:01"}, ["ordered_at: dated after the delivery's arrival"]),
        ({"CustomerID": "17.5"}, ["customer_id: does not match ^[0-9]+$"]),
        (
            {"Quantity": "x", "UnitPrice": "-1", "Country": ""},
            ["quantity: not a INTEGER", "unit_price: below 0", "country: required"],
        ),
    ]  # fmt: skip
    # It is midnight in UTC, and an hour later where the orders are written.
    fine = [
        {"Quantity": "2.0"}, {"Quantity": " 2 "}, {"Quantity": "2e0"}, {"UnitPrice": "1.2500"},
        {"InvoiceDate": "2024-06-01 01:00:00"}, {"UnitPrice": "999999999.999"},
    ]  # fmt: skip
    shop.deliver(
        "a.csv",
        *(a_row(1, **changes) for changes, _ in broken),
        *(a_row(2, **changes) for changes in fine),
    )
    shop.run()
    assert shop.reasons() == [(line, reasons) for line, (_, reasons) in enumerate(broken, start=2)]
    assert shop.quarantined()[2][2] == dict(
        zip(HEADER.split(","), a_row(1, Quantity="abc"), strict=True)
    )
    assert shop.raw() == ["2"] * len(fine)


def test_equal_bad_rows_have_each_their_line(shop, a_row):
    bad = a_row(1, Quantity="x")
    shop.deliver("a.csv", bad, a_row(2), bad, bad)
    shop.run()
    assert [line for line, _ in shop.reasons()] == [2, 4, 5]


def test_what_comes_too_early_lands_when_it_is_delivered_again(shop, a_row):
    shop.deliver("a.csv", a_row(1, InvoiceDate="2024-07-01 10:00:00"))
    shop.run()
    assert shop.raw() == []
    shop.now = datetime(2024, 8, 1)
    shop.deliver("a.csv", a_row(1, InvoiceDate="2024-07-01 10:00:00"), a_row(2))
    shop.run()
    assert shop.raw() == ["1", "2"]
    assert shop.reasons() == []


def with_column(contract, name, **changes):
    columns = tuple(replace(c, **changes) if c.name == name else c for c in contract.columns)
    return replace(contract, columns=columns)


def test_a_mended_contract_reads_every_delivery_again(shop, a_row):
    shop.deliver("a.csv", a_row(1), a_row(2, UnitPrice="-1"))
    shop.deliver("b.csv", a_row(3))
    shop.run()
    assert shop.raw() == ["1", "3"]
    shop.contract = with_column(shop.contract, "unit_price", minimum=-5)
    shop.run()
    assert shop.raw() == ["1", "2", "3"]
    assert shop.reasons() == []
    shop.contract = with_column(shop.contract, "product_id", pattern="^9")
    shop.run()
    assert shop.raw() == []
    assert len(shop.reasons()) == 3
    assert shop.status() == [("a.csv", "taken"), ("b.csv", "taken")]
    assert shop.run().changed == []
    assert check(shop.lake) == []


def test_a_contract_that_asks_for_more_leaves_the_rows_of_what_it_refuses(shop, a_row):
    shop.deliver("a.csv", a_row(1))
    shop.run()
    shop.contract = with_column(shop.contract, "country", inputs=("Land",), expression='"Land"')
    (entry,) = shop.run().changed
    assert (entry.status, entry.rows_raw) == ("taken", 1)
    assert (entry.reason or "").startswith("missing column Land")
    assert shop.raw() == ["1"]
    told = "refused under the contract as it is now: missing column Land"
    assert entry.trouble.startswith(told)
    found = _deliveries_check(shop.entries())
    assert not found.passed
    assert told in str(found.metadata["troubled"].value)
    shop.deliver_bytes("a.csv", f"{HEADER}\n{GOOD}\n".replace("Country", "Land"))
    shop.run()
    assert shop.raw() == ["7"]
    assert _deliveries_check(shop.entries()).passed


def test_a_file_that_was_refused_is_taken_when_the_contract_asks_for_less(shop, a_row):
    header, line = HEADER.replace(",Country", ""), GOOD.removesuffix(",UK")
    shop.deliver_bytes("a.csv", f"{header}\n{line}\n")
    assert shop.run().count("refused") == 1
    columns = tuple(c for c in shop.contract.columns if c.name != "country")
    shop.contract = replace(shop.contract, columns=columns)
    assert shop.run().count("taken") == 1
    assert shop.raw("order_id, country") == [("7", None)]
    assert check(shop.lake) == []


def test_another_type_for_a_column_is_an_error_before_anything_is_written(shop, a_row):
    shop.deliver("a.csv", a_row(1))
    shop.run()
    head = catalog.head(shop.lake)
    shop.contract = with_column(shop.contract, "quantity", type="SMALLINT")
    with pytest.raises(ContractError, match="quantity is SMALLINT, but in the lake it is INTEGER"):
        shop.run()
    assert catalog.head(shop.lake) == head


class Meddler:
    """Does something to a file as soon as take_in says that it is reading."""

    def __init__(self, deed):
        self.deed, self.heard = deed, []

    def __call__(self, text):
        self.heard.append(text)
        if "reading" in text and self.deed:
            self.deed, deed = None, self.deed
            deed()


def run_with(shop, deed):
    meddler = Meddler(deed)
    take_in(shop.lake, shop.contract, shop.folder, shop.now, meddler)
    return " ".join(meddler.heard)


def test_a_file_that_grows_while_it_is_read_is_left_for_the_next_time(shop, a_row):
    growing = shop.deliver("growing.csv", a_row(1))
    shop.deliver("whole.csv", a_row(5))
    line = b"2" + growing.read_bytes().splitlines(keepends=True)[1][1:]

    def grow():
        with growing.open("ab") as file:
            file.write(line)

    assert "growing.csv: changed while being read" in run_with(shop, grow)
    assert shop.raw() == ["5"]
    assert shop.status() == [("whole.csv", "taken")]
    shop.run()
    assert shop.raw() == ["1", "2", "5"]


def test_a_correction_that_is_still_being_written_leaves_the_old_rows(shop, a_row):
    path = shop.deliver("a.csv", a_row(1))
    shop.run()
    shop.deliver("a.csv", a_row(2))
    run_with(shop, lambda: path.write_bytes(path.read_bytes()[:-20]))
    assert shop.raw() == ["1"]
    assert shop.status() == [("a.csv", "taken")]


def test_a_file_that_is_gone_before_it_is_read_is_no_delivery(shop, a_row):
    path = shop.deliver("a.csv", a_row(1))
    shop.deliver("b.csv", a_row(2))
    run_with(shop, path.unlink)
    assert shop.raw() == ["2"]
    assert shop.run().changed == []
    assert shop.status() == [("b.csv", "taken")]


def test_a_file_that_the_system_can_not_read_is_refused_until_it_can(shop, a_row):
    # A file that opens and fails to be read, whoever reads it.
    link = shop.folder / "a.csv"
    link.symlink_to("/proc/self/mem")
    shop.deliver("b.csv", a_row(2))
    shop.run()
    assert [(entry.status, entry.reason) for entry in shop.entries()] == [
        ("refused", "the file can't be read: Input/output error"),
        ("taken", None),
    ]
    assert shop.run().changed == []
    link.unlink()
    shop.deliver("a.csv", a_row(1))
    shop.run()
    assert shop.raw() == ["1", "2"]


FAULTS = {
    "no room on the disk": OSError(errno.ENOSPC, "No space left on device"),
    "no memory left": duckdb.OutOfMemoryException("Out of Memory Error: failed to allocate"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_of_the_machine_is_no_verdict_on_a_delivery(shop, a_row, monkeypatch, kind):
    def fail(*_, **__):
        raise FAULTS[kind]

    shop.deliver("a.csv", a_row(1))
    # Of two kinds of line ends: the engine reads a plain copy of it.
    shop.deliver_bytes("b.csv", f"{HEADER}\n{GOOD}\r\n")
    with monkeypatch.context() as broken:
        broken.setattr(records, "write_plain", fail)
        with pytest.raises(
            SourceError, match=r"b\.csv can't be taken into raw\.orders now: "
        ) as told:
            shop.run()
    assert str(FAULTS[kind]).splitlines()[0] in str(told.value)
    assert not shop.lake.exists or catalog.last_changed(shop.lake) == {}
    shop.run()
    assert shop.status() == [("a.csv", "taken"), ("b.csv", "taken")]
    assert shop.raw() == ["1", "7"]


def test_plain_copies_lie_in_the_home_and_are_swept_if_their_process_died(shop, monkeypatch):
    left = shop.lake.home / "scratch" / "orders" / "of-a-dead-process"
    left.mkdir(parents=True)
    (left / "0.csv").write_text("plain", encoding="utf-8")
    written = []

    def write_plain(found, header, delimiter, path, **how):
        written.append(path)
        return write(found, header, delimiter, path, **how)

    write = records.write_plain
    monkeypatch.setattr(records, "write_plain", write_plain)
    shop.deliver_bytes("b.csv", f"{HEADER}\n{GOOD}\r\n")
    shop.run()
    assert [path.is_relative_to(left.parent) for path in written] == [True]
    assert list(left.parent.iterdir()) == []


def test_what_is_no_file_is_passed_over(shop, a_row):
    (shop.folder / "folder.csv").mkdir()
    (shop.folder / "nowhere.csv").symlink_to(shop.folder / "gone")
    (shop.folder / "loop.csv").symlink_to(shop.folder / "loop.csv")
    shop.deliver_bytes("note.txt", "no delivery")
    shop.deliver("a.csv", a_row(1))
    shop.run()
    assert shop.status() == [("a.csv", "taken")]


def test_a_missing_folder_says_which_setting_to_mend(shop):
    shop.folder.rmdir()
    with pytest.raises(SourceError, match=r"no folder .*/orders: mend .*OPS_SOURCE_ORDERS"):
        shop.run()


def test_many_bad_rows_and_deliveries_are_few_data_files(shop, a_row):
    for number in range(20):
        shop.deliver(f"{number:02}.csv", *(a_row(number, Quantity=f"x{i}") for i in range(20)))
    shop.run()
    assert len(shop.reasons()) == 400
    assert len(catalog.files(shop.lake)) <= 4
