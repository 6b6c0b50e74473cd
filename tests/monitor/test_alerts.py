"""Alerts against a real HTTP server that the test starts."""

import pytest

from ops_platform.monitor.alerts import alert


def test_an_alert_is_logged_and_posted(webhook):
    address, got = webhook
    log = []

    assert alert("the shop burns", address, log.append)

    assert got == [{"text": "the shop burns"}]
    assert log == ["ALERT the shop burns"]


def test_without_a_webhook_it_is_only_logged():
    log = []

    assert alert("the shop burns", None, log.append)

    assert log == ["ALERT the shop burns"]


@pytest.mark.parametrize(
    "place",
    ["gone", "http://127.0.0.1:1/secret", "no address/secret", "http://127.0.0.1:1/secret x"],
)
def test_a_webhook_that_fails_is_said_without_its_address(webhook, place):
    log = []

    assert not alert("fire", f"{webhook[0]}/gone" if place == "gone" else place, log.append)

    assert log[0] == "ALERT fire"
    assert "OPS_WEBHOOK could not be reached" in log[1]
    assert "secret" not in log[1]
