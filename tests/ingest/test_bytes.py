"""Any bytes at all: every record that Python's csv counts is in raw or quarantine, or none is.

The engine's own reader differs from `csv` on much of this; see ops_platform/ingest/records.py.
"""

import csv
import hashlib
import io
from collections import Counter
from datetime import datetime

from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from ops_platform.ingest.contract import Column, Contract
from ops_platform.ingest.records import PlainForm
from ops_platform.ingest.take_in import take_in
from ops_platform.lake.check import check
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake

HEADER = b"A,B,C\n"
NOTES = Contract(
    name="notes",
    version="1",
    owner="us",
    description="Texts that may be anything.",
    location="*.csv",
    delimiter=",",
    columns=tuple(Column(name, "VARCHAR", (name,), f'"{name}"', "") for name in "ABC"),
    event_time=None,
)
PIECES = [
    b",", b",", b'"', b'""', b"\n", b"\r\n", b"\r", b" ", b"a", b"\0", b"\\", b"'", b"#", b"\t",
    b"1,2,3\n", b'"x,y",2,3\n', b'"x\ny",2,3\n', b'"",,\n', b"4,5,6,\n", b"7,8\n", b"\xef\xbb\xbf",
    "é".encode(), "\u2028".encode(), b"\x85", b"\xff",
]  # fmt: skip
BODY = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=10).map(b"".join), st.binary(max_size=30)
)

HEADERS = [
    HEADER, b"C,A,B\r\n", b'"A",B,"C"\n', b"\xef\xbb\xbfA,B,C\n", b"A,B,C,D\n", b"A,B\n", b"A,B,C,a\n",
    b"A,B,C,\n", b"A,B,C\r", b"\nA,B,C\n", b" A,B,C\n", b"A;B;C\n", b'"A\nB",B,C,A\n', b"A,B,C,#\n", b"",
]  # fmt: skip
HEADS = st.sampled_from(HEADERS)


def by_csv(content: bytes) -> list[tuple[str, ...]] | None:
    """The records as csv reads them, blank lines left out; None if not UTF-8."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    records = csv.reader(io.StringIO(text, newline=""))
    return [tuple(record) for record in records if record]


@settings(
    max_examples=5,
    deadline=None,
    # An example takes a second, so a failing one is shown as it is found.
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow],
)
@given(st.lists(BODY, min_size=15, max_size=40, unique=True))
@example(
    [
        b'1,2,3\n "x\ny",2,3\n', b'a"b,2,3\n', b'"a"b,2,3\n1,2,3\n', b",,,,\n", b"1,2,3,\n",
        b'1, "2,3",4\n', b'"1",2,3\r\n1,2,3\n', b'"1\r2",2,3\n', b'1,2,"3', b'1,2,"3\n4,5,6\n',
        b'""\r\r\n""\n', b'1,2,3\n\n\n', b'\n1,"2\n\n",3\n', b'"a""b",2,3\n', b'1,2,3',
    ]
)  # fmt: skip
def test_every_record_is_in_raw_or_quarantine_or_the_delivery_is_refused(tmp_path_factory, bodies):
    _take_and_count(tmp_path_factory.mktemp("bytes"), [HEADER + body for body in bodies])


@settings(
    max_examples=3,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    st.lists(
        st.one_of(st.binary(max_size=30), st.tuples(HEADS, BODY).map(b"".join)),
        min_size=15,
        max_size=40,
        unique=True,
    )
)
@example([head + b'1,2,3\n4,5\n"6",7,8\n' for head in HEADERS])
def test_so_it_is_whatever_the_header_is(tmp_path_factory, contents):
    _take_and_count(tmp_path_factory.mktemp("headers"), contents)


def _take_and_count(home, several):
    folder, lake = home / "notes", Lake(home / "lake", home / "lake" / "data")
    folder.mkdir()
    contents = {f"{number:02}.csv": content for number, content in enumerate(several)}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    take_in(lake, NOTES, folder, datetime(2024, 1, 1))
    with connect(lake) as connection:
        entries = dict(
            connection.execute(
                "SELECT parse_filename(path), [status, records::VARCHAR] FROM ledger.deliveries"
            ).fetchall()
        )
        rows = connection.execute("SELECT _delivery, A, B, C FROM raw.notes").fetchall()
        bad = dict(
            connection.execute(
                "SELECT _delivery, count(*) FROM quarantine.notes GROUP BY 1"
            ).fetchall()
        )
    assert entries.keys() == contents.keys()
    raw: dict[str, Counter] = {}
    for delivery, *fields in rows:
        raw.setdefault(delivery, Counter())[tuple(field or "" for field in fields)] += 1
    for name, content in contents.items():
        delivery = hashlib.sha256(content).hexdigest()
        status, records = entries[name]
        parsed, found = by_csv(content), raw.get(delivery, Counter())
        header = parsed[0] if parsed else ()
        if status == "refused":
            assert parsed is None or _is_unclosed(content) or not _names_all(header, content)
            assert not found
            assert delivery not in bad
            continue
        assert status == "taken"
        assert parsed is not None
        assert _names_all(header, content), content
        expected = parsed[1:]
        assert len(expected) == int(records) == found.total() + bad.get(delivery, 0), content
        places = [header.index(name) for name in "ABC"]
        whole = Counter(
            tuple(record[place] for place in places)
            for record in expected
            if len(record) == len(header)
        )
        assert found <= whole, content
        if b'"' not in content:
            assert found == whole, content
    assert check(lake) == []


def _names_all(header, content) -> bool:
    """Whether the first line is a header that names the contract's columns, each once."""
    names = [name.casefold() for name in header]
    is_first = not content.removeprefix(b"\xef\xbb\xbf").startswith((b"\n", b"\r"))
    return (
        is_first and set("ABC") <= set(header) and len(set(names)) == len(names) and "" not in names
    )


def _is_unclosed(content: bytes) -> bool:
    try:
        list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True))
    except csv.Error:
        return True
    return False


@settings(max_examples=300, deadline=None)
@given(BODY, st.integers(1, 3), st.integers(1, 64))
@example(b"", 1, 1)
@example(b'"a"\n"b', 3, 64)
@example(b"1,2,3\r\n4,5,6\n", 3, 64)
def test_plain_form_holds_only_where_lines_are_records(body, columns, hint):
    """What the engine is given to read as it is: lines, records and fields coincide."""
    content = ",".join("ABC"[:columns]).encode() + b"\n" + body
    plain, file = PlainForm(columns, ","), io.BytesIO(content)
    while block := file.read(hint) + file.readline():
        plain.look(block)
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return
    if not plain.holds:
        return
    records = [one for one in csv.reader(io.StringIO(text, newline=""), strict=True) if one]
    assert plain.records == len(records)
    assert all(len(record) == columns for record in records)
    assert len(records) == len([line for line in text.split("\n") if line not in ("", "\r")])


def test_plain_form_is_found_where_it_is():
    for body in (b"", b"1,2,3\n", b'"1,1","a""b",""\n,,\n\n1,2,3', b"a'b,\\,#\n"):
        plain = PlainForm(3, ",")
        plain.look(HEADER + body)
        assert plain.holds, body
