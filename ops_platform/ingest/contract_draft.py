"""A first contract from a sample: what can be read off it, for a person to go through and mend.

What a sample happens to hold is no rule: least and greatest values are comments, and of ranges only
`minimum: 0` is proposed. The draft takes in all of its own sample.
"""

import re
import textwrap
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from ops_platform.errors import ContractError
from ops_platform.ingest.contract_faults import SUFFIX, faults_of
from ops_platform.ingest.draft_types import LABELS, types
from ops_platform.ingest.likely_personal import is_likely_personal
from ops_platform.ingest.sample import Sample, SampleColumn, read_sample

ENDINGS = {"csv": "csv", "tsv": "tsv", "json": "jsonl", "parquet": "parquet"}
NO_EVENT = re.compile(
    r"(^|_)(birth\w*|dob|updated|modified|valid|expir\w*|until|due|delivery)(_|$)"
)
PATTERNS = {
    "uuid": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
    "hexadecimal": "^[0-9a-f]+$",
    "digits": "^[0-9]+$",
    "letters and digits": "^[A-Z]+[0-9]+$",
    "letters, digits": "^[A-Z]+-[0-9]+$",
}
Property = dict[str, Any]


def draft(path: Path, name: str | None, owner: str, now: datetime) -> str:
    """The text of a contract for files like the sample in `path`; named like it if not otherwise.

    A column with values after `now` is not proposed as the event time. Raises ContractError when
    the sample can't be read, or nothing can be made of it that this platform takes.
    """
    sample = read_sample(path)
    name = name or snake_case(path.name.split(".")[0])
    names = _names([column.name for column in sample.columns])
    key = _key(names, sample.columns)
    described = [
        (column, _property(new, column, name, is_key=new == key))
        for new, column in zip(names, sample.columns, strict=True)
    ]
    event = _event_time(described, now)
    text = _written(path, name, owner, sample, described, event)
    faults = faults_of(yaml.safe_load(text), Path(f"{name}{SUFFIX}"))
    if faults:
        told = "; ".join(f"{'.'.join(map(str, where))}: {what}" for where, what in faults)
        raise ContractError(f"{path}: no contract can be made of it: {told}")
    return text


