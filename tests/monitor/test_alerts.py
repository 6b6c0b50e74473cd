"""Alerts against a real HTTP server that the test starts."""

from datetime import datetime, timedelta

import pytest

from ops_platform.monitor.alerts import ALARM, FOLDED, STATE, Alert, post, tell, tell_waiting
from ops_platform.monitor.notices import of_recent_moves
from ops_platform.serve import history
from ops_platform.settings import Settings

NOON = datetime(2024, 3, 1, 12)
FIRE = Alert(
    ALARM, "fire", "the shop burns", since="noon", sure="p = 0.01", done="rang", look="roof"
)


def test_an_alert_is_logged_and_posted(webhook):
    address, got = webhook
    log = []

    assert post("the shop burns", address, log.append)

    assert got == [{"text": "the shop burns"}]
    assert log == ["ALERT the shop burns"]


def test_without_a_webhook_it_is_only_logged():
    log = []

    assert post("the shop burns", None, log.append)

    assert log == ["ALERT the shop burns"]


@pytest.mark.parametrize(
    "place",
    ["gone", "http://127.0.0.1:1/secret", "no address/secret", "http://127.0.0.1:1/secret x"],
)
def test_a_webhook_that_fails_is_said_without_its_address(webhook, place):
    log = []

    assert not post("fire", f"{webhook[0]}/gone" if place == "gone" else place, log.append)

    assert log[0] == "ALERT fire"
    assert "OPS_WEBHOOK could not be reached" in log[1]
    assert "secret" not in log[1]


@pytest.fixture
def at(tmp_path, webhook):
    """Tells of something at an hour, and whether it went out."""
    address, _ = webhook
    clock = tmp_path / "clock"

    def at(hours: float, told: Alert = FIRE, log=lambda text: None, webhook=address) -> bool:
        clock.write_text((NOON + timedelta(hours=hours)).isoformat())
        return tell(told, Settings(home=tmp_path, clock=str(clock), webhook=webhook), log)

    return at


def test_an_alert_says_what_since_when_how_sure_what_was_done_and_where_to_look(at, webhook):
    assert at(0)
    assert webhook[1] == [
        {
            "text": "alarm: the shop burns\nsince: noon\nhow sure: p = 0.01\ndone: rang\nlook at: roof"
        }
    ]
    assert Alert(ALARM, "x", "smoke").text == "alarm: smoke"


def test_the_same_within_a_day_is_counted_and_told_then_with_its_count(at, webhook):
    log = []
    assert [at(0), at(1), at(23.9, log=log.append)] == [True, False, False]
    assert "folded, it was told at 2024-03-01 12:00" in log[0]
    # Of another cause, or of another kind.
    assert at(2, Alert(ALARM, "flood", "the shop is wet"))
    assert at(2, Alert("failure", "fire", "the shop burns"))
    assert at(FOLDED / timedelta(hours=1))
    assert webhook[1][-1]["text"].endswith("look at: roof\nrepeated: 2 times more")
    assert at(49)
    assert "repeated" not in webhook[1][-1]["text"]


def test_what_was_not_delivered_waits_until_it_is(at, webhook, tmp_path):
    gone, flood = f"{webhook[0]}/gone", Alert(ALARM, "flood", "the shop is wet")
    assert not at(0, webhook=gone) and not at(1, flood, webhook=gone)

    def deliver(address: str) -> int:
        given = Settings(home=tmp_path, clock=str(tmp_path / "clock"), webhook=address)
        return tell_waiting(given, lambda text: None)

    assert deliver(gone) == 2
    # The server notes also what it refuses.
    webhook[1].clear()
    assert deliver(webhook[0]) == 0
    assert [one["text"].splitlines()[0] for one in webhook[1]] == [
        "alarm: the shop burns", "alarm: the shop is wet"
    ]  # fmt: skip
    assert webhook[1][0]["text"].endswith("delayed since: 2024-03-01 12:00")
    assert deliver(webhook[0]) == 0 and len(webhook[1]) == 2


def test_what_comes_while_it_waits_is_folded_and_a_clock_that_goes_back_begins_anew(at, webhook):
    assert not at(0, webhook=f"{webhook[0]}/gone")
    assert not at(1)
    assert at(24)
    assert not at(25)
    assert at(-5)
    # What was told in the future keeps nothing from being remembered.
    assert at(24 * 90, Alert(ALARM, "flood", "the shop is wet"))
    assert at(5)
    assert not at(6)


@pytest.mark.parametrize("content", ["{", "[]", '{"a": {"at": "noon", "again": 0}}'])
def test_a_damaged_memory_holds_no_alert_back(at, tmp_path, content):
    path = tmp_path / "monitor" / STATE
    path.parent.mkdir()
    path.write_text(content)
    log = []
    assert at(0, log=log.append)
    assert f"{path} can't be read, so it is begun anew" in log[0]
    assert not at(1)


def test_a_memory_that_can_not_be_kept_holds_no_alert_back(at, tmp_path):
    (tmp_path / "monitor").write_text("a file")
    log = []
    assert at(0, log=log.append) and at(0)
    assert "so no alert is folded" in log[0]


def test_moves_of_the_last_day_are_told(tmp_path):
    folder = tmp_path / "m"
    folder.mkdir()
    moves = [("v1-0123456789ab", -30, "released"), ("v2-0123456789ab", -2, "released"),
             ("v1-0123456789ab", -1, "rolled back from version 2")]  # fmt: skip
    for name, hours, why in moves:
        history.note(folder, name, NOON + timedelta(hours=hours), why)
    promoted, back = of_recent_moves(tmp_path, "m", NOON, {})
    assert (promoted.kind, promoted.what) == ("promotion", "m v2 serves: released")
    assert (back.kind, back.sure) == ("rollback", "somebody went back by hand")
