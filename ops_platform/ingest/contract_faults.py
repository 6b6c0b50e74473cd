"""What is wrong with a contract: by the standard's JSON schema, then for this platform."""

import json
import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb
import jsonschema
import yaml

from ops_platform.ingest.column_faults import (
    Faults,
    Where,
    column_faults,
    kind_of,
    sharing_faults,
)
from ops_platform.ingest.contract_rules import rule_faults
from ops_platform.ingest.personal import is_personal

IDENTIFIER = re.compile(r"[a-z][a-z0-9_]*")
DELIMITERS = {"csv": ",", "tsv": "\t"}
JSON_LINES, PARQUET, SQL = "json", "parquet", "sql"
FORMATS = (*DELIMITERS, JSON_LINES, PARQUET)
# The server's own property that names the columns of a file without a header.
NAMES = "columns"
UNITS = {
    **dict.fromkeys(("d", "day", "days"), "days"),
    **dict.fromkeys(("h", "hour", "hours"), "hours"),
    **dict.fromkeys(("m", "min", "minute", "minutes"), "minutes"),
}
LEVELS = ("freshness", "latency")
SUFFIX = ".odcs.yaml"


def faults_of(document: Any, path: Path) -> list[tuple[Where, str]]:
    """Every fault of a contract read from `path`: the field that it is in, and what is wrong."""
    # The standard's schema says the same thing twice where two of its rules forbid it.
    return list(dict.fromkeys(_standard_faults(document))) or [*_platform_faults(document, path)]


def described(node: yaml.Node | None, path: Path, where: Where, what: str) -> str:
    """A fault as file, line, field and words."""
    return f"{path}:{_line(node, where)}: {_field(where)}: {what}"


@cache
def _validator() -> Any:
    schema = json.loads(files("open_data_contract_standard").joinpath("schema.json").read_text())
    return jsonschema.validators.validator_for(schema)(schema)


def _standard_faults(document: Any) -> Faults:
    for error in sorted(_validator().iter_errors(document), key=lambda e: list(map(str, e.path))):
        # Of alternatives (anyOf, oneOf) the deepest fault is the one that the author made.
        best = jsonschema.exceptions.best_match([error])
        where = tuple(best.absolute_path)
        if best.validator in ("additionalProperties", "unevaluatedProperties"):
            for name in best.instance:
                if f"{name!r}" in best.message:
                    yield (*where, name), "the standard knows no such field here"
        else:
            yield where, best.message


def _platform_faults(document: dict[str, Any], path: Path) -> Faults:
    """What the standard allows and this platform can't use."""
    expected = path.name.removesuffix(SUFFIX)
    if document.get("name") != expected:
        yield ("name",), f"must be {expected!r}, the file's name"
    elif not IDENTIFIER.fullmatch(expected):
        yield ("name",), "it names a table: lower case letters, digits and _, a letter first"
    if not owner_of(document.get("team")):
        yield ("team",), "a contract needs an owner: team.name"
    servers, schema = document.get("servers") or [], document.get("schema") or []
    if len(servers) != 1:
        yield ("servers",), "one server is needed: where the deliveries are"
    else:
        yield from _server_faults(servers[0], (schema or [{}])[0])
    if len(schema) != 1:
        yield ("schema",), "one schema object is needed"
        return
    properties = schema[0].get("properties") or []
    if not properties:
        yield ("schema", 0), "at least one property is needed"
    kinds: dict[str, str | None] = {}
    with duckdb.connect(config={"autoinstall_known_extensions": False}) as engine:
        for index, column in enumerate(properties):
            where: Where = ("schema", 0, "properties", index)
            if column["name"].casefold() in {"_delivery", *map(str.casefold, kinds)}:
                yield (*where, "name"), f"{column['name']!r} is taken already"
            kinds[column["name"]] = kind_of(column)
            yield from column_faults(engine, column, where)
        yield from rule_faults(engine, schema[0])
    yield from sharing_faults(properties, ("schema", 0, "properties"))
    times = {
        column["name"]
        for column in properties
        if kinds[column["name"]] in ("DATE", "TIMESTAMP")
        and not is_personal(column.get("classification"))
    }
    yield from _level_faults(document, times)


