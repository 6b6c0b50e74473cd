"""The alarms of the inputs in a replay: decided day by day, and begun anew by each champion."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import cached_property

from ops_platform.lake.profile import Profile
from ops_platform.monitor.input_drift import InputDrift
from ops_platform.monitor.inputs import InputAlarm

Days = Mapping[date, Mapping[str, Profile]]


class InputWalk:
    """Judges the days of a history's inputs for one sequence of champions after the other.

    Parameters
    ----------
    model : its name.
    read : gives the profiles of each day by feature; asked once, when an alarm is asked for.
    false_alarm_days : of `InputDrift`.
    """

    def __init__(self, model: str, read: Callable[[], Days], false_alarm_days: float) -> None:
        """Keep what is given."""
        self.model = model
        self._read, self._false_alarm_days = read, false_alarm_days
        self._found: dict[tuple[date, ...], list[InputAlarm]] = {}

    @cached_property
    def _days(self) -> Days:
        return self._read()

    def alarms(self, champions: Sequence[date]) -> list[InputAlarm]:
        """Those on each day after the last champion's as-of, as if it served to the end.

        Parameters
        ----------
        champions : as-ofs, oldest first.
        """
        key = tuple(champions)
        if key not in self._found:
            self._found[key] = self._judged(key)
        return self._found[key]

    def _judged(self, champions: tuple[date, ...]) -> list[InputAlarm]:
        drift, found, waiting = InputDrift(self._false_alarm_days), list[InputAlarm](), champions
        for day in sorted(self._days):
            while waiting and day > waiting[0]:
                waiting = waiting[1:]
                drift.restart()
            judged = drift.judge(day, self._days[day])
            if judged.alarm and day > champions[-1]:
                changed = judged.changed
                since = [one.since for one in judged.features if one.since]
                seen = f"the inputs have changed: {', '.join(changed) or 'all a little'}"
                found.append(
                    InputAlarm(
                        self.model, len(champions), day, changed, seen, min(since, default=day)
                    )
                )
        return found
