"""Offline tables: what breaks the schema is shown, and what is worth a look is said."""

from dataclasses import replace

import duckdb
import pandera.ibis as pa

from ops_platform.features.build import build, stamps_of, validate
from ops_platform.features.remarks import remarks
from ops_platform.features.view import find_views
from ops_platform.lake.connect import connect
from ops_platform.lake.published import published
from tests.features.conftest import AS_OF

ACTIVITY = next(view for view in find_views() if view.name == "customer_activity")


def test_every_view_satisfies_its_schema_and_is_of_one_moment(lake):
    with connect(lake) as connection:
        assert all(validate(connection, view).failures.empty for view in find_views())
        assert stamps_of(connection, find_views()) == {(published(lake).marts, AS_OF)}
    assert not any(build(lake, view, AS_OF) for view in find_views())


def test_rows_that_break_the_schema_are_shown(lake):
    columns = {**ACTIVITY.schema.columns, "frequency": pa.Column(int, pa.Check.ge(2))}
    strict = replace(ACTIVITY, schema=pa.DataFrameSchema(columns))
    with connect(lake) as connection:
        found = validate(connection, strict)
        counts = connection.execute(f"SELECT frequency FROM {strict.table}").fetchall()
    assert found.rows == len(counts)
    broken = [row["frequency"] for row in found.failures["failure_case"]]
    assert broken == [n for (n,) in counts if n < 2] != []


def test_rows_with_a_null_are_shown_whole(lake):
    with connect(lake) as connection:
        schema = {**ACTIVITY.schema.columns, "interval_days": pa.Column(float, nullable=False)}
        nulls = validate(connection, replace(ACTIVITY, schema=pa.DataFrameSchema(schema)))
        expected = connection.execute(
            f"SELECT customer_id FROM {ACTIVITY.table} WHERE interval_days IS NULL ORDER BY ALL"
        ).fetchall()
    assert nulls.broken == ["interval_days: not_nullable"]
    assert [(one,) for one in nulls.failing["customer_id"]] == expected != []


def test_an_entity_that_has_several_rows_is_a_failure_and_they_are_shown():
    with duckdb.connect() as connection:
        connection.execute(
            "ATTACH ':memory:' AS lake; USE lake; CREATE SCHEMA features; "
            "CREATE TABLE features.customer_activity AS SELECT unnest(['ann', 'bob', 'ann']) AS "
            "customer_id, 1::BIGINT AS recency_days, 1::BIGINT AS tenure_days, 1::BIGINT AS "
            "frequency, 1::DECIMAL(18, 3) AS monetary, NULL::DOUBLE AS interval_days, "
            "NULL::DOUBLE AS interval_variation, DATE '2024-01-01' AS as_of, 1 AS _snapshot"
        )
        found = validate(connection, ACTIVITY)
    assert found.broken == ["customer_id: unique"]
    assert found.failing["customer_id"].tolist() == ["ann", "ann"]


def test_views_that_are_newer_than_a_snapshot_have_no_stamp_in_it(lake):
    with connect(lake, snapshot=published(lake).marts) as connection:
        assert stamps_of(connection, find_views()) == set()


def test_a_table_without_rows_is_remarked_on(lake):
    with connect(lake) as connection:
        empty = f"(SELECT * FROM {ACTIVITY.table} LIMIT 0)"
        assert remarks(connection, empty, ACTIVITY.features_named) == ("there are no rows",)
