"""One real service with a catalog, probabilities and keys: what it answers and what it refuses."""

import json
import subprocess
import sys
import urllib.parse
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from ops_platform.features.online_store import Column, Rows
from ops_platform.ingest.contract_file import read_contract
from ops_platform.ingest.take_in import take_in
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.serve import keys, release
from ops_platform.settings import PROJECT
from tests.models.conftest import shop
from tests.serve.conftest import AS_OF, NOW, copy_of, until

PRODUCTS = sorted(shop()["product_id"].unique())
GONE, EVEN = PRODUCTS[2], PRODUCTS[::2]
LISTS = "/v1/recommendations"


@pytest.fixture(scope="module")
def home(bare_home, tmp_path_factory):
    """A release whose catalog has two categories and lacks a product, with probabilities."""
    home = copy_of(bare_home, tmp_path_factory.mktemp("http") / "home")
    home.register()
    whole = release.load(home.folder / home.release().release)
    origin = release.Origin(
        **{
            **{name: getattr(whole.manifest, name) for name in release.Origin.__dataclass_fields__},
            "purchase_probability": 7,
        }
    )
    catalog = {
        product: release.Product(
            f"THE {product}", "even" if product in EVEN else "odd", product != GONE
        )
        for product in PRODUCTS
    }
    probability = Column("float", np.array([0.25, 0.5]), np.zeros(2, dtype=bool))
    rows = Rows(
        ("customer_id",), AS_OF.isoformat(), [("c001",), ("c002",)], {"probability": probability}
    )
    made = release.write(home.folder, origin, whole.arrays, catalog, NOW, {}, rows)
    release.point_to(home.folder, made)
    return home


@pytest.fixture(scope="module")
def service(home):
    with home.service(OPS_SERVED_SECONDS="0.2") as service:
        yield service


def products(answer):
    return [one["product_id"] for one in answer["recommendations"]]


def test_what_the_catalog_does_not_offer_is_never_recommended(service):
    for customer in ("c001", "c002", "nobody"):
        found = products(service.recommend(customer, 100))
        assert set(found) == set(PRODUCTS) - {GONE}


def test_filters_hold(service):
    everything = products(service.recommend("c001", 100))
    bought = {
        one["product_id"]
        for one in service.recommend("c001", 100)["recommendations"]
        if one["reason"] == "bought regularly"
    }
    assert 0 < len(bought) < len(everything)
    new_only = service.get(f"{LISTS}/c001?k=100&exclude_bought=true")[1]
    assert products(new_only) and bought.isdisjoint(products(new_only))
    assert "bought regularly" not in {one["reason"] for one in new_only["recommendations"]}
    even = service.get(f"{LISTS}/c001?k=100&category=even")[1]
    assert products(even) == [one for one in everything if one in EVEN]
    assert products(service.get(f"{LISTS}/c001?category=none")[1]) == []


def test_a_batch_is_answered_in_order_by_one_release_with_its_sessions(service):
    asked = [
        {"customer_id": "nobody", "k": 5, "session": [PRODUCTS[3], "no product", GONE]},
        {"customer_id": "nobody", "k": 5},
        {"customer_id": "c001", "k": 3, "category": "odd", "exclude_bought": True},
    ]
    status, told, _ = service.ask(LISTS, {"requests": asked})
    assert status == 200
    lifted, plain, filtered = told["answers"]
    assert [one["customer_id"] for one in told["answers"]] == ["nobody", "nobody", "c001"]
    assert len({one["request_id"] for one in told["answers"]}) == 3
    assert len({one["release"] for one in told["answers"]}) == 1
    assert PRODUCTS[3] not in products(lifted)
    assert lifted["recommendations"][0]["reason"] in {
        f"goes with THE {PRODUCTS[3]}", f"goes with THE {GONE}",
    }  # fmt: skip
    assert lifted["recommendations"][0]["score"] > plain["recommendations"][0]["score"]
    assert {one["reason"] for one in plain["recommendations"]} == {"popular now"}
    same = service.get(f"{LISTS}/c001?k=3&category=odd&exclude_bought=true")[1]
    assert filtered["recommendations"] == same["recommendations"]


def test_a_purchase_probability_is_of_the_release(service):
    status, told = service.get("/v1/customers/c002/purchase-probability")
    assert (status, told["probability"], told["version"]) == (200, 0.5, 7)
    status, problem = service.get("/v1/customers/nobody/purchase-probability")
    assert (status, problem["title"]) == (404, "Not Found")


def test_releases_are_told_with_when_they_served(service, home):
    (home.folder / "v1-my-copy").mkdir()
    told = service.get("/v1/releases")[1]
    first, second = told["releases"]
    assert first["release"].startswith("v1-") and second["release"].startswith("v1-")
    assert (first["served"], second["served"]) == ([[NOW.isoformat(), None]], [])
    assert (first["serves"], second["serves"], second["kept"]) == (False, True, True)


