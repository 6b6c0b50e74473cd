"""What changed between two versions of a contract, and what of it breaks somebody.

A change is breaking when a delivery that was fine may be refused or quarantined under the new
contract, or when a query on the old table may fail or mean something else on the new one. It needs
a new major version. What only asks for less, or only adds, is not breaking.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from open_data_contract_standard.model import OpenDataContractStandard

from ops_platform.errors import ContractError
from ops_platform.ingest.column_diff import Change, column_changes

Document = dict[str, Any]
_MAJOR = re.compile(r"v?(\d+)")
_NOT_COMPARED = ("name", "schema", "servers", "slaProperties", "version")


@dataclass(frozen=True)
class Diff:
    """Every change from a contract's version `old` to its version `new`."""

    old: str
    new: str
    changes: list[Change]

    @property
    def is_breaking(self) -> bool:
        """Whether any of the changes is breaking."""
        return any(change.breaking for change in self.changes)

    @property
    def is_allowed(self) -> bool:
        """Whether nothing breaks, or the major version says so."""
        return not self.is_breaking or _major(self.new) > _major(self.old)


def diff(old: Path, new: Path) -> Diff:
    """Compare the contracts in two files.

    Raises ContractError when one can't be read, is no contract, or has no version to compare.
    """
    before, after = _read(old), _read(new)
    for document, path in ((before, old), (after, new)):
        if not _MAJOR.match(str(document.get("version"))):
            raise ContractError(f"{path}: version: must begin with a number, 2.0.0 say")
    return Diff(str(before["version"]), str(after["version"]), list(_changes(before, after)))


def _read(path: Path) -> Document:
    try:
        document = json.loads(json.dumps(yaml.safe_load(path.read_text("utf-8")), default=str))
        found = OpenDataContractStandard.model_validate(document)
    except OSError as error:
        raise ContractError(f"{path}: can't be read: {error.strerror}") from error
    except (ValueError, yaml.YAMLError) as error:
        told = " ".join(str(error).split())[:300]
        raise ContractError(f"{path}: is no contract that can be read: {told}") from error
    if found.kind != "DataContract":
        raise ContractError(f"{path}: is no contract: its kind is not DataContract")
    return found.model_dump(by_alias=True, exclude_none=True)


def _major(version: str) -> int:
    found = _MAJOR.match(version)
    return int(found[1]) if found else 0


def _changes(old: Document, new: Document) -> Iterator[Change]:
    if old.get("name") != new.get("name"):
        yield Change("name", f"{old.get('name')} is now {new.get('name')}: other tables", True)
    for name in sorted((old.keys() | new.keys()) - set(_NOT_COMPARED)):
        if old.get(name) != new.get(name):
            yield Change(name, "changed", False)
    yield from _server_changes(old.get("servers") or [], new.get("servers") or [])
    yield from _level_changes(_levels(old), _levels(new))
    tables, now = ({table["name"]: table for table in d.get("schema") or []} for d in (old, new))
    for name, table in tables.items():
        if name in now:
            yield from _table_changes(name, table, now[name])
        else:
            yield Change(name, "the table is removed", True)
    yield from (Change(name, "the table is new", False) for name in now if name not in tables)


def _server_changes(old: list[Document], new: list[Document]) -> Iterator[Change]:
    """What a server says of deliveries is how they are written and found; the rest is words."""
    words = ("id", "server", "description", "environment", "roles", "authoritativeDefinitions")
    for index in range(max(len(old), len(new))):
        before, after = (servers[index] if index < len(servers) else {} for servers in (old, new))
        for name in sorted(before.keys() | after.keys()):
            if before.get(name) != after.get(name):
                told = f"{before.get(name)} is now {after.get(name)}"
                what = told if name in words else f"{told}: deliveries are made in another way"
                yield Change(f"servers[{index}].{name}", what, name not in words)


def _levels(document: Document) -> dict[str, Document]:
    return {str(level["property"]): level for level in document.get("slaProperties") or []}


def _level_changes(old: dict[str, Document], new: dict[str, Document]) -> Iterator[Change]:
    """A service level refuses nothing, but the element of freshness says when a row happened."""
    events = [levels.get("freshness", {}).get("element") for levels in (old, new)]
    if events[0] != events[1]:
        what = f"the event time was {events[0] or 'none'} and is {events[1] or 'none'}"
        yield Change("slaProperties.freshness", what, True)
    for name in sorted(old.keys() | new.keys()):
        before, after = (
            {key: value for key, value in levels.get(name, {}).items() if key != "element"}
            for levels in (old, new)
        )
        if before != after:
            yield Change(
                f"slaProperties.{name}", f"was {_level(before)} and is {_level(after)}", False
            )


def _level(level: Document) -> str:
    return f"{level['value']} {level.get('unit', '')}".strip() if level else "none"


def _table_changes(name: str, old: Document, new: Document) -> Iterator[Change]:
    if old.get("physicalName") != new.get("physicalName"):
        what = f"{old.get('physicalName')} is now {new.get('physicalName')}"
        yield Change(f"{name}.physicalName", what, True)
    keys = [_key(old), _key(new)]
    if keys[0] != keys[1]:
        yield Change(name, f"the key was {_named(keys[0])} and is {_named(keys[1])}", True)
    columns, now = ({one["name"]: one for one in t.get("properties") or []} for t in (old, new))
    for column, before in columns.items():
        where = f"{name}.{column}"
        if column in now:
            yield from column_changes(where, before, now[column])
        else:
            yield Change(where, "the column is removed", True)
    for column, after in now.items():
        if column not in columns:
            required = bool(after.get("required"))
            what = "the column is new" + (" and required of every delivery" if required else "")
            yield Change(f"{name}.{column}", what, required)
    for field in sorted((old.keys() | new.keys()) - {"name", "physicalName", "properties"}):
        if old.get(field) != new.get(field):
            yield Change(f"{name}.{field}", "changed", False)


def _key(table: Document) -> list[str]:
    columns = [one for one in table.get("properties") or [] if one.get("primaryKey")]
    return sorted(str(one["name"]) for one in columns)


def _named(key: list[str]) -> str:
    return ", ".join(key) or "none"
