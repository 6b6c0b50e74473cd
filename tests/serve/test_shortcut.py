"""The shortcut answers what is well asked, and hands all else on as it came."""

import asyncio
import json
from dataclasses import replace

import pytest
from starlette.routing import Route

from ops_platform.serve import keys
from ops_platform.serve.lists import Lists
from ops_platform.serve.log import DeliveryLog
from ops_platform.serve.service import Service
from ops_platform.serve.shortcut import Shortcut
from tests.serve.conftest import NOW, copy_of

KEY = keys.Key(1, "", "", ("recommend",), "", "", "")
ROUTE = Route("/lists", lambda _: None)


@pytest.fixture(scope="module")
def lists(bare_home, tmp_path_factory):
    home = copy_of(bare_home, tmp_path_factory.mktemp("shortcut") / "home")
    home.register()
    home.release()
    service = Service(home.folder, None, lambda: NOW)
    service.look()
    return Lists(service, DeliveryLog(home.settings.served, lambda: NOW, 60))


def ask(lists, path, query=b"", method="GET", key=KEY):
    """What was sent, whether the request was handed on, and the connection afterwards."""
    sent, handed_on = [], []
    connection = {
        "type": "http", "method": method, "path": path, "query_string": query,
        "state": {"key": key},
    }  # fmt: skip

    async def app(*given):
        handed_on.append(given)

    async def send(message):
        sent.append(message)

    asyncio.run(Shortcut(app, lists, ROUTE)(connection, None, send))
    return sent, bool(handed_on), connection


def test_a_list_is_answered_and_counted_under_its_route(lists):
    (start, body), handed_on, connection = ask(
        lists, "/v1/recommendations/Zoë/1", b"k=3&exclude_bought=true"
    )
    told = json.loads(body["body"])
    assert not handed_on
    assert (start["status"], dict(start["headers"])[b"content-type"]) == (200, b"application/json")
    assert dict(start["headers"])[b"content-length"] == str(len(body["body"])).encode()
    assert (told["customer_id"], told["known"], len(told["recommendations"])) == (
        "Zoë/1", False, 3,
    )  # fmt: skip
    assert (connection["route"], connection["state"]["version"]) == (ROUTE, 1)


@pytest.mark.parametrize(
    "asked",
    [
        {"path": "/v1/recommendations/c001", "method": "POST"},
        {"path": "/v1/recommendations"},
        {"path": "/v1/recommendations/"},
        {"path": "/v1/recommendations/a\tb"},
        {"path": "/v1/recommendations/c001", "query": b"k=0"},
        {"path": "/v1/recommendations/c001", "query": b"k=3&kk=5"},
        {"path": "/v1/recommendations/c001", "key": replace(KEY, scopes=("admin",))},
        {"path": "/v1/customers/c001/purchase-probability"},
    ],
)
def test_what_is_not_well_asked_is_handed_on(lists, asked):
    sent, handed_on, connection = ask(lists, **asked)
    assert handed_on and not sent
    assert "route" not in connection


def test_without_a_release_it_is_handed_on(lists, tmp_path):
    empty = Lists(Service(tmp_path, None, lambda: NOW), DeliveryLog(tmp_path, lambda: NOW, 60))
    assert ask(empty, "/v1/recommendations/c001")[1]
