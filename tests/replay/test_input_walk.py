"""The inputs' alarms in a replay, on days that are made up."""

from datetime import date, timedelta

import numpy as np
import pytest

from ops_platform.lake.profile import Profile
from ops_platform.replay.input_walk import InputWalk

FIRST, COUNT, SHIFT = date(2024, 1, 1), 125, 100
DAYS = [FIRST + timedelta(days=one) for one in range(COUNT)]


@pytest.fixture(scope="module")
def profiles() -> dict[date, dict[str, Profile]]:
    """Of one category, whose shares move on a day."""
    rng = np.random.default_rng(1)

    def of(at: int) -> Profile:
        shares = [0.5, 0.3, 0.2] if at < SHIFT else [0.3, 0.3, 0.4]
        counts = dict(zip("ABC", rng.multinomial(600, shares).tolist(), strict=True))
        return Profile(600, 0, 3, None, None, None, None, counts, ())

    return {day: {"interactions/kind": of(at)} for at, day in enumerate(DAYS)}


def test_an_alarm_is_of_a_day_after_the_champion_and_of_no_later_profile(profiles):
    one = InputWalk("recommender", lambda: profiles, 365.0)

    (alarm,) = one.alarms([DAYS[60]])

    assert SHIFT <= (alarm.period - FIRST).days <= SHIFT + 10
    assert alarm.headline.startswith(f"alarm recommender-inputs-{alarm.period}: the inputs have")
    assert "interactions/kind" in alarm.seen
    until = {day: found for day, found in profiles.items() if day <= alarm.period}
    assert InputWalk("recommender", lambda: until, 365.0).alarms([DAYS[60]]) == [alarm]
    assert one.alarms([DAYS[60], alarm.period]) == []


def test_the_profiles_are_read_once_and_only_if_asked_for(profiles):
    asked = []

    def read():
        asked.append(1)
        return profiles

    one = InputWalk("recommender", read, 365.0)
    assert asked == []
    for champions in ([DAYS[60]], [DAYS[60], DAYS[110]], [DAYS[60]]):
        one.alarms(champions)
    assert asked == [1]
