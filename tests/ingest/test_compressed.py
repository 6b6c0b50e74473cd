"""Compressed text files are what they hold; one that is cut off is refused."""

import gzip

import pyarrow as pa
import pytest

from tests.ingest.conftest import HEADER

LINE = "1,22423,CAKE STAND,2,2024-05-01 10:00:00,1.25,17.0,UK\n"


def packed(suffix: str, content: str) -> bytes:
    if suffix == "gz":
        # Two members, as a tool that appends writes them.
        return gzip.compress(content[:9].encode()) + gzip.compress(content[9:].encode())
    return pa.compress(content.encode(), codec="zstd", asbytes=True)


@pytest.mark.parametrize("suffix", ["gz", "zst"])
@pytest.mark.parametrize(
    "line", [LINE, LINE.replace("CAKE STAND", '"CAKE\nSTAND"'), LINE + LINE[:9]]
)
def test_it_is_read_as_its_content(shop, suffix, line):
    shop.deliver_bytes("plain.csv", HEADER + "\n" + line)
    shop.deliver_bytes(f"packed.csv.{suffix}", packed(suffix, HEADER + "\n" + line))
    shop.run()
    packed_one, plain_one = shop.entries()
    assert (packed_one.status, plain_one.status) == ("taken", "taken")
    assert (packed_one.rows_raw, packed_one.rows_quarantined) == (
        plain_one.rows_raw, plain_one.rows_quarantined,
    )  # fmt: skip
    rows, reasons = shop.raw("order_id, description"), shop.reasons()
    assert (rows[::2], reasons[::2]) == (rows[1::2], reasons[1::2])
    assert rows


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_one_that_is_cut_off_or_no_archive_is_refused(shop, suffix):
    whole = packed(suffix, HEADER + "\n" + LINE * 50)
    shop.deliver_bytes(f"cut.csv.{suffix}", whole[:-9])
    shop.deliver_bytes(f"text.csv.{suffix}", HEADER + "\n" + LINE)
    shop.deliver_bytes("good.csv", HEADER + "\n" + LINE)
    shop.run()
    assert [entry.status for entry in shop.entries()] == ["refused", "taken", "refused"]
    assert all(f"no whole .{suffix} file" in entry.reason for entry in shop.entries()[::2])
    assert len(shop.raw()) == 1
