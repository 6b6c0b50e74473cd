"""The shop window shows what the service answers, and what a swap changes; off unless asked for."""

import json

import pytest

from tests.serve.conftest import fitted, until


@pytest.fixture
def released(home):
    home.register()
    home.release()
    return home


def test_a_customer_is_shown_and_what_changes_with_the_next_release(released, browser):
    with released.service("--demo") as service:

        def text(name):
            return browser.find_element("id", name).text

        def rows(name):
            found = browser.find_elements("css selector", f"#{name} li")
            return [row.find_element("css selector", "span").text for row in found]

        def names():
            return [one["description"] or one["product_id"] for one in answer["recommendations"]]

        browser.get(f"{service.url}/demo")
        browser.find_element("id", "key").send_keys("ops_wrong\t")
        until(lambda: "Send a key that is good" in text("said"))
        browser.find_element("id", "key").clear()
        browser.find_element("id", "key").send_keys(f"{service.key}\t")
        until(lambda: browser.find_elements("css selector", "#customers option"))
        browser.find_element("id", "customer").send_keys("c001\ue007")
        until(lambda: rows("recommended"))
        answer = service.recommend("c001", 20)
        assert rows("recommended") == names()
        assert answer["recommendations"][0]["reason"] in text("recommended")
        history = service.get("/v1/customers/c001/history")[1]["bought"]
        assert rows("bought") == [one["description"] or one["product_id"] for one in history] != []
        assert f"Version 1, release {answer['release']}" in text("told")
        assert "Buys soon: not told" in text("told")
        assert "No other release" in text("since")

        # Nobody asks: the page sees the swap by itself.
        first = answer
        released.register(fitted(repeat_weight=0.05))
        made = released.release().release
        until(lambda: f"Version 2, release {made}" in text("told"))
        answer = service.recommend("c001", 20)
        assert rows("recommended") == names()
        before = [one["product_id"] for one in first["recommendations"]]
        now = [one["product_id"] for one in answer["recommendations"]]
        moved = [one for n, one in enumerate(now) if n >= len(before) or before[n] != one]
        assert moved
        assert text("since") == f"{len(moved)} places changed since {first['release']}."
        assert len(browser.find_elements("css selector", ".change")) == len(moved)
        assert len(rows("gone")) == len(set(before) - set(now))

        logged = [json.loads(one["message"])["message"] for one in browser.get_log("performance")]
        asked = [
            one["params"]["request"]["url"]
            for one in logged
            if one["method"] == "Network.requestWillBeSent"
        ]
        assert len(asked) > 5
        assert all(url.startswith((service.url, "data:")) for url in asked), asked
        # Of itself a browser says that an answer was 401 or 404.
        said = [one["message"] for one in browser.get_log("browser")]
        assert [one for one in said if "the server responded with a status" not in one] == []


def test_what_the_page_asks_needs_a_key_and_the_page_is_off_unless_asked_for(released):
    asked = ("/v1/customers", "/v1/customers/c001/history")
    with released.service("--demo") as service:
        assert [service.ask(path, Authorization="")[0] for path in asked] == [401, 401]
        key = released.key("feedback")
        carried = f"Bearer {key}"
        assert [service.ask(path, Authorization=carried)[0] for path in asked] == [403, 403]
        assert service.get("/v1/customers/nobody/history")[1]["bought"] == []
        assert "c001" in service.get("/v1/customers")[1]["customers"]
        assert "query.limit: " in service.get("/v1/customers?limit=5")[1]["detail"]
        assert b"Shop window" in service.ask("/demo", Authorization="")[1]
    with released.service() as service:
        assert [service.get(path)[0] for path in ("/demo", *asked)] == [404, 404, 404]
