"""A source's contract: Open Data Contract Standard v3 YAML, read, validated and made plain."""

import hashlib
import json
import re
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from open_data_contract_standard.model import OpenDataContractStandard, SchemaProperty
from pydantic import SecretStr

from ops_platform.errors import ContractError
from ops_platform.ingest import personal
from ops_platform.ingest.column_faults import DEFAULT_TYPES
from ops_platform.ingest.contract_faults import (
    DELIMITERS,
    JSON_LINES,
    SQL,
    SUFFIX,
    UNITS,
    described,
    faults_of,
    names_of,
    owner_of,
)
from ops_platform.ingest.contract_rules import faults_between, quality_rules, references_of
from ops_platform.ingest.quality import Quality, is_for_people, quality_of
from ops_platform.ingest.sql import quoted

# What the types of numbers differ in that may become wider: the whole ones, and those with a scale.
WIDTHS = re.compile(r"BIGINT|INTEGER|SMALLINT|(?<=DECIMAL)\(.*\)")
HALF = 32
Bound = float | str
# The column that features, models and the service know a customer by.
CUSTOMER = "customer_id"


@dataclass(frozen=True)
class Column:
    """One column of a source: `name`, engine `type`, and what a value must be.

    `inputs` are the columns that the source delivers for it, `expression` the SQL that makes its
    text from them. Times are as the source writes them, in `timezone`. Bounds of dates and times
    are texts. A personal column is judged by its own `type` and kept as a keyed hash.
    """

    name: str
    type: str
    inputs: tuple[str, ...]
    expression: str
    description: str
    required: bool = False
    minimum: Bound | None = None
    maximum: Bound | None = None
    exclusive_minimum: Bound | None = None
    exclusive_maximum: Bound | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    values: tuple[Any, ...] = ()
    timezone: str = "UTC"
    classification: str | None = None
    tags: tuple[str, ...] = ()

    @property
    def is_personal(self) -> bool:
        """Whether its values are replaced by a keyed hash on entry."""
        return personal.is_personal(self.classification)

    @property
    def stored_type(self) -> str:
        """Its type in the lake: a hash is text."""
        return "VARCHAR" if self.is_personal else self.type


@dataclass(frozen=True)
class Reference:
    """Columns whose values another source should have: `columns` here, `to` in `source`."""

    columns: tuple[str, ...]
    source: str
    to: tuple[str, ...]


@dataclass(frozen=True)
class Contract:
    """A source as its contract states it; everything about the source is derived from here.

    `event_time` is the column that says when a row happened. Its newest value may be as old as
    `freshness`, and was no older than `latency` when its delivery arrived. The values of each of
    `keys` stand in one row only.

    `format` is what its deliveries are: csv (tab-separated too), json, parquet or sql. `delimiter`
    stands between the fields of a delivery; where that is JSON lines or the extract of a table,
    between those of the plain copy that is made of it. `names` are those of the columns of a file
    without a header, in their order; `table` is that of the database.

    `document` is all that the contract says, and `key` the secret by which the personal columns
    are hashed.
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
    format: str = "csv"
    names: tuple[str, ...] = ()
    table: str = ""
    latency: timedelta | None = None
    keys: tuple[tuple[str, ...], ...] = ()
    references: tuple[Reference, ...] = ()
    quality: tuple[Quality, ...] = ()
    document: OpenDataContractStandard = field(
        default_factory=OpenDataContractStandard.model_construct, repr=False, compare=False
    )
    key: SecretStr | None = field(default=None, repr=False, compare=False)

    @property
    def is_json(self) -> bool:
        """Whether its deliveries are JSON lines."""
        return self.format == JSON_LINES

    @property
    def required_inputs(self) -> list[str]:
        """The columns of a delivery without which no row could satisfy the contract."""
        columns = (column for column in self.columns if column.required)
        return list(dict.fromkeys(name for column in columns for name in column.inputs))

    @property
    def inputs(self) -> list[str]:
        """The columns that a delivery must have, in the contract's order."""
        return list(dict.fromkeys(name for column in self.columns for name in column.inputs))

    @property
    def personal_columns(self) -> list[str]:
        """The columns that are hashed on entry."""
        return [column.name for column in self.columns if column.is_personal]

    @cached_property
    def digest(self) -> str:
        """A digest of all that decides what becomes of a record; words of description do not.

        Another key makes other hashes, so it decides too. Its first half is of all but how wide
        the numbers are, its second half of that.
        """
        decides = [
            replace(
                column,
                description="",
                tags=(),
                type=column.type if column.is_personal else WIDTHS.sub("number", column.type),
            )
            for column in self.columns
        ]
        text = self.format in DELIMITERS
        shape = [self.delimiter, *self.names] if text else [self.format, self.table]
        if self.personal_columns:
            shape.append(personal.fingerprint(self.require_key()))
        halves = (
            (*shape, decides, self.event_time, self.keys),
            [column.type for column in self.columns],
        )
        return "".join(hashlib.sha256(repr(half).encode()).hexdigest()[:HALF] for half in halves)

    def require_key(self) -> SecretStr:
        """The key; raises HashKeyError where it is not set."""
        return personal.require(
            self.key,
            f"{self.name}: {', '.join(self.personal_columns)} is personal data, hashed on entry",
        )


