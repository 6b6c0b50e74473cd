"""What is known at a moment: the rows of a mart that have happened and arrived before it."""

from datetime import timedelta

import ibis
import ibis.expr.types as ir

DAY = timedelta(days=1)


def days(count: int) -> ir.IntervalScalar:
    """So many days."""
    return ibis.literal(count).as_interval("D")


def days_before(as_of: ir.TimestampValue, day: ir.DateValue) -> ir.IntegerValue:
    """Whole days from the end of `day` to the moment: 0 just after midnight of the next day."""
    return (as_of.date().delta(day, unit="day") - 1).cast("int64")


def happened(
    time: ir.TimestampValue | ir.DateValue, as_of: ir.TimestampValue, ttl: timedelta | None
) -> list[ir.BooleanValue]:
    """The conditions under which an event counts at the moment `as_of`.

    A time counts if it is before the moment, a day if it has ended by then; neither if it, or a
    part of it, is longer ago than `ttl`.
    """
    if isinstance(time, ir.DateValue):
        time = time.cast("timestamp")
        counts = [time + days(1) <= as_of]
    else:
        counts = [time < as_of]
    if ttl is not None:
        counts.append(time >= as_of - days(ttl // DAY))
    return counts
