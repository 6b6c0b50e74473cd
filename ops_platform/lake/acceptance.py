"""Saying that a day's data is right as it is; what it holds later is not meant by that."""

from datetime import date, datetime

import duckdb

from ops_platform.errors import LakeError
from ops_platform.lake import faults
from ops_platform.lake.location import Lake
from ops_platform.lake.write import write


def accept(lake: Lake, source: str, day: date, *, who: str, why: str, now: datetime) -> list[str]:
    """Say that what was told of a day is right, or that nothing was to come on it.

    It counts as long as the day holds the same. Later days that are unfit lose their judgement:
    they are to be judged anew, for they may be like this one. Returns what was accepted, in words.
    Raises LakeError where the source was never judged, or nothing was told of a day with rows.
    """

    def accepting(connection: duckdb.DuckDBPyConnection) -> list[str]:
        faults.make(connection)
        days, judged = faults.read_days(connection, source), faults.read_judged(connection, source)
        if not days:
            raise LakeError(
                f"{source} has no profiles: is it the name of a source? "
                "Otherwise materialize monitor/profiles first"
            )
        seen = {
            (one.measure, one.column): faults.told(one)
            for one in judged.get(day, [])
            if one.is_anomaly
        }
        if day not in days:
            seen = {("missing", ""): "no rows"}
        if not seen:
            raise LakeError(
                f"nothing of {source} {day} is told to be unlike its history, so there is nothing "
                "to accept; a day is judged once it is over"
            )
        faults.forget(connection, faults.ACCEPTED, source, [day])
        for measure, column in seen:
            connection.execute(
                f"""INSERT INTO {faults.ACCEPTED} SELECT $source, $day, $measure, $column,
                coalesce((SELECT content FROM ({faults.CONTENTS})
                    WHERE source = $source AND period = $day AND "column" = $column),
                    '{faults.NO_ROWS}'), $who, $why, $now""",
                {
                    "source": source,
                    "day": day,
                    "measure": measure,
                    "column": column,
                    "who": who,
                    "why": why,
                    "now": now,
                },
            )
        unfit = [
            later
            for later, all_of_it in judged.items()
            if later > day and any(one.verdict == "unfit" for one in all_of_it)
        ]
        faults.forget(connection, faults.JUDGEMENTS, source, unfit)
        return list(seen.values())

    return write(lake, accepting)
