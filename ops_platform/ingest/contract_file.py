"""A contract's file: Open Data Contract Standard v3 YAML, read, validated and made plain."""

import json
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from open_data_contract_standard.model import OpenDataContractStandard, SchemaProperty
from pydantic import SecretStr

from ops_platform.errors import ContractError, SourceError
from ops_platform.ingest.column_faults import DEFAULT_TYPES
from ops_platform.ingest.contract import Column, Contract, Reference
from ops_platform.ingest.contract_faults import (
    DELIMITERS,
    SQL,
    SUFFIX,
    UNITS,
    described,
    faults_of,
    names_of,
    owner_of,
)
from ops_platform.ingest.contract_rules import faults_between, quality_rules, references_of
from ops_platform.ingest.quality import is_for_people, quality_of
from ops_platform.ingest.sql import quoted


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


def read_contract_of(source: str, folder: Path, key: SecretStr | None) -> Contract:
    """A source's contract, read with all others; raises SourceError where there is none."""
    contracts = {contract.name: contract for contract in read_contracts(folder, key)}
    if source not in contracts:
        raise SourceError(f"there is no contract {source!r}: there is {', '.join(contracts)}")
    return contracts[source]


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
