"""What changed in a column from one version of a contract to the next."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ops_platform.ingest.column_faults import DEFAULT_TYPES
from ops_platform.ingest.personal import is_personal

Column = dict[str, Any]
# Each holds every value of those before it, and a query on them goes on as it was.
WIDER = (("SMALLINT", "INTEGER", "BIGINT"), ("FLOAT", "DOUBLE"))
DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")
# From the least to the most guarded; what is hashed is another matter.
GUARDED = ("public", "internal", "restricted", "confidential")
FLOORS = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
CEILINGS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
ADDS_OR_DROPS = ("required", "unique")
COMPARED = {
    "name", "logicalType", "physicalType", "logicalTypeOptions", "classification", "enum",
    "relationships", "transformLogic", "transformSourceObjects", "physicalName", "primaryKey",
    "primaryKeyPosition", *ADDS_OR_DROPS,
}  # fmt: skip


@dataclass(frozen=True)
class Change:
    """A change: the part of the contract, what changed, and whether it is breaking."""

    where: str
    what: str
    breaking: bool


def column_changes(where: str, old: Column, new: Column) -> Iterator[Change]:
    """Every change of a column that both versions have."""
    yield from _type_changes(where, old, new)
    for field in ADDS_OR_DROPS:
        before, after = bool(old.get(field)), bool(new.get(field))
        if before != after:
            yield Change(where, f"is {'now' if after else 'no longer'} {field}", after)
    yield from _enum_changes(where, *(_values(column) for column in (old, new)))
    options = [column.get("logicalTypeOptions") or {} for column in (old, new)]
    for name in sorted(options[0].keys() | options[1].keys()):
        yield from _option_changes(where, name, options[0].get(name), options[1].get(name))
    yield from _classification_changes(where, old, new)
    yield from _relationship_changes(where, old, new)
    inputs = [_inputs(column) for column in (old, new)]
    if inputs[0] != inputs[1]:
        what = f"was made from {', '.join(inputs[0])} and is from {', '.join(inputs[1])}"
        yield Change(where, what, True)
    if old.get("transformLogic") != new.get("transformLogic"):
        yield Change(where, "is made by other logic: the same delivery gives other values", True)
    for field in sorted((old.keys() | new.keys()) - COMPARED):
        if old.get(field) != new.get(field):
            yield Change(f"{where}.{field}", "changed", False)


def _inputs(column: Column) -> list[str]:
    return list(
        column.get("transformSourceObjects") or [column.get("physicalName") or column["name"]]
    )


def _type_changes(where: str, old: Column, new: Column) -> Iterator[Change]:
    before, after = _type(old), _type(new)
    logical = old.get("logicalType"), new.get("logicalType")
    if before != after:
        wider = _is_wider(before, after)
        yield Change(where, f"was {before} and is {after}{', wider' if wider else ''}", not wider)
    elif logical[0] != logical[1]:
        yield Change(where, f"was a {logical[0]} and is a {logical[1]}", True)


def _type(column: Column) -> str:
    given = column.get("physicalType") or DEFAULT_TYPES.get(str(column.get("logicalType")))
    return str(given).upper().replace(" ", "")


def _is_wider(old: str, new: str) -> bool:
    for kinds in WIDER:
        if old in kinds and new in kinds:
            return kinds.index(old) < kinds.index(new)
    before, after = DECIMAL.fullmatch(old), DECIMAL.fullmatch(new)
    if before is None or after is None:
        return False
    (digits, scale), (now, now_scale) = (map(int, found.groups()) for found in (before, after))
    return now_scale >= scale and now - now_scale >= digits - scale


def _values(column: Column) -> set[str] | None:
    return {str(one["value"]) for one in column["enum"]} if column.get("enum") else None


def _enum_changes(where: str, old: set[str] | None, new: set[str] | None) -> Iterator[Change]:
    if old == new:
        return
    if new is None:
        yield Change(where, "may have any value now", False)
    elif old is None:
        yield Change(where, f"must be one of {_listed(new)}", True)
    else:
        if old - new:
            yield Change(where, f"may no longer be {_listed(old - new)}", True)
        if new - old:
            yield Change(where, f"may also be {_listed(new - old)}", False)


def _listed(values: set[str]) -> str:
    return ", ".join(sorted(values))


def _option_changes(where: str, name: str, old: Any, new: Any) -> Iterator[Change]:
    if old == new:
        return
    before, after = ("none" if value is None else value for value in (old, new))
    what = f"{name} was {before} and is {after}"
    if name in ("defaultTimezone", "timezone"):
        yield Change(where, f"{what}: the same text is another moment", True)
    elif new is None:
        yield Change(where, what, False)
    elif old is not None and name in FLOORS:
        yield Change(where, what, not _at_most(new, old))
    elif old is not None and name in CEILINGS:
        yield Change(where, what, not _at_most(old, new))
    else:
        yield Change(where, what, True)


def _at_most(low: Any, high: Any) -> bool:
    """Whether one bound is not above another: numbers, or days and times as ISO texts."""
    try:
        return float(low) <= float(high)
    except (TypeError, ValueError):
        return str(low) <= str(high)


def _classification_changes(where: str, old: Column, new: Column) -> Iterator[Change]:
    before, after = old.get("classification"), new.get("classification")
    if before == after:
        return
    what = f"classification was {before or 'none'} and is {after or 'none'}"
    if is_personal(before) != is_personal(after):
        word = "hashed" if is_personal(after) else "no longer hashed"
        yield Change(where, f"{what}: values are {word}, so they are others than before", True)
    elif is_personal(before):
        yield Change(where, what, False)
    else:
        yield Change(where, what, _guard(after) > _guard(before))


def _guard(classification: str | None) -> int:
    word = (classification or GUARDED[0]).casefold()
    # A word that is not known may be the strictest.
    return GUARDED.index(word) if word in GUARDED else len(GUARDED)


def _relationship_changes(where: str, old: Column, new: Column) -> Iterator[Change]:
    # A reference that is not found warns, and its row is kept.
    before, after = (
        [str(one.get("to")) for one in column.get("relationships") or []] for column in (old, new)
    )
    for target in after:
        if target not in before:
            yield Change(where, f"should be found in {target}", False)
    for target in before:
        if target not in after:
            yield Change(where, f"need not be found in {target} any more", False)
