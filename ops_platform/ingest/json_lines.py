"""JSON lines: each line one object, made a record of the texts that its contract reads.

The engine never reads them. `json` does, and what it reads is handed on in a plain copy, as with
CSV files that are not in plain form (see `records`), so that all that follows is the same.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ops_platform.ingest.opened import open_text
from ops_platform.ingest.records import LIMIT, Record


class _UnparsableError(ValueError):
    """A line that is no record, with what is wrong with it."""


def read(path: Path, names: Sequence[str]) -> Iterator[Record]:
    """A record for each line that is not blank: the values of `names` as texts.

    Null and a name that is not there are empty; numbers keep the text they are written in. The
    file must be UTF-8.
    """
    with open_text(path, newline="\n") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                record = _object(line)
                fields, faults = [_text(record, name) for name in names], tuple[str, ...]()
            except _UnparsableError as error:
                fields, faults = [], (f"can't be parsed: {error}",)
            yield Record(number, 1, fields, faults)


def look(path: Path, required: Sequence[str]) -> tuple[int, dict[str, None], str | None]:
    """The number of records, all names, and why the file must be refused whole, if it must.

    It must when no line is an object, or when no object has a name that a required column is made
    from: then it is another kind of file. What only some objects lack is empty in those.
    """
    count, names, objects = 0, dict[str, None](), 0
    with open_text(path, newline="\n") as file:
        for line in file:
            if not line.strip():
                continue
            count += 1
            try:
                record = _object(line)
            except _UnparsableError:
                continue
            objects += 1
            names.update(dict.fromkeys(record))
    missing, fault = [name for name in required if name not in names], None
    if not objects:
        fault = "no line is a JSON object: deliver one object a line, as the contract says"
    elif missing:
        fault = f"missing column {', '.join(missing)}: no line has it"
    return count, names, fault


def _object(line: str) -> dict[str, Any]:
    try:
        found = json.loads(
            line,
            parse_int=str,
            parse_float=str,
            parse_constant=_refuse_constant,
            object_pairs_hook=_once_each,
        )
    except json.JSONDecodeError as error:
        raise _UnparsableError(f"not JSON ({error.msg})") from error
    except RecursionError as error:
        raise _UnparsableError("not JSON (nested too deep)") from error
    if not isinstance(found, dict):
        raise _UnparsableError("no JSON object")
    return found


def _refuse_constant(name: str) -> None:
    raise _UnparsableError(f"not JSON ({name})")


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _UnparsableError("an object has a name twice")
    return found


def _text(record: dict[str, Any], name: str) -> str:
    value = record.get(name)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        raise _UnparsableError(f"{name} is nested")
    if len(value) > LIMIT:
        raise _UnparsableError(f"{name} is longer than {LIMIT:,} characters")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _UnparsableError(f"{name} holds half a character") from error
    return value
