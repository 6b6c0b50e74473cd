"""What is worth a look in features that break no rule: none at all, only nulls, always the same."""

from collections.abc import Sequence

import duckdb

from ops_platform.ingest.sql import quoted


def remarks(
    connection: duckdb.DuckDBPyConnection, table: str, columns: Sequence[str]
) -> tuple[str, ...]:
    """Remarks on these columns of a table, a sentence each."""
    asked = ", ".join(
        f"count({quoted(one)}), min({quoted(one)})::VARCHAR, max({quoted(one)})::VARCHAR"
        for one in columns
    )
    row = connection.execute(f"SELECT count(*), {asked} FROM {table}").fetchone()
    assert row is not None
    rows, found = row[0], row[1:]
    if rows == 0:
        return ("there are no rows",)
    said = []
    for number, column in enumerate(columns):
        count, least, most = found[3 * number : 3 * number + 3]
        if count == 0:
            said.append(f"{column} is null in every row")
        elif least == most and count > 1:
            said.append(f"{column} is {least} wherever it is not null")
    return tuple(said)
