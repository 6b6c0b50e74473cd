"""Distributions are exact counts."""

import duckdb
import pytest

from ops_platform.catalog.distribution import Distribution, distributions


@pytest.fixture
def found():
    connection = duckdb.connect()
    connection.execute(
        """CREATE TABLE t AS SELECT
            range AS number, -0.03::DECIMAL(5,2) AS small, 'id' || range AS id,
            CASE WHEN range < 60 THEN 'a' WHEN range < 90 THEN 'b' END AS letter,
            range % 4 = 0 AS fourth, TIMESTAMP '2024-01-01' + to_hours(range * 24) AS time,
            [range] AS list, NULL::INTEGER AS nothing, 'nan'::DOUBLE AS nan
        FROM range(100)"""
    )
    columns = {name: kind for name, kind, *_ in connection.execute("DESCRIBE t").fetchall()}
    rows, by_column = distributions(connection, "t", columns)
    assert rows == 100
    return by_column


def test_numbers_fall_into_steps_of_1_2_5(found):
    bars = (("0", 1), ("1", 1), ("2", 3), ("5", 5), ("10", 10), ("20", 30), ("50", 50))
    assert found["number"] == Distribution(bars, 0, None)
    assert found["small"].bars == (("-0.02", 100),)


def test_texts_show_the_most_frequent_unless_they_hardly_repeat(found):
    assert found["letter"] == Distribution((("a", 60), ("b", 30)), 10, 2)
    assert found["fourth"].bars == (("false", 75), ("true", 25))
    assert found["id"] == Distribution((), 0, 100)


def test_times_fall_into_spans_of_days_that_cover_all(found):
    bars = found["time"].bars
    assert bars[:2] == (("2024-01-01", 5), ("2024-01-06", 5))
    assert (len(bars), sum(rows for _, rows in bars)) == (20, 100)


def test_what_has_no_values_has_no_bars(found):
    assert found["nothing"] == Distribution((), 100, None)
    assert found["nan"] == Distribution((), 100, None)
    assert "list" not in found


def test_a_table_without_rows_is_shown_as_such():
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t (a INTEGER, b VARCHAR)")
    empty = Distribution((), 0, None)
    assert distributions(connection, "t", {"a": "INTEGER", "b": "VARCHAR"}) == (
        0,
        {"a": empty, "b": Distribution((), 0, 0)},
    )
    assert distributions(connection, "t", {}) == (0, {})
