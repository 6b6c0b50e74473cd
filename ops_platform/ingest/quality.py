"""A contract's quality rules: the standard's library metrics and SQL, each one number to judge."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ops_platform.ingest.sql import literal, quoted

# Of a column, and of the table.
COLUMN_METRICS = {
    "nullValues": (),
    "missingValues": ("missingValues",),
    "invalidValues": ("validValues", "pattern"),
    "duplicateValues": (),
}
TABLE_METRICS = {"rowCount": (), "duplicateValues": ("properties",)}
# These look at the values themselves, of which a hashed column has none.
METRICS_OF_VALUES = ("missingValues", "invalidValues")
SEVERITIES = ("info", "warning", "error")
UNITS = ("rows", "percent")
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "mustBe": lambda found, bound: found == bound,
    "mustNotBe": lambda found, bound: found != bound,
    "mustBeGreaterThan": lambda found, bound: found > bound,
    "mustBeGreaterOrEqualTo": lambda found, bound: found >= bound,
    "mustBeLessThan": lambda found, bound: found < bound,
    "mustBeLessOrEqualTo": lambda found, bound: found <= bound,
    "mustBeBetween": lambda found, bound: bound[0] <= found <= bound[1],
    "mustNotBeBetween": lambda found, bound: not bound[0] <= found <= bound[1],
}
_PLACE = re.compile(r"\$?\{(object|table|property|column)\}")


@dataclass(frozen=True)
class Quality:
    """A rule that warns: the number that `query` finds, compared with `bound` by `operator`."""

    name: str
    description: str
    severity: str
    query: str
    operator: str
    bound: Any

    def holds(self, found: Any) -> bool:
        """Whether what the query found is as the rule says; nothing found never is."""
        if found is None:
            return False
        return OPERATORS[self.operator](
            float(found) if isinstance(found, Decimal) else found, self.bound
        )

    @property
    def expected(self) -> str:
        """What the number must be, in words: `must be less than 5`."""
        words = re.sub(r"(?<!^)([A-Z])", lambda found: " " + found[1].lower(), self.operator)
        return f"{words} {self.bound}"


def quality_of(rule: dict[str, Any], table: str, column: str | None) -> Quality:
    """A rule of the contract's document, which has been found without fault."""
    operator = operator_of(rule)
    return Quality(
        name=name_of(rule, column),
        description=rule.get("description") or "",
        severity=rule.get("severity", "warning"),
        query=query_of(rule, table, column),
        operator=operator,
        bound=rule[operator],
    )


def name_of(rule: dict[str, Any], column: str | None) -> str:
    """The name of the rule's check: its own, or that of what it measures."""
    what = rule.get("name") or rule.get("id") or rule.get("metric") or "sql"
    words = re.sub(r"\W+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", what)).strip("_").lower()
    return "_".join(("quality", *([column] if column else []), words))


def operator_of(rule: dict[str, Any]) -> str:
    """The one operator of a rule."""
    return next(name for name in OPERATORS if name in rule)


def is_for_people(rule: dict[str, Any]) -> bool:
    """Whether a rule is a text, which the standard means for people."""
    return rule.get("type") == "text"


def query_of(rule: dict[str, Any], table: str, column: str | None) -> str:
    """The query of one number, on the table of that name in the schema `raw`."""
    raw = f"raw.{quoted(table)}"
    if rule.get("type") == "sql":
        names = {"object": raw, "table": raw}
        names |= {"property": quoted(column), "column": quoted(column)} if column else {}
        return _PLACE.sub(lambda place: names.get(place[1], place[0]), rule["query"])
    counted = _counted(rule, column)
    if rule.get("unit") == "percent":
        counted = f"coalesce(100.0 * {counted} / nullif(count(*), 0), 0)"
    return f"SELECT {counted} FROM {raw}"


def _counted(rule: dict[str, Any], column: str | None) -> str:
    metric, arguments = rule["metric"], rule.get("arguments") or {}
    if metric == "rowCount":
        return "count(*)"
    if metric == "duplicateValues":
        names = [column] if column else arguments["properties"]
        key = ", ".join(quoted(name) for name in names)
        there = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in names)
        return f"(count(*) FILTER ({there}) - count(DISTINCT ({key})) FILTER ({there}))"
    value = quoted(str(column))
    if metric == "nullValues":
        return f"count(*) FILTER ({value} IS NULL)"
    if metric == "missingValues":
        missing = arguments.get("missingValues", [None, ""])
        return f"count(*) FILTER ({value} IS NULL OR {_is_one_of(value, missing)})"
    broken = []
    if "validValues" in arguments:
        broken.append(f"NOT {_is_one_of(value, arguments['validValues'])}")
    if "pattern" in arguments:
        broken.append(f"NOT regexp_matches({value}::VARCHAR, {literal(arguments['pattern'])})")
    return f"count(*) FILTER ({value} IS NOT NULL AND ({' OR '.join(broken)}))"


def _is_one_of(value: str, these: list[Any]) -> str:
    same = [_is(value, one) for one in these if one is not None]
    return f"({' OR '.join(same)})" if same else "false"


def _is(value: str, one: Any) -> str:
    # Whatever the column's type is, nothing here may fail to convert.
    if isinstance(one, bool):
        return f"coalesce(TRY_CAST({value} AS BOOLEAN) = {one}, false)"
    if isinstance(one, int | float):
        return f"coalesce(TRY_CAST({value} AS DOUBLE) = {one}, false)"
    return f"{value}::VARCHAR = {literal(str(one))}"