def test_feedback_is_taken_in_under_its_contract(service, home):
    answer = service.recommend("c001", 2)
    events = [
        {"answer_id": answer["request_id"], "product_id": product, "kind": kind}
        for product, kind in zip(products(answer), ("shown", "bought"), strict=True)
    ]
    status, told, _ = service.ask("/v1/feedback", {"events": events})
    assert (status, told) == (202, {"accepted": 2})
    until(lambda: list(home.settings.feedback.glob("*.jsonl")))
    lake = Lake(home.path / "own", home.path / "own" / "data")
    contract = read_contract(PROJECT / "contracts" / "feedback.odcs.yaml")
    take_in(lake, contract, home.settings.feedback, datetime(2100, 1, 1))
    with connect(lake) as connection:
        rows = connection.execute(
            "SELECT answer_id, product_id, kind FROM raw.feedback ORDER BY kind DESC"
        ).fetchall()
        assert connection.execute("SELECT count(*) FROM quarantine.feedback").fetchone() == (0,)
    assert rows == [tuple(event.values()) for event in events]


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/v1/nothing", None, 404, "see /openapi.json"),
        (f"{LISTS}/c001?k=0", None, 422, "greater than or equal to 1"),
        (f"{LISTS}/c001?k=-1", None, 422, "greater than or equal to 1"),
        (f"{LISTS}/c001?k=1000000000", None, 422, "less than or equal to 100"),
        (f"{LISTS}/c001?k=ten", None, 422, "valid integer"),
        (f"{LISTS}/a%09b", None, 422, "match pattern"),
        (f"{LISTS}/{'x' * 10_000}", None, 422, "at most 128"),
        (f"{LISTS}/c001?category=", None, 422, "at least 1"),
        (f"{LISTS}/c001?exclude_bought=maybe", None, 422, "valid boolean"),
        (f"{LISTS}/c001?kk=5", None, 422, "query.kk: Extra inputs"),
        (f"{LISTS}/c001?k=5&{'x' * 9_000}=", None, 422, "query.xxx"),
        (f"{LISTS}?k=5", {"requests": [{"customer_id": "a"}]}, 422, "query.k: Extra inputs"),
        ("/v1/customers/c001/purchase-probability?k=5", None, 422, "query.k: Extra inputs"),
        ("/v1/feedback?dry=1", {"events": []}, 422, "query.dry: Extra inputs"),
        (LISTS, b'{"requests": [', 400, "can't be read as JSON"),
        (LISTS, b"[" * 100_000, 400, "can't be read as JSON"),
        (LISTS, b'{"requests": "\xff"}', 400, "can't be read as JSON"),
        (LISTS, b"1" * 1_500_000, 413, "too large"),
        (LISTS, {"requests": []}, 422, "at least 1 item"),
        (LISTS, {"requests": [{"customer_id": "a"}] * 101}, 422, "at most 100 items"),
        (LISTS, {"requests": [{"customer_id": "a", "k": "5"}]}, 422, "must be a number"),
        (LISTS, {"requests": [{"customer_id": "\ud800"}]}, 422, "string"),
        (LISTS, {"requests": [{"customer_id": "a", "colour": 1}]}, 422, "Extra inputs"),
        (LISTS, {"requests": [{"customer_id": "a", "session": ["b"] * 101}]}, 422, "at most 100"),
        (
            "/v1/feedback",
            {"events": [{"answer_id": "1", "product_id": "a", "kind": "shown"}]},
            422,
            "pattern",
        ),
    ],
)
def test_what_makes_no_sense_gets_its_status_and_a_short_problem(
    service, path, body, status, words
):
    found, problem, headers = service.ask(path, body)
    assert (found, problem["status"], problem["type"]) == (status, status, "about:blank")
    assert words in problem["detail"]
    assert len(json.dumps(problem)) < 800
    assert headers["Content-Type"] == "application/problem+json"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "Server" not in headers


def test_any_bytes_are_an_id_that_is_answered(service):
    for quoted in ("%FF%FE", "%2e%2e%2f%2e%2e%2fetc", urllib.parse.quote("ключ 🗝"), "a%2Fb"):
        status, told = service.get(f"{LISTS}/{quoted}?k=1")
        assert (status, told["known"]) == (200, False)


def test_a_body_of_another_type_is_refused(service):
    for given in ("text/plain", "application/x-www-form-urlencoded", "application/jsonish"):
        status, problem, _ = service.ask(LISTS, b"{}", **{"Content-Type": given})
        assert (status, problem["title"]) == (415, "Unsupported Media Type")


