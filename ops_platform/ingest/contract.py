"""A source's contract: Open Data Contract Standard v3 YAML, read, validated and made plain."""

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path

import yaml
from open_data_contract_standard.model import OpenDataContractStandard, SchemaProperty

from ops_platform.errors import ContractError
from ops_platform.ingest.contract_faults import (
    DEFAULT_TYPES,
    DELIMITERS,
    JSON_LINES,
    SUFFIX,
    UNITS,
    described,
    faults_of,
    owner_of,
)
from ops_platform.ingest.sql import quoted


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
    classification: str | None = None


@dataclass(frozen=True)
class Contract:
    """A source as its contract states it; everything about the source is derived from here.

    `event_time` is the column that says when a row happened, and its newest value may be as old as
    `freshness`.

    `delimiter` stands between the fields of a delivery; where that is JSON lines, between those of
    the plain copy that is made of it.
    """

    name: str
    version: str
    owner: str
    description: str
    location: str
    delimiter: str
    columns: tuple[Column, ...]
    event_time: str | None
    freshness: timedelta | None = None
    is_json: bool = False

    @property
    def format(self) -> str:
        """What its deliveries are, in a word."""
        return JSON_LINES if self.is_json else "csv"

    @property
    def required_inputs(self) -> list[str]:
        """The columns of a delivery without which no row could satisfy the contract."""
        columns = (column for column in self.columns if column.required)
        return list(dict.fromkeys(name for column in columns for name in column.inputs))

    @property
    def inputs(self) -> list[str]:
        """The columns that a delivery must have, in the contract's order."""
        return list(dict.fromkeys(name for column in self.columns for name in column.inputs))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that decides what becomes of a record; words of description do not."""
        decides = [replace(column, description="") for column in self.columns]
        shape = (JSON_LINES,) if self.is_json else (self.delimiter,)
        return hashlib.sha256(repr((*shape, decides, self.event_time)).encode()).hexdigest()


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
    faults = faults_of(document, path)
    if faults:
        raise ContractError("\n".join(described(node, path, *fault) for fault in faults))
    return _plain(OpenDataContractStandard.model_validate(document), owner_of(document["team"]))


def _plain(document: OpenDataContractStandard, owner: str) -> Contract:
    server, table = (document.servers or [])[0], (document.schema_ or [])[0]
    freshness = [p for p in document.slaProperties or [] if p.property == "freshness"]
    return Contract(
        name=str(document.name),
        version=str(document.version),
        owner=owner,
        description=table.description or "",
        location=str(server.path),
        delimiter=DELIMITERS.get(str(server.format), ","),
        is_json=server.format == JSON_LINES,
        columns=tuple(_column(column) for column in table.properties or []),
        event_time=str(freshness[0].element).split(".")[-1] if freshness else None,
        freshness=timedelta(**{UNITS[str(freshness[0].unit)]: float(freshness[0].value)})
        if freshness
        else None,
    )


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
        classification=column.classification,
    )
