"""A digest of a query's rows that does not depend on their order."""

import hashlib

import duckdb


def digest_rows(connection: duckdb.DuckDBPyConnection, query: str) -> str:
    """SHA-256 over the multiset of the query's rows and the names and types of its columns.

    Each row's MD5 is summed (AdHash; Bellare and Micciancio 1997), so the same rows give the same
    digest on every run, with any number of threads, and a duplicated row changes it.
    """
    columns = connection.execute(f"DESCRIBE {query}").fetchall()
    shape = [(name, kind) for name, kind, *_ in columns]
    row = connection.execute(
        f"""
        SELECT count(*), sum(md5_number_lower(line)::HUGEINT), sum(md5_number_upper(line)::HUGEINT)
        FROM (SELECT to_json(ops_digested)::VARCHAR AS line FROM ({query}) AS ops_digested)
        """
    ).fetchone()
    return hashlib.sha256(repr((shape, row)).encode()).hexdigest()
