"""Alerts against a real HTTP server that the test starts."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from ops_platform.monitor.alerts import alert


@pytest.fixture
def webhook():
    """The address of a server, and what it was sent."""
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(404 if self.path == "/gone" else 200)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()
    thread.join()
    server.server_close()


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
