"""Which type a sampled column is proposed to have, and the logic where it is written otherwise."""

import re

from ops_platform.ingest.sample import SampleColumn
from ops_platform.ingest.sql import literal, quoted

# A name that ends so names things; its digits are no quantity, and zeros before them count.
LABELS = re.compile(r"(^|_)(id|no|number|code|sku|key|zip|postcode|ean|gtin|isbn|ref|phone)$")
TIMES = re.compile(r"(^|_)(at|on|time|timestamp|ts|date|day|datetime|epoch)(_|$)")
PARQUET = {
    "TINYINT": ("integer", "SMALLINT"),
    "SMALLINT": ("integer", "SMALLINT"),
    "INTEGER": ("integer", "INTEGER"),
    "BIGINT": ("integer", "BIGINT"),
    "UTINYINT": ("integer", "SMALLINT"),
    "USMALLINT": ("integer", "INTEGER"),
    "UINTEGER": ("integer", "BIGINT"),
    "FLOAT": ("number", "DOUBLE"),
    "DOUBLE": ("number", "DOUBLE"),
    "BOOLEAN": ("boolean", "BOOLEAN"),
    "DATE": ("date", "DATE"),
    "TIME": ("time", "TIME"),
    "TIMESTAMP": ("timestamp", "TIMESTAMP"),
}


def types(name: str, column: SampleColumn) -> tuple[str, str, str | None]:
    """The logical and physical type, and the logic that makes the value where one is needed."""
    if column.kind is not None:
        if column.kind.startswith("DECIMAL"):
            return "number", column.kind, None
        return (*PARQUET.get(column.kind, ("string", "VARCHAR")), None)
    if LABELS.search(name):
        return "string", "VARCHAR", None
    if column.all_are("boolean"):
        return "boolean", "BOOLEAN", None
    if column.is_time:
        return _time(column)
    if column.all_are("integer"):
        logic = _from_epoch(name, column)
        return ("timestamp", "TIMESTAMP", logic) if logic else ("integer", "BIGINT", None)
    if column.all_are("decimal"):
        # A sample does not show all digits that a price may have.
        return "number", "DECIMAL(18,4)", None
    if column.low is not None:
        return "number", "DOUBLE", None
    return "string", "VARCHAR", None


def _time(column: SampleColumn) -> tuple[str, str, str | None]:
    if column.all_are("iso date"):
        return "date", "DATE", None
    if column.all_are("iso time"):
        return "timestamp", "TIMESTAMP", None
    source = quoted(column.name)
    if column.formats:
        # What can't be read stays as it is, to be found and told.
        read = f"try_strptime({source}, {literal(column.formats[0])})"
        has_clock = "%H" in column.formats[0]
        read = f"{read}::VARCHAR" if has_clock else f"{read}::DATE::VARCHAR"
        kind = ("timestamp", "TIMESTAMP") if has_clock else ("date", "DATE")
        return (*kind, f"coalesce({read}, {source})")
    if column.all_are("zoned time"):
        # What has no offset would be taken for this machine's time: it is left as it is.
        utc = f"make_timestamp(epoch_us(TRY_CAST({source} AS TIMESTAMPTZ)))::VARCHAR"
        zoned = f"regexp_matches({source}, ':[0-9.]+ ?(Z|[+-][0-9:]{{2,5}})$')"
        logic = f"CASE WHEN {zoned} THEN coalesce({utc}, {source}) ELSE {source} END"
        return "timestamp", "TIMESTAMP", logic
    return "string", "VARCHAR", None


def _from_epoch(name: str, column: SampleColumn) -> str | None:
    """Seconds or milliseconds since 1970, if the column is named like a time."""
    if not TIMES.search(name) or not isinstance(column.low, float):
        return None
    source, high = quoted(column.name), float(column.high or 0)
    for each, factor in ((1, 1_000_000), (1_000, 1_000)):
        if 1e8 * each <= column.low and high < 1e10 * each:
            moment = f"make_timestamp(TRY_CAST({source} AS BIGINT) * {factor})"
            return f"coalesce({moment}::VARCHAR, {source})"
    return None
