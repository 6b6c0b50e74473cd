"""Profiles: counted in the engine in one pass, and adding up over days."""

from datetime import date

import duckdb
import pytest

from ops_platform.lake.anomaly import distance
from ops_platform.lake.profile import OTHER, SKETCH, Profile, profile_query, read_profiles

FIRST, SECOND = date(2024, 1, 1), date(2024, 1, 2)
COLUMNS = {"at": "time", "price": "number", "place": "text", "key": "key"}


@pytest.fixture(scope="module")
def days() -> dict[date, dict[str, Profile]]:
    with duckdb.connect() as connection:
        connection.execute(
            """CREATE TABLE sold AS SELECT
                CASE WHEN i = 0 THEN NULL ELSE TIMESTAMP '2024-01-01' + INTERVAL (i) MINUTE END AS at,
                CASE WHEN i % 10 = 0 THEN NULL ELSE (i % 7)::DECIMAL(12, 3) - 1 END AS price,
                'place ' || (i % 40) AS place, 'key ' || (i % 300) AS key
            FROM range(2880) AS r(i)"""
        )
        query = profile_query("sold", "at", COLUMNS, [FIRST, SECOND, None])
        return read_profiles(connection, query)


def test_each_day_is_counted_by_column(days):
    assert set(days) == {FIRST, SECOND, None}
    assert days[None]["key"].rows == 1
    price = days[SECOND]["price"]
    assert (price.rows, price.nulls, price.distinct) == (1440, 144, 7)
    assert (price.least, price.greatest) == (-1, 5)
    assert sum(price.parts.values()) == 1440 - 144
    assert days[SECOND]["at"].parts == {str(hour): 60 for hour in range(24)}


def test_of_a_text_the_most_frequent_are_kept_and_of_a_key_all(days):
    place, key = days[SECOND]["place"], days[SECOND]["key"]
    assert len(place.parts) == 33
    assert place.parts[OTHER] == 8 * 36
    assert len(key.parts) == key.distinct == 300


def test_days_add_up(days):
    both = days[FIRST]["price"] + days[SECOND]["price"]
    assert (both.rows, both.nulls, both.distinct) == (2879, 287, 7)
    assert both.total == pytest.approx(days[FIRST]["price"].total + days[SECOND]["price"].total)
    keys = days[FIRST]["key"] + days[SECOND]["key"]
    assert len(keys.sketch) == SKETCH
    assert 300 * 0.7 < keys.distinct < 300 * 1.3


def test_a_hundredfold_price_moves_by_twenty_bins():
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE t AS SELECT DATE '2024-01-01' AS at, 1.5 AS one, 150 AS more"
        )
        [found] = read_profiles(
            connection, profile_query("t", "at", {"one": "number", "more": "number"}, [FIRST])
        ).values()
    [one], [more] = found["one"].parts, found["more"].parts
    assert int(more) - int(one) == 20
    assert distance(found["one"].parts, found["more"].parts) == 1
    assert distance(found["one"].parts, found["one"].parts) == 0


def test_only_the_asked_days_are_read(days):
    query = profile_query(
        "sold", "at", COLUMNS, [date(2024, 1, 1), date(2024, 1, 4), date(2024, 3, 1)]
    )
    assert query.count("DATE '2024-01-02'") == query.count("DATE '2024-01-03'") == 1
    assert "NOT IN (DATE '2024-01-02', DATE '2024-01-03')" in query
    assert "at\" >= DATE '2024-03-01'" in query


def test_numbers_that_are_not_finite_times_and_many_columns_are_counted_too():
    with duckdb.connect() as connection:
        extra = ", ".join(f"{at} AS c{at}" for at in range(70))
        connection.execute(
            "CREATE TABLE t AS SELECT DATE '2024-01-01' AS at, TIME '10:00' AS clock, "
            f"unnest(['inf', 'nan', '2']::DOUBLE[]) AS one, {extra}"
        )
        columns = {"clock": "time", "one": "number", **{f"c{at}": "number" for at in range(70)}}
        found = read_profiles(connection, profile_query("t", "at", columns, [FIRST]))[FIRST]

    assert found["clock"].parts == {"10": 3}
    assert found["one"].parts["not finite"] == 2
    assert found["one"].total == 2
    assert found["c69"].rows == 3
