"""Which columns decide what rows a query has."""

import pytest

from ops_platform.transform.row_lineage import rows_of, tables_of

SCHEMA = {"lake": {"s": {"a": {"id": "", "kind": "", "n": ""}, "b": {"id": "", "x": ""}}}}
PARENTS = {("lake", "s", "a"): "s.a", ("lake", "s", "b"): "s.b"}


@pytest.mark.parametrize(
    ("sql", "deciding"),
    [
        ("select id, n from s.a", []),
        ("select id from s.a where kind = 'x'", ["s.a.kind"]),
        ("select a.id from s.a join s.b on a.id = b.id", ["s.a.id", "s.b.id"]),
        ("select id, sum(n) from s.a group by 1", ["s.a.id"]),
        ("select id from s.a group by id having sum(n) > 0", ["s.a.id", "s.a.n"]),
        ("select distinct kind from s.a", ["s.a.kind"]),
        ("select id from s.a qualify row_number() over (order by n) = 1", ["s.a.n"]),
        (
            "with t as (select id, n + 1 as m from s.a), u as (select * from t where m > 1) "
            "select id from u",
            ["s.a.n"],
        ),
        ("select id from s.a union all select id from s.b where x > 0", ["s.b.x"]),
        ("select columns('i.*') from s.a where n > 0", []),
    ],
)
def test_what_joins_filters_and_groups_decides(sql, deciding):
    assert [f"{table}.{column}" for table, column in rows_of(sql, SCHEMA, PARENTS)] == deciding


def test_the_tables_that_a_query_reads_are_found_through_names_of_its_own():
    sql = "with b as (select * from s.a) select * from b join lake.s.b as c using (id)"
    assert tables_of(sql, PARENTS) == ["s.a", "s.b"]
    assert tables_of("with b as (select * from s.a) select * from b", PARENTS) == ["s.a"]