def _level_faults(document: dict[str, Any], times: set[str]) -> Faults:
    elements, said = set[str](), set[str]()
    if "slaDefaultElement" in document:
        yield ("slaDefaultElement",), "the standard drops it: write element beside each property"
    for index, level in enumerate(document.get("slaProperties") or []):
        where: Where = ("slaProperties", index)
        if level["property"] not in LEVELS or level["property"] in said:
            what = f"this platform does not check it; it checks {' and '.join(LEVELS)}, each once"
            yield (*where, "property"), what
            continue
        said.add(level["property"])
        element = str(level.get("element", "")).split(".")[-1]
        elements.add(element)
        if element not in times:
            what = f"must name a column of type DATE or TIMESTAMP, {element!r} is none"
            yield (*where, "element"), what
        elif len(elements) > 1:
            yield (*where, "element"), f"must be one column, not {' and '.join(sorted(elements))}"
        if not isinstance(level.get("value"), int | float):
            yield (*where, "value"), f"must be a number, not {level.get('value')!r}"
        if level.get("unit") not in UNITS:
            yield (*where, "unit"), f"must be one of {', '.join(UNITS)}, not {level.get('unit')!r}"
        for name in ("schedule", "scheduler"):
            if name in level:
                yield (*where, name), "not followed: it is checked whenever the graph runs"


def _server_faults(server: dict[str, Any], table: dict[str, Any]) -> Faults:
    kind, written, names = server.get("type"), server.get("format"), names_of(server)
    if (kind, written) == ("custom", SQL):
        if not server.get("database"):
            yield ("servers", 0, "database"), "needed: the SQLite file in OPS_SOURCES, by name"
        if not table.get("physicalName"):
            yield ("schema", 0, "physicalName"), "needed: the table in the database"
    elif kind != "local" or written not in FORMATS:
        yield (
            ("servers", 0),
            f"type must be 'local' and format one of {', '.join(FORMATS)}; "
            f"or, for a database, type 'custom' and format {SQL!r}",
        )
    if not names:
        return
    where: Where = ("servers", 0, "customProperties")
    if written not in DELIMITERS:
        yield where, f"{NAMES} is for files without a header, of format {' or '.join(DELIMITERS)}"
    if len(set(map(str.casefold, names))) < len(names) or "" in names:
        yield where, f"{NAMES} must name each column of the file, none of them twice"
    for index, column in enumerate(table.get("properties") or []):
        for name in column.get("transformSourceObjects") or [column["name"]]:
            if name not in names:
                here: Where = ("schema", 0, "properties", index)
                yield here, f"{name!r} is none of the {NAMES} that the server names"


def names_of(server: dict[str, Any]) -> list[str]:
    """The names of the columns of a file without a header, in their order; else none."""
    for custom in server.get("customProperties") or []:
        if custom["property"] == NAMES:
            value = custom["value"]
            return list(map(str, value)) if isinstance(value, list) else [str(value)]
    return []


def owner_of(team: Any) -> str:
    """The team's name, or, in the standard's older form, that of its first member."""
    if isinstance(team, list):
        return str(team[0].get("username") or "") if team else ""
    return str((team or {}).get("name") or "")


def _field(where: Where) -> str:
    """Say `schema[0].properties[2].name`; of a fault of the whole file, `contract`."""
    dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where)
    return dotted.removeprefix(".") or "contract"


def _line(node: yaml.Node | None, where: Where) -> int:
    """The line on which the deepest part of `where` that the file has begins."""
    line = 0 if node is None else node.start_mark.line
    for part in where:
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == part]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            found = [(value, value) for value in node.value[part : part + 1]]
        else:
            found = []
        if not found:
            break
        # Of a key that is there twice the last one counts, as it does when the file is read.
        key, node = found[-1]
        line = key.start_mark.line
    return int(line) + 1
