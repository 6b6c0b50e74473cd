"""A source's contract: Open Data Contract Standard v3 YAML, read, validated and made plain."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import duckdb
import jsonschema
import yaml
from open_data_contract_standard.model import OpenDataContractStandard, SchemaProperty

from ops_platform.errors import ContractError
from ops_platform.ingest.sql import literal, quoted

DEFAULT_TYPES = {
    "string": "VARCHAR",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "time": "TIME",
}
KNOWN_TYPE = re.compile(
    r"VARCHAR|BIGINT|INTEGER|SMALLINT|DOUBLE|BOOLEAN|DATE|TIMESTAMP|TIME|DECIMAL\(\d+, ?\d+\)"
)
IDENTIFIER = re.compile(r"[a-z][a-z0-9_]*")
# Of what the standard lets a contract say of a value; a promise that nobody keeps is refused.
CHECKED = ("minimum", "maximum", "pattern", "defaultTimezone")
TEXTS = ("pattern", "defaultTimezone")
FORMATS = {"csv": ",", "tsv": "\t"}
SUFFIX = ".odcs.yaml"
Where = tuple[str | int, ...]


@dataclass(frozen=True)
class Column:
    """One column of a source: `name`, engine `type`, and what a value must be.

    `inputs` are the columns that the source delivers for it, `expression` the SQL that makes its
    text from them. Times are as the source writes them, in `timezone`.
    """

    name: str
    type: str
    inputs: tuple[str, ...]
    expression: str
    description: str
    required: bool = False
    minimum: float | None = None
    maximum: float | None = None
    pattern: str | None = None
    timezone: str = "UTC"


@dataclass(frozen=True)
class Contract:
    """A source as its contract states it; everything about the source is derived from here."""

    name: str
    version: str
    owner: str
    description: str
    location: str
    delimiter: str
    columns: tuple[Column, ...]
    event_time: str | None

    @property
    def inputs(self) -> list[str]:
        """The columns that a delivery must have, in the contract's order."""
        return list(dict.fromkeys(name for column in self.columns for name in column.inputs))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that decides what becomes of a record; words of description do not."""
        decides = [replace(column, description="") for column in self.columns]
        return hashlib.sha256(repr((self.delimiter, decides, self.event_time)).encode()).hexdigest()


def read_contracts(folder: Path) -> list[Contract]:
    """Every contract of the folder, by name; raises ContractError with all faults of all files."""
    paths = sorted(folder.glob(f"*{SUFFIX}"))
    if not paths:
        raise ContractError(f"no contract (*{SUFFIX}) in {folder}: write one, or set OPS_CONTRACTS")
    contracts, faults = [], []
    for path in paths:
        try:
            contracts.append(read_contract(path))
        except ContractError as error:
            faults.append(str(error))
    if faults:
        raise ContractError("\n".join(faults))
    return contracts


def read_contract(path: Path) -> Contract:
    """The contract in `path`; raises ContractError naming file, line and field of each fault."""
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text)
        document = json.loads(json.dumps(yaml.safe_load(text), default=str))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise ContractError(f"{path}{line}: can't be read as YAML: {error.problem}") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ContractError(f"{path}: can't be read as YAML: {error}") from error
    # The standard's schema says the same thing twice where two of its rules forbid it.
    faults = list(dict.fromkeys(_standard_faults(document))) or [*_platform_faults(document, path)]
    if faults:
        raise ContractError(
            "\n".join(
                f"{path}:{_line(node, where)}: {_field(where)}: {what}" for where, what in faults
            )
        )
    return _plain(OpenDataContractStandard.model_validate(document), _owner(document["team"]))


@cache
def _validator() -> Any:
    schema = json.loads(files("open_data_contract_standard").joinpath("schema.json").read_text())
    return jsonschema.validators.validator_for(schema)(schema)


def _standard_faults(document: Any) -> Iterator[tuple[Where, str]]:
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


def _platform_faults(document: dict[str, Any], path: Path) -> Iterator[tuple[Where, str]]:
    """What the standard allows and this platform can't use."""
    expected = path.name.removesuffix(SUFFIX)
    if document.get("name") != expected:
        yield ("name",), f"must be {expected!r}, the file's name"
    elif not IDENTIFIER.fullmatch(expected):
        yield ("name",), "it names a table: lower case letters, digits and _, a letter first"
    if not _owner(document.get("team")):
        yield ("team",), "a contract needs an owner: team.name"
    servers, schema = document.get("servers") or [], document.get("schema") or []
    if len(servers) != 1:
        yield ("servers",), "one server is needed: where the deliveries are"
    elif servers[0].get("type") != "local" or servers[0].get("format") not in FORMATS:
        yield ("servers", 0), f"type must be 'local' and format one of {', '.join(FORMATS)}"
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
            kinds[column["name"]] = _kind(column)
            yield from _column_faults(engine, column, where)
    for index, level in enumerate(document.get("slaProperties") or []):
        element = str(level.get("element", "")).split(".")[-1]
        if level["property"] == "freshness" and kinds.get(element) not in ("DATE", "TIMESTAMP"):
            yield (
                ("slaProperties", index, "element"),
                f"must name a column of type DATE or TIMESTAMP, {element!r} is none",
            )


def _kind(column: dict[str, Any]) -> str | None:
    return column.get("physicalType") or DEFAULT_TYPES.get(column.get("logicalType", ""))


def _column_faults(
    engine: duckdb.DuckDBPyConnection, column: dict[str, Any], where: Where
) -> Iterator[tuple[Where, str]]:
    kind = _kind(column)
    if (
        kind is None
        or not KNOWN_TYPE.fullmatch(kind)
        or _engine_fault(engine, f"SELECT NULL::{kind}")
    ):
        yield (*where, "physicalType"), f"{kind!r} is not a type of the engine"
    inputs, logic = column.get("transformSourceObjects") or [column["name"]], "transformLogic"
    if len(inputs) != 1 and not column.get(logic):
        yield (*where, logic), "needed to make one value from several source columns"
    elif column.get(logic):
        names = ", ".join(f"NULL::VARCHAR AS {quoted(name)}" for name in inputs)
        fault = _engine_fault(engine, f"SELECT ({column[logic]})::VARCHAR FROM (SELECT {names})")
        if fault:
            yield (*where, logic), f"the engine can't run it: {fault}"
    options = column.get("logicalTypeOptions") or {}
    for name, value in options.items():
        here = (*where, "logicalTypeOptions", name)
        if name not in CHECKED:
            yield here, f"this platform does not check it; it checks {', '.join(CHECKED)}"
        elif name not in TEXTS and not isinstance(value, int | float):
            yield here, f"must be a number, not {value!r}"
    if "defaultTimezone" in options and not _is_timezone(str(options["defaultTimezone"])):
        yield (*where, "logicalTypeOptions", "defaultTimezone"), "no such time zone is known"
    if column.get("classification"):
        yield (
            (*where, "classification"),
            "personal data is not hashed on entry yet, so no column may be classified",
        )
    if "pattern" in options:
        fault = _engine_fault(engine, f"SELECT regexp_matches('', {literal(options['pattern'])})")
        if fault:
            yield (*where, "logicalTypeOptions", "pattern"), f"no regular expression: {fault}"


def _is_timezone(name: str) -> bool:
    try:
        return bool(ZoneInfo(name))
    except (ZoneInfoNotFoundError, ValueError):
        return False


def _engine_fault(engine: duckdb.DuckDBPyConnection, query: str) -> str | None:
    """Why the engine refuses a query, in a line, or None when it runs."""
    try:
        engine.execute(query)
    except duckdb.Error as error:
        return str(error).splitlines()[0]
    return None


def _plain(document: OpenDataContractStandard, owner: str) -> Contract:
    server, table = (document.servers or [])[0], (document.schema_ or [])[0]
    freshness = [p for p in document.slaProperties or [] if p.property == "freshness"]
    return Contract(
        name=str(document.name),
        version=str(document.version),
        owner=owner,
        description=table.description or "",
        location=str(server.path),
        delimiter=FORMATS[str(server.format)],
        columns=tuple(_column(column) for column in table.properties or []),
        event_time=str(freshness[0].element).split(".")[-1] if freshness else None,
    )


def _owner(team: Any) -> str:
    """The team's name, or, in the standard's older form, that of its first member."""
    if isinstance(team, list):
        return str(team[0].get("username") or "") if team else ""
    return str((team or {}).get("name") or "")


def _column(column: SchemaProperty) -> Column:
    inputs = tuple(column.transformSourceObjects or [str(column.name)])
    options = column.logicalTypeOptions or {}
    return Column(
        name=str(column.name),
        type=column.physicalType or DEFAULT_TYPES[str(column.logicalType)],
        inputs=inputs,
        expression=column.transformLogic or quoted(inputs[0]),
        description=column.description or "",
        required=bool(column.required),
        minimum=options.get("minimum"),
        maximum=options.get("maximum"),
        pattern=options.get("pattern"),
        timezone=options.get("defaultTimezone", "UTC"),
    )


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
