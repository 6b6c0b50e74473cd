"""Personal data: which columns are, and the keyed hash, HMAC-SHA-256, that is kept instead."""

import hmac

from pydantic import SecretStr

from ops_platform.errors import HashKeyError

# The words of a contract's `classification`: what is hashed, and what is only shown.
PERSONAL = ("personal", "pii")
SHOWN = ("public", "internal", "confidential", "restricted")
HASH = "^[0-9a-f]{64}$"
SETTING = "OPS_HASH_KEY"


def is_personal(classification: str | None) -> bool:
    """Whether a column of this classification is hashed on entry."""
    return (classification or "").casefold() in PERSONAL


def hashed(key: SecretStr, value: str) -> str:
    """The keyed hash of a value, in hexadecimal digits."""
    return hmac.new(key.get_secret_value().encode(), value.encode(), "sha256").hexdigest()


def fingerprint(key: SecretStr) -> str:
    """What tells two keys apart and says nothing of either."""
    return hashed(key, "the key of this platform")[:16]


def require(key: SecretStr | None, what: str) -> SecretStr:
    """The key; raises HashKeyError where `what` needs one and none is set."""
    if key is None:
        raise HashKeyError(
            f"{what}, and {SETTING} is not set: set it to the platform's secret, made once by "
            "`openssl rand -hex 32` and kept for good"
        )
    return key
