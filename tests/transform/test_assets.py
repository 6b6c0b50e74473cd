"""What makes dbt build again: its project and the raw tables it names, and nothing else."""

from ops_platform.lake.location import Lake
from ops_platform.lake.write import write
from ops_platform.settings import Settings
from ops_platform.transform.assets import _inputs


def test_only_raw_tables_that_dbt_names_are_its_inputs(tmp_path, manifest):
    settings = Settings(home=tmp_path / "home")
    lake, named = Lake.at(settings), [node["name"] for node in manifest["sources"].values()]
    assert set(named) == {"orders", "products", "customers", "events"}

    def run(sql: str) -> None:
        write(lake, lambda connection: connection.execute(sql))

    run("CREATE SCHEMA raw")
    for table in ("orders", "served"):
        run(f"CREATE TABLE raw.{table} AS SELECT 1 AS a")
    before = _inputs(settings, lake, named)
    run("INSERT INTO raw.served VALUES (2)")
    assert _inputs(settings, lake, named) == before
    run("INSERT INTO raw.orders VALUES (2)")
    assert _inputs(settings, lake, named) != before