def test_without_a_good_key_only_health_and_the_static_page_answer(service):
    for given in ("", "Bearer ops_000000000000_00", "Bearer x", "Basic eDp4", f"{service.key}"):
        for path in (f"{LISTS}/c001", "/metrics", "/openapi.json", "/v1/releases", "/nothing"):
            status, problem, headers = service.ask(path, Authorization=given)
            assert (status, problem["title"]) == (401, "Unauthorized")
            assert headers["WWW-Authenticate"] == "Bearer"
        for path in ("/healthz", "/readyz", "/docs", "/docs/swagger-ui-bundle.js"):
            assert service.ask(path, Authorization=given)[0] == 200
    assert service.ask("/readyz", Authorization="")[1]["logs"] is None


def test_a_key_may_only_what_its_scopes_say_and_is_refused_once_revoked(service, home):
    may = {
        "recommend": [f"{LISTS}/c001", "/v1/customers/c001/purchase-probability"],
        "admin": ["/metrics", "/v1/releases"],
    }
    for scope in keys.SCOPES:
        key = home.key(scope)
        carried = {"Authorization": f"Bearer {key}"}
        for needed, paths in may.items():
            for path in paths:
                status, problem, _ = service.ask(path, **carried)
                assert status == (200 if needed == scope else 403)
                if status == 403:
                    assert repr(needed) in problem["detail"]
        assert service.ask("/openapi.json", **carried)[0] == 200
        keys.revoke(home.settings.keys, key.split("_")[1], NOW)
        assert service.ask("/openapi.json", **carried)[0] == 401


def test_metrics_tell_requests_fallbacks_ages_and_lines(service):
    def counted():
        found = service.metrics()
        return {
            "answers": found.get(("ops_answers_total", (("known", "false"), ("version", "1"))), 0),
            "404": found.get(
                (
                    "ops_requests_total",
                    (("route", "none"), ("status", "404"), ("version", "")),
                ),
                0,
            ),
        }

    before = counted()
    service.recommend("nobody")
    service.get("/v1/nothing")
    after = counted()
    assert {name: after[name] - before[name] for name in after} == {"answers": 1, "404": 1}
    found = service.metrics()
    route = ("route", "/v1/recommendations/{customer_id:path}")
    assert found["ops_request_seconds_count", (route, ("version", "1"))] > 0
    assert found["ops_log_lines_total", (("log", "served"), ("outcome", "written"))] > 0
    ages = {name: value for (name, _), value in found.items() if name.endswith("age_seconds")}
    assert ages.keys() == {"ops_model_age_seconds", "ops_features_age_seconds"}
    assert min(ages.values()) > 0


def test_the_page_of_the_api_works_by_a_key_and_loads_nothing_from_elsewhere(service, browser):
    browser.get(f"{service.url}/docs")

    def shown(selector):
        return browser.find_elements("css selector", selector)

    browser.find_element("id", "key").send_keys("ops_wrong\ue007")
    until(lambda: "Send a key that is good" in browser.find_element("id", "said").text)
    assert shown(".opblock") == []
    browser.find_element("id", "key").clear()
    browser.find_element("id", "key").send_keys(f"{service.key}\ue007")
    until(lambda: len(shown(".opblock")) == 8)
    # What the page tries out carries the key.
    shown(".opblock-summary-path[data-path='/v1/releases']")[0].click()
    until(lambda: shown(".try-out__btn"))[0].click()
    until(lambda: shown(".execute"))[0].click()
    until(lambda: '"recommender"' in "".join(one.text for one in shown(".live-responses-table")))
    logged = browser.get_log("performance")
    asked = [
        message["params"]["request"]["url"]
        for message in (json.loads(entry["message"])["message"] for entry in logged)
        if message["method"] == "Network.requestWillBeSent"
    ]
    assert len(asked) > 4
    assert all(url.startswith((service.url, "data:")) for url in asked), asked


def test_the_process_that_has_answered_all_that_has_loaded_nothing_heavy(service):
    loaded = Path(f"/proc/{service.process.pid}/maps").read_text()
    assert "/numpy/" in loaded
    for name in ("pandas", "duckdb", "scipy", "sklearn", "pyarrow"):
        assert f"/{name}" not in loaded


def test_the_openapi_document_holds_against_what_is_generated_from_it(service):
    """schemathesis finds nothing."""
    done = subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli", "run", f"{service.url}/openapi.json",
            "--header", f"Authorization: Bearer {service.key}",
            "--phases", "coverage,fuzzing", "--max-examples", "10", "--seed", "0", "--workers", "1", "--no-color",
        ],
        capture_output=True, text=True, check=False, cwd=PROJECT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr
