"""A source's contract: Open Data Contract Standard v3 YAML, read, validated and made plain."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from open_data_contract_standard.model import OpenDataContractStandard, SchemaProperty

from ops_platform.errors import ContractError

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
FORMATS = {"csv": ",", "tsv": "\t"}
SUFFIX = ".odcs.yaml"
Where = tuple[str | int, ...]


@dataclass(frozen=True)
class Column:
    """One column of a source: `name`, engine `type`, and what a value must be.

    `inputs` are the columns that the source delivers for it, `expression` the SQL that makes its
    text from them.
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
    classification: str | None = None


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
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ContractError(f"{path}: can't be read as YAML: {error}") from error
    faults = list(_standard_faults(document)) or list(_platform_faults(document, path))
    if faults:
        raise ContractError(
            "\n".join(
                f"{path}:{_line(node, where)}: {_field(where)}: {what}" for where, what in faults
            )
        )
    return _plain(OpenDataContractStandard.model_validate(document))


@cache
def _validator() -> jsonschema.Draft201909Validator:
    schema = json.loads(files("open_data_contract_standard").joinpath("schema.json").read_text())
    return jsonschema.validators.validator_for(schema)(schema)


def _standard_faults(document: Any) -> Iterator[tuple[Where, str]]:
    for error in sorted(_validator().iter_errors(document), key=lambda e: list(map(str, e.path))):
        # Of alternatives (anyOf, oneOf) the deepest fault is the one that the author made.
        best = jsonschema.exceptions.best_match([error])
        yield tuple(best.absolute_path), best.message


def _platform_faults(document: dict[str, Any], path: Path) -> Iterator[tuple[Where, str]]:
    """What the standard allows and this platform can't use."""
    expected = path.name.removesuffix(SUFFIX)
    if document.get("name") != expected:
        yield ("name",), f"must be {expected!r}, the file's name"
    if not (document.get("team") or {}):
        yield ("team",), "a contract needs an owner: team.name"
    servers, schema = document.get("servers") or [], document.get("schema") or []
    if len(servers) != 1:
        yield ("servers",), "one server is needed: where the deliveries are"
    elif servers[0].get("type") != "local" or servers[0].get("format") not in FORMATS:
        yield ("servers", 0), f"type must be 'local' and format one of {', '.join(FORMATS)}"
    if len(schema) != 1:
        yield ("schema",), "one schema object is needed"
        return
    names = {column["name"] for column in schema[0].get("properties") or []}
    if not names:
        yield ("schema", 0), "at least one property is needed"
    for index, column in enumerate(schema[0].get("properties") or []):
        where: Where = ("schema", 0, "properties", index)
        yield from _column_faults(column, where)
    for index, level in enumerate(document.get("slaProperties") or []):
        element = str(level.get("element", "")).split(".")[-1]
        if level["property"] == "freshness" and element not in names:
            yield ("slaProperties", index), f"element must name a column, {element!r} is none"


def _column_faults(column: dict[str, Any], where: Where) -> Iterator[tuple[Where, str]]:
    kind = column.get("physicalType") or DEFAULT_TYPES.get(column.get("logicalType", ""))
    if kind is None or not KNOWN_TYPE.fullmatch(kind):
        yield (*where, "physicalType"), f"{kind!r} is not a type of the engine"
    if len(column.get("transformSourceObjects") or [1]) != 1 and not column.get("transformLogic"):
        yield (*where, "transformLogic"), "needed to make one value from several source columns"
    pattern = (column.get("logicalTypeOptions") or {}).get("pattern")
    if pattern is not None:
        try:
            re.compile(pattern)
        except re.error as error:
            yield (*where, "logicalTypeOptions"), f"pattern is no regular expression: {error}"


def _plain(document: OpenDataContractStandard) -> Contract:
    server, table = (document.servers or [])[0], (document.schema_ or [])[0]
    freshness = [p for p in document.slaProperties or [] if p.property == "freshness"]
    return Contract(
        name=str(document.name),
        version=str(document.version),
        owner=_owner(document.team),
        description=table.description or "",
        location=str(server.path),
        delimiter=FORMATS[str(server.format)],
        columns=tuple(_column(column) for column in table.properties or []),
        event_time=str(freshness[0].element).split(".")[-1] if freshness else None,
    )


def _owner(team: Any) -> str:
    return str(team.name if hasattr(team, "name") else team[0].username)


def _column(column: SchemaProperty) -> Column:
    inputs = tuple(column.transformSourceObjects or [str(column.name)])
    options = column.logicalTypeOptions or {}
    return Column(
        name=str(column.name),
        type=column.physicalType or DEFAULT_TYPES[str(column.logicalType)],
        inputs=inputs,
        expression=column.transformLogic or '"' + inputs[0].replace('"', '""') + '"',
        description=column.description or "",
        required=bool(column.required),
        minimum=options.get("minimum"),
        maximum=options.get("maximum"),
        pattern=options.get("pattern"),
        classification=column.classification,
    )


def _field(where: Where) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where)[1:]


def _line(node: yaml.Node, where: Where) -> int:
    """The line on which the deepest part of `where` that the file has begins."""
    for part in where:
        if isinstance(node, yaml.MappingNode):
            found = [value for key, value in node.value if key.value == part]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            found = node.value[part : part + 1]
        else:
            found = []
        if not found:
            break
        node = found[0]
    return int(node.start_mark.line) + 1