def same_but_for_widths(one: str, other: str) -> bool:
    """Whether the contracts with these digests differ at most in how wide their numbers are."""
    return one[:HALF] == other[:HALF]


def read_contracts(folder: Path, key: SecretStr | None = None) -> list[Contract]:
    """Every contract of the folder, by name, with the key that hashes personal data.

    Raises ContractError with all faults of all files, and of what one says of another.
    """
    paths = sorted(folder.glob(f"*{SUFFIX}"))
    if not paths:
        raise ContractError(f"no contract (*{SUFFIX}) in {folder}: write one, or set OPS_CONTRACTS")
    read, faults = [], []
    for path in paths:
        try:
            read.append(_Read.of(path))
        except ContractError as error:
            faults.append(str(error))
    if not faults:
        documents = {one.document["name"]: one.document for one in read}
        faults = [
            described(one.node, one.path, *fault)
            for one in read
            for fault in faults_between(one.document, documents)
        ]
    if faults:
        raise ContractError("\n".join(faults))
    return [replace(_plain(one.document), key=key) for one in read]


def customer_key(contracts: list[Contract]) -> str | None:
    """The fingerprint of the key by which customers' ids are hashed, None where they are plain.

    Raises HashKeyError where they are and the key is not set.
    """
    for contract in contracts:
        if CUSTOMER in contract.personal_columns:
            return personal.fingerprint(contract.require_key())
    return None


def read_contract(path: Path) -> Contract:
    """The contract in `path`; raises ContractError naming file, line and field of each fault.

    What it says of other sources, and its SQL, is judged where all contracts are read.
    """
    return _plain(_Read.of(path).document)


@dataclass(frozen=True)
class _Read:
    """A file's document, found without fault in itself, and where in the file each part stands."""

    path: Path
    node: yaml.Node | None
    document: dict[str, Any]

    @classmethod
    def of(cls, path: Path) -> "_Read":
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
        return cls(path, node, document)


def _plain(read: dict[str, Any]) -> Contract:
    document = OpenDataContractStandard.model_validate(read)
    server, table = (document.servers or [])[0], read["schema"][0]
    properties = (document.schema_ or [])[0].properties or []
    levels = {level["property"]: level for level in read.get("slaProperties") or []}
    timed = next((levels[name] for name in ("freshness", "latency") if name in levels), None)
    return Contract(
        name=str(document.name),
        version=str(document.version),
        owner=owner_of(read["team"]),
        description=table.get("description") or "",
        location=str(server.database if server.format == SQL else server.path),
        delimiter=DELIMITERS.get(str(server.format), ","),
        format=str(server.format),
        names=tuple(names_of(server.model_dump())),
        table=str(table.get("physicalName") or ""),
        columns=tuple(_column(column) for column in properties),
        event_time=str(timed["element"]).split(".")[-1] if timed else None,
        document=document,
        freshness=_duration(levels.get("freshness")),
        latency=_duration(levels.get("latency")),
        keys=_keys(properties),
        references=tuple(
            Reference(columns, source, to) for _, columns, source, to in references_of(table)
        ),
        quality=tuple(
            quality_of(rule, str(document.name), column)
            for _, rule, column in quality_rules(table)
            if not is_for_people(rule)
        ),
    )


def _duration(level: dict[str, Any] | None) -> timedelta | None:
    if level is None:
        return None
    return timedelta(**{UNITS[str(level["unit"])]: float(level["value"])})


def _keys(properties: list[SchemaProperty]) -> tuple[tuple[str, ...], ...]:
    """The primary key, by its positions, and each unique column."""
    primary = [
        (column.primaryKeyPosition or 0, n, str(column.name))
        for n, column in enumerate(properties)
        if column.primaryKey
    ]
    keys = [tuple(name for *_, name in sorted(primary))] if primary else []
    keys += [(str(column.name),) for column in properties if column.unique]
    return tuple(dict.fromkeys(keys))


def _column(column: SchemaProperty) -> Column:
    inputs = tuple(column.transformSourceObjects or [column.physicalName or str(column.name)])
    options = column.logicalTypeOptions or {}
    return Column(
        name=str(column.name),
        type=column.physicalType or DEFAULT_TYPES[str(column.logicalType)],
        inputs=inputs,
        expression=column.transformLogic or quoted(inputs[0]),
        description=column.description or "",
        required=bool(column.required or column.primaryKey),
        minimum=options.get("minimum"),
        maximum=options.get("maximum"),
        exclusive_minimum=options.get("exclusiveMinimum"),
        exclusive_maximum=options.get("exclusiveMaximum"),
        min_length=options.get("minLength"),
        max_length=options.get("maxLength"),
        pattern=options.get("pattern"),
        values=tuple(allowed.value for allowed in column.enum or []),
        timezone=options.get("defaultTimezone", "UTC"),
        classification=column.classification,
        tags=tuple(column.tags or []),
    )