def snake_case(name: str) -> str:
    """`InvoiceNo` and `Invoice No.` as `invoice_no`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    plain = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")
    return plain if plain[:1].isalpha() else f"column_{plain}".rstrip("_")


def _names(given: list[str]) -> list[str]:
    names: list[str] = []
    for one in map(snake_case, given):
        taken = sum(re.fullmatch(rf"{one}(_\d+)?", name) is not None for name in names)
        names.append(f"{one}_{taken + 1}" if one in names else one)
    return names


def _key(names: list[str], columns: list[SampleColumn]) -> str | None:
    """The first column that is named like a key and tells all rows apart."""
    for name, column in zip(names, columns, strict=True):
        if LABELS.search(name) and column.rows > 1 and column.distinct == column.rows:
            return name
    return None


def _property(name: str, column: SampleColumn, source: str, *, is_key: bool) -> Property:
    personal = is_likely_personal(name, column, source)
    found: Property = {"name": name}
    if personal:
        found |= {"logicalType": "string", "physicalType": "VARCHAR", "classification": "personal"}
    else:
        found |= _type(name, column)
    if column.filled == column.rows:
        found["required"] = True
    if is_key:
        found |= {"unique": True, "primaryKey": True, "primaryKeyPosition": 1}
    if name != column.name or "transformLogic" in found:
        found["transformSourceObjects"] = [column.name]
    logic = found.pop("transformLogic", None)
    if logic:
        found["transformLogic"] = logic
    options = {} if personal else _options(name, column, found["logicalType"])
    return found | ({"logicalTypeOptions": options} if options else {})


def _type(name: str, column: SampleColumn) -> Property:
    logical, physical, logic = types(name, column)
    found: Property = {"logicalType": logical, "physicalType": physical}
    return found | ({"transformLogic": logic} if logic else {})


def _options(name: str, column: SampleColumn, logical: str) -> Property:
    if logical in ("integer", "number"):
        is_positive = isinstance(column.low, float) and column.low >= 0
        return {"minimum": 0} if is_positive else {}
    if logical != "string" or column.distinct < 2:
        return {}
    for shape, pattern in PATTERNS.items():
        if column.all_are(shape) and (LABELS.search(name) or shape in ("uuid", "hexadecimal")):
            return {"pattern": pattern}
    return {}


def _event_time(
    described: list[tuple[SampleColumn, Property]], now: datetime
) -> tuple[str, int] | None:
    """The column that says when a row happened, and the days that its newest value may be old.

    Twice the pause that the sample shows, so that a longer week-end is no alarm.
    """
    present = now.isoformat(sep=" ")
    for wanted in ("timestamp", "date"):
        for column, found in described:
            past = not column.is_time or str(column.high) <= present
            if (
                found["logicalType"] == wanted
                and found.get("required")
                and past
                and not NO_EVENT.search(found["name"])
            ):
                return found["name"], max(2 * column.days, 1)
    return None


def _written(
    path: Path,
    name: str,
    owner: str,
    sample: Sample,
    described: list[tuple[SampleColumn, Property]],
    event: tuple[str, int] | None,
) -> str:
    rows = sample.columns[0].rows if sample.columns else 0
    server: Property = {
        "server": "files",
        "type": "local",
        "path": f"{name}/*.{ENDINGS[sample.format]}",
        "format": sample.format,
    }
    if not sample.has_header:
        columns = [column.name for column in sample.columns]
        server["customProperties"] = [{"property": "columns", "value": columns}]
    head: Property = {
        "apiVersion": "v3.1.0",
        "kind": "DataContract",
        "id": f"urn:ops:contract:{name}",
        "name": name,
        "version": "1.0.0",
        "status": "draft",
        "servers": [server],
        "team": {"name": owner},
    }
    if event:
        level = {"property": "freshness", "value": event[1], "unit": "d"}
        head["slaProperties"] = [level | {"element": f"{name}.{event[0]}"}]
    table = {"name": name, "physicalName": f"raw.{name}", "physicalType": "table"}
    lines = [
        f"# Drafted from {path.name}, {rows} rows: go through it, say what each column means.",
        _yaml(head),
        "schema:",
        textwrap.indent(_yaml([table]), "  ").rstrip(),
        "    properties:",
    ]
    for column, found in described:
        lines += [f"      # {comment}" for comment in _comments(column, found)]
        lines.append(textwrap.indent(_yaml([found]), "      ").rstrip())
    lines += [f"      # {one!r} is nested and left out" for one in sample.nested]
    return "\n".join(lines) + "\n"


def _yaml(value: Any) -> str:
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=10_000)
    return text


def _comments(column: SampleColumn, found: Property) -> Iterator[str]:
    empty = column.rows - column.filled
    if empty:
        yield f"{empty} of {column.rows} are empty"
    if "classification" in found:
        yield "looks like personal data: hashed on entry, unless you take the classification away"
        return
    if column.low is not None and found["logicalType"] != "string":
        yield f"from {_told(column.low)} to {_told(column.high)}"
    elif column.values and column.rows >= 5 * column.distinct:
        yield "values: " + ", ".join(" ".join(value.split())[:40] for value in column.values)
    if column.filled == column.distinct == column.rows > 1 and "primaryKey" not in found:
        yield "no two rows have the same"
    if len(column.formats) > 1:
        yield f"could also be read by {', '.join(column.formats[1:])}"
    if found["logicalType"] == "timestamp":
        yield "taken for UTC: else name its zone in logicalTypeOptions.defaultTimezone"


def _told(value: float | str | None) -> str:
    return f"{value:.15g}" if isinstance(value, float) else str(value)
