"""The page is a pure function, needs no network, and works in a browser from a file."""

import re

import pytest

from ops_platform.catalog.page import page


@pytest.fixture
def text(made_up) -> str:
    return page(made_up)


def test_the_same_entries_give_the_same_bytes(made_up, text):
    assert page(made_up) == text


def test_what_people_wrote_is_text_and_not_markup(text):
    assert "<b>piece" not in text
    assert "Of one &lt;b&gt;piece&lt;/b&gt;, <code>0</code> if free." in text
    assert text.count("</script>") == 2


def test_it_refers_to_nothing_outside(text):
    assert not re.search(r"""(src|href)=["'](?!#)|@import|url\(""", text)
    assert "default-src 'none'" in text


def test_results_freshness_and_classification_are_said(text):
    assert "0 of 2 checks passed, 1 failed" in text
    assert "failed, blocks" in text
    assert "2024-06-01 12:00; promised: one no older than 4 days" in text
    assert '<span class="classified">secret</span>' in text


def test_a_column_is_found_and_followed_by_keyboard_down_to_a_version(text, browser, tmp_path):
    place = tmp_path / "catalog.html"
    place.write_text(text, encoding="utf-8")
    browser.get(place.as_uri())

    def visible(selector):
        found = browser.find_elements("css selector", selector)
        return [
            one.get_attribute("id") or one.get_attribute("data-id")
            for one in found
            if one.is_displayed()
        ]

    browser.switch_to.active_element.send_keys("/")
    browser.switch_to.active_element.send_keys("paid amount")
    assert visible("main section") == ["marts.sales"]
    assert browser.find_element("id", "found").text == "1 columns in 1 places"
    browser.find_element("link text", "amount").send_keys("\ue007")
    assert visible(".layers a[aria-current]") == ["marts.sales.amount"]
    assert "deliveries/orders" in visible(".layers a")

    browser.find_element("css selector", '.layers a[data-id="raw.orders.price"]').click()
    assert {"models/m@1", "releases/m/v2-0", "deliveries/orders.Price"} <= {*visible(".layers a")}
    assert len(browser.find_elements("css selector", ".drawing path.rows")) == 2
    browser.switch_to.active_element.send_keys("\ue00c")
    assert visible("#lineage") == []

    assert browser.get_log("browser") == []
    asked = re.findall(
        r'"url":"(\w+):', "".join(one["message"] for one in browser.get_log("performance"))
    )
    # Where the browser tells of its own first page, that is a data: address.
    assert "file" in asked
    assert {*asked} <= {"file", "data"}
