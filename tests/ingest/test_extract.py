"""A table of a database: its extract is the delivery, and each failure has its own message."""

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from ops_platform.errors import SourceError
from ops_platform.ingest.contract import Contract
from ops_platform.ingest.contract_file import read_contract
from ops_platform.ingest.copies import source_location
from ops_platform.ingest.personal import hashed
from ops_platform.settings import PROJECT, Settings
from tests.ingest.conftest import Shop

ROWS = [
    ("2", "Bo, B", "b@example.org", "EIRE", "2024-01-02", 0),
    ("1", None, "", "Spain", "2024-01-01", 1),
]
TABLE = "(customer_id TEXT, name TEXT, email TEXT, country TEXT, joined_on DATE, newsletter INT)"


@pytest.fixture(scope="session")
def customers() -> Contract:
    return replace(read_contract(PROJECT / "contracts" / "customers.odcs.yaml"), key=KEY)


@pytest.fixture
def database(tmp_path) -> Callable:
    """Makes the SQLite database anew, of these rows."""

    def make(rows=ROWS, table=TABLE, name="customers") -> Path:
        path = tmp_path / "shop.sqlite"
        path.unlink(missing_ok=True)
        with sqlite3.connect(path) as connection:
            connection.execute(f"CREATE TABLE {name} {table}")
            for row in rows:
                marks = ", ".join("?" for _ in row)
                connection.execute(f"INSERT INTO {name} VALUES ({marks})", row)
        connection.close()
        return path

    return make


@pytest.fixture
def take(shop, customers, tmp_path) -> Callable[[str | Path], Shop]:
    """Takes in what the database holds now."""

    def take(location) -> Shop:
        settings = Settings(home=tmp_path / "home", source={"customers": str(location)})
        shop.contract, shop.folder = customers, source_location(settings, customers)
        shop.run()
        return shop

    return take


COLUMNS = "customer_id, name, email, country, joined_on::VARCHAR, newsletter"
KEY = SecretStr("a key of the tests")
TAKEN = [
    ("1", None, None, "Spain", "2024-01-01", True),
    ("2", hashed(KEY, "Bo, B"), hashed(KEY, "b@example.org"), "EIRE", "2024-01-02", False),
]


def test_the_table_as_it_is_now_replaces_the_last_extract(take, database):
    shop = take(database())
    assert shop.raw(COLUMNS) == TAKEN
    (first,) = shop.entries()

    # The same rows, in another order and another file, are nothing new.
    assert take(database(ROWS[::-1])).entries() == [first]

    take(database(ROWS[:1]))
    assert shop.raw(COLUMNS) == TAKEN[1:]
    assert [status for _, status in shop.status()] == ["replaced", "taken"]


def test_a_row_that_breaks_the_contract_is_quarantined(take, database):
    odd = [("3", "C", "c", "UK", "31/02/2024", 1), ("", "D", "d", "UK", "2024-01-01", "maybe")]
    shop = take(database([*ROWS, *odd]))
    assert shop.raw(COLUMNS) == TAKEN
    assert sorted(why for _, why in shop.reasons()) == [
        ["customer_id: required", "newsletter: not a BOOLEAN"],
        ["joined_on: not a DATE"],
    ]


def test_what_the_contract_does_not_name_stays_in_the_database(take, database, tmp_path):
    table = TABLE.replace(")", ", password TEXT)")
    shop = take(database([(*row, "hunter2") for row in ROWS], table))
    assert shop.raw(COLUMNS) == TAKEN
    landed = list((tmp_path / "home" / "landed").rglob("*.csv"))
    assert b"password" in landed[0].read_bytes()
    assert b"hunter2" not in landed[0].read_bytes()
    assert landed[0].parent.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("rows", "table", "reason"),
    [
        ([], TABLE, "the table has no rows: an empty extract would replace all that is known"),
        (
            [("1", "a")],
            "(customer_id TEXT, name TEXT)",
            "missing column email, country, joined_on, newsletter; the table has 2 columns",
        ),
    ],
)
def test_an_extract_that_will_not_do_is_refused_and_the_last_one_stays(
    take, database, rows, table, reason
):
    shop = take(database())
    take(database(rows, table))
    assert [entry.status for entry in shop.entries()] == ["taken", "refused"]
    assert reason in shop.entries()[1].reason
    assert shop.raw(COLUMNS) == TAKEN


def test_a_text_that_is_not_utf_8_is_said(take, database):
    path = database()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE customers SET name = CAST(X'FF' AS TEXT)")
    connection.close()
    with pytest.raises(SourceError, match="holds a text that is not UTF-8"):
        take(path)


def test_a_database_that_is_not_there_or_is_none_is_said(take, database, tmp_path):
    with pytest.raises(SourceError, match=r"the database .*none.sqlite can't be read: there is no"):
        take(tmp_path / "none.sqlite")
    text = tmp_path / "text.sqlite"
    text.write_text("customer_id,name\n" * 99)
    with pytest.raises(SourceError, match=r"text.sqlite can't be read: .*file is not a database"):
        take(text)
    with pytest.raises(SourceError, match="has no table customers: mend physicalName"):
        take(database(name="clients"))
    with pytest.raises(SourceError, match="mysql is no database that can be read"):
        take("mysql://me:secret@localhost/shop")


@pytest.mark.postgres
def test_a_postgres_table_is_a_delivery_too(take, postgres_url):
    with psycopg.connect(postgres_url) as connection:
        connection.execute(f"CREATE TABLE customers {TABLE}")
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO customers VALUES (%s, %s, %s, %s, %s, %s)", ROWS)
    shop = take(postgres_url)
    assert shop.raw(COLUMNS) == TAKEN
    assert len(take(postgres_url).entries()) == 1
    with psycopg.connect(postgres_url) as connection:
        connection.execute("DROP TABLE customers")
    with pytest.raises(SourceError, match="has no table customers"):
        take(postgres_url)


def test_an_unreachable_postgres_is_said_without_its_password(take):
    with pytest.raises(SourceError) as caught:
        take("postgresql://me:hunter2@127.0.0.1:1/shop")
    told = f"{caught.value} {caught.value.__cause__}"
    assert "the Postgres database shop on 127.0.0.1 can't be read" in told
    assert "hunter2" not in told
    assert "mend OPS_SOURCE_CUSTOMERS; it is tried again at the next look" in told
    with pytest.raises(SourceError, match="no postgresql:// URL") as caught:
        take("postgresql://me:hunter2@127.0.0.1:port/shop?nonsense=1")
    assert "hunter2" not in str(caught.value)
