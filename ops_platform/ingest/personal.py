"""Personal data: replaced on entry by a keyed hash, HMAC-SHA-256, in the engine and in Python.

The engine has no HMAC but SHA-256, of which HMAC is two, one inside the other. What is made of the
key is given to it in variables of the session, so that it stands in no query and no message.
"""

import hashlib
import hmac
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
from pydantic import SecretStr

from ops_platform.errors import HashKeyError

# The words of a contract's `classification`: what is hashed, and what is only shown.
PERSONAL = ("personal", "pii")
SHOWN = ("public", "internal", "confidential", "restricted")
HASH = "^[0-9a-f]{64}$"
SETTING = "OPS_HASH_KEY"
_BLOCK = 64
_INNER, _OUTER = "ops_hash_inner", "ops_hash_outer"


def is_personal(classification: str | None) -> bool:
    """Whether a column of this classification is hashed on entry."""
    return (classification or "").casefold() in PERSONAL


def hashed(key: SecretStr, value: str) -> str:
    """The keyed hash of a value, in hexadecimal digits."""
    return hmac.new(_bytes(key), value.encode(), "sha256").hexdigest()


def fingerprint(key: SecretStr) -> str:
    """What tells two keys apart and says nothing of either."""
    return hashed(key, "the key of this platform")[:16]


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
    given = _bytes(key)
    block = (given if len(given) <= _BLOCK else hashlib.sha256(given).digest()).ljust(_BLOCK, b"\0")
    for name, pad in ((_INNER, 0x36), (_OUTER, 0x5C)):
        connection.execute(f"SET VARIABLE {name} = ?", [bytes(byte ^ pad for byte in block)])
    try:
        yield
    finally:
        for name in (_INNER, _OUTER):
            connection.execute(f"RESET VARIABLE {name}")


def require(key: SecretStr | None, what: str) -> SecretStr:
    """The key; raises HashKeyError where `what` needs one and none is set."""
    if key is None:
        raise HashKeyError(
            f"{what}, and {SETTING} is not set: set it to the platform's secret, made once by "
            "`openssl rand -hex 32` and kept for good"
        )
    return key


def _bytes(key: SecretStr) -> bytes:
    return key.get_secret_value().encode()
