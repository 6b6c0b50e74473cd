"""The keyed hash of `personal`, made by the engine.

The engine has no HMAC but SHA-256, of which HMAC is two, one inside the other. What is made of the
key is given to it in variables of the session, so that it stands in no query and no message.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
from pydantic import SecretStr

_BLOCK = 64
_INNER, _OUTER = "ops_hash_inner", "ops_hash_outer"


def hashed_sql(value: str) -> str:
    """The SQL of the keyed hash of an SQL value, null for null; it needs `key_in_session`."""
    inner = f"sha256(getvariable('{_INNER}') || encode(({value})::VARCHAR))"
    return f"sha256(getvariable('{_OUTER}') || unhex({inner}))"


@contextmanager
def key_in_session(connection: duckdb.DuckDBPyConnection, key: SecretStr | None) -> Iterator[None]:
    """Let the engine hash by `key` until the block ends; without one nothing can be hashed."""
    if key is None:
        yield
        return
    given = key.get_secret_value().encode()
    block = (given if len(given) <= _BLOCK else hashlib.sha256(given).digest()).ljust(_BLOCK, b"\0")
    for name, pad in ((_INNER, 0x36), (_OUTER, 0x5C)):
        connection.execute(f"SET VARIABLE {name} = ?", [bytes(byte ^ pad for byte in block)])
    try:
        yield
    finally:
        for name in (_INNER, _OUTER):
            connection.execute(f"RESET VARIABLE {name}")
