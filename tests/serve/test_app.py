"""The real service over HTTP: what it answers, what it takes up and what it goes on with."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from pydantic import SecretStr

from ops_platform.errors import ReleaseError
from ops_platform.ingest.personal import fingerprint, hashed
from ops_platform.models.zoo.recommender import Recommender
from ops_platform.serve import release
from ops_platform.settings import PROJECT
from tests.models.conftest import shop
from tests.serve.conftest import AS_OF, NAME, fitted, until

HEAVY = ("dagster", "mlflow", "dbt", "pandas", "duckdb", "sklearn", "scipy", "ibis", "typer")


def test_it_loads_nothing_heavy():
    code = (
        f"import sys, ops_platform.serve.__main__; print([m for m in {HEAVY} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_known_and_unknown_customers_are_answered(home):
    model = fitted()
    home.register(model)
    made = home.release().release
    customer = str(model.customers_[3])
    with home.service() as service:
        known, unknown = service.recommend(customer, 5), service.recommend("Zoë/1 %", 3)
        assert service.get("/healthz") == (200, {"status": "ok"})
        ready = service.ready()

    expected = model.recommend([customer], 5)
    assert {name: known[name] for name in ("customer_id", "known", "message", "model")} == {
        "customer_id": customer, "known": True, "message": None, "model": NAME,
    }  # fmt: skip
    assert (known["version"], known["release"], known["as_of"]) == (1, made, AS_OF.isoformat())
    assert [one["product_id"] for one in known["recommendations"]] == expected.product_id[
        0
    ].tolist()
    assert all(one["reason"] and one["score"] > 0 for one in known["recommendations"])
    assert not unknown["known"]
    assert "not known" in unknown["message"]
    assert unknown["customer_id"] == "Zoë/1 %"
    assert [one["reason"] for one in unknown["recommendations"]] == ["popular now"] * 3
    assert known["request_id"] != unknown["request_id"]
    assert (ready["ready"], ready["version"], ready["refused"]) == (True, 1, None)


@pytest.mark.parametrize("path", ["c001?k=0", "c001?k=101", "c001?k=x", "a%09b", "x" * 129])
def test_a_request_that_makes_no_sense_is_refused_as_a_problem(home, path):
    home.register()
    home.release()
    with home.service() as service:
        status, problem = service.get(f"/v1/recommendations/{path}")
    assert (status, problem["status"]) == (422, 422)
    assert "k: Input should be" in problem["detail"] or "customer_id: String" in problem["detail"]


def test_what_is_not_there_is_a_problem_too(home):
    with home.service() as service:
        status, problem = service.get("/v1/nothing")
    assert (status, problem["status"], problem["title"]) == (404, 404, "Not Found")


def test_without_a_release_it_says_what_to_do_and_takes_up_the_first(home):
    home.register()
    with home.service() as service:
        status, problem = service.get("/v1/recommendations/c001")
        assert status == problem["status"] == 503
        assert "materialize the graph up to serve/release" in problem["detail"]
        assert service.get("/readyz")[0] == 503
        assert service.get("/healthz")[0] == 200
        made = home.release()
        until(lambda: service.ready()["ready"])
        assert service.recommend("c001")["release"] == made.release


def test_a_new_release_is_taken_up_and_no_answer_mixes_two(home):
    models = {1: fitted(), 2: fitted(repeat_weight=0.05, neighbours=3)}
    customers = models[1].customers_.tolist()
    home.register(models[1])
    home.release()
    home.register(models[2])
    expected = {
        (version, customer): (ids, scores)
        for version, model in models.items()
        for found in [model.recommend(customers, 10)]
        for customer, ids, scores in zip(
            customers, found.product_id.tolist(), found.scores.tolist(), strict=True
        )
    }
    answers, stop, failed = [], threading.Event(), []

    def ask(service, shift):
        number = shift
        while not stop.is_set():
            number += 1
            try:
                answers.append(service.recommend(customers[number % len(customers)]))
            except Exception as error:
                failed.append(error)

    with home.service() as service:
        asking = [threading.Thread(target=ask, args=(service, shift)) for shift in (0, 20)]
        for one in asking:
            one.start()
        until(lambda: len(answers) > 100)
        home.release()
        until(lambda: service.ready()["version"] == 2)
        count = len(answers)
        until(lambda: len(answers) > count + 100)
        stop.set()
        for one in asking:
            one.join()

    assert failed == []
    assert {answer["version"] for answer in answers} == {1, 2}
    assert answers[-1]["version"] == 2
    for answer in answers:
        ids, scores = expected[answer["version"], answer["customer_id"]]
        assert answer["release"].startswith(f"v{answer['version']}-")
        assert [one["product_id"] for one in answer["recommendations"]] == ids
        assert [one["score"] for one in answer["recommendations"]] == pytest.approx(
            scores, rel=0, abs=1e-9
        )


@pytest.mark.parametrize("damage", ["a file", "the folder", "the pointer", "nonsense"])
def test_a_damaged_release_is_refused_and_the_present_one_serves(home, damage):
    home.register()
    first = home.release().release
    with home.service() as service:
        assert service.recommend("c001")["release"] == first
        if damage == "a file":
            # The next release, damaged on its way.
            bad = home.folder / "v2-0123456789ab"
            shutil.copytree(home.folder / first, bad)
            (bad / "model.npz").write_bytes(b"nonsense")
            release.point_to(home.folder, bad.name)
        elif damage == "the folder":
            shutil.rmtree(home.folder / first)
        elif damage == "the pointer":
            (home.folder / "current").unlink()
        else:
            (home.folder / "current").write_text("nonsense")
        refused = until(lambda: service.ready()["refused"])
        assert service.get("/readyz")[0] == 200
        assert service.recommend("c001")["release"] == first
        # And it heals without a restart.
        release.point_to(home.folder, first)
        assert home.release().release == first
        until(lambda: service.ready()["refused"] is None)
        assert service.recommend("c001")["release"] == first
    expected = {
        "a file": "v2-0123456789ab can't be loaded",
        "the folder": f"{first} can't be loaded",
        "the pointer": "is gone",
        "nonsense": "names 'nonsense'",
    }[damage]
    assert expected in refused["reason"]
    assert home.log().count(expected) == 1
    assert f"{first} goes on serving" in home.log()


def test_it_starts_with_a_damaged_release_and_says_so(home):
    home.register()
    made = home.release().release
    (home.folder / made / "catalog.json").unlink()
    with home.service() as service:
        status, problem = service.get("/v1/recommendations/c001")
        assert status == 503
        assert "catalog.json" not in problem["detail"]
        assert "which writes it again" in service.ready()["refused"]["reason"]
        home.release()
        until(lambda: service.ready()["ready"])


def test_a_port_in_use_is_said(home):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "ops_platform.serve", "--port", str(port)],
            cwd=PROJECT,
            env={**os.environ, "OPS_HOME": str(home.path)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert f"error: port {port} of 127.0.0.1 is in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_ops_serve_becomes_the_service_and_mends_the_alias(home):
    home.register()
    home.release()
    home.register(fitted(repeat_weight=0.1))
    home.release()
    home.registry.promote(NAME, 1)
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("ops")), "serve", "--port", "0"],
        cwd=PROJECT,
        env={**os.environ, "OPS_HOME": str(home.path), "OPS_DATA_PATH": str(home.data)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(f"{NAME}: http://127.0.0.1:")
        command = Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")
        assert b"ops_platform.serve" in command
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)
        process.stdout.close()
    assert home.registry.champion(NAME).version == 2


def test_the_api_is_described(home):
    with home.service() as service:
        described = service.get("/openapi.json")[1]
    assert set(described["paths"]) == {
        "/v1/recommendations/{customer_id}", "/v1/recommendations", "/v1/feedback",
        "/v1/customers/{customer_id}/purchase-probability", "/v1/releases", "/metrics",
        "/healthz", "/readyz",
    }  # fmt: skip


def test_customers_whose_ids_are_personal_are_asked_for_in_plain_and_logged_as_hashes(home):
    key, other = SecretStr("the secret of this platform"), "another secret of the platform"
    plain = shop()
    customers = plain["customer_id"].map(lambda one: hashed(key, one))
    model = Recommender().fit(plain.assign(customer_id=customers), AS_OF)
    home.register(model)
    assert home.release(fingerprint(key)).moved
    with home.service(OPS_HASH_KEY=key.get_secret_value()) as service:
        known, unknown = service.recommend("c003", 5), service.recommend(hashed(key, "c003"), 5)
    assert (known["known"], unknown["known"]) == (True, False)
    expected = model.recommend([hashed(key, "c003")], 5).product_id[0].tolist()
    assert [one["product_id"] for one in known["recommendations"]] == expected
    assert {line["customer_id"] for line in home.served()} == {
        hashed(key, "c003"), hashed(key, hashed(key, "c003")),
    }  # fmt: skip
    state = b"".join(
        path.read_bytes() for part in ("served", "releases") for path in (home.path / part).rglob("*")
        if path.is_file()
    )  # fmt: skip
    assert b"c003" not in state

    for given, words in (({}, "OPS_HASH_KEY is not set"), ({"OPS_HASH_KEY": other}, "another key")):
        done = subprocess.run(
            [sys.executable, "-m", "ops_platform.serve", "--port", "0"],
            cwd=PROJECT,
            env={**os.environ, "OPS_HOME": str(home.path), **given},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
        assert words in done.stderr


def test_a_release_of_hashed_ids_that_comes_later_is_refused_without_the_key(home):
    home.register(fitted())
    first = home.release().release
    key = SecretStr("the secret of this platform")
    with home.service() as service:
        plain = shop()
        customers = plain["customer_id"].map(lambda one: hashed(key, one))
        home.register(Recommender().fit(plain.assign(customer_id=customers), AS_OF))
        home.release(fingerprint(key))
        refused = until(lambda: service.ready()["refused"])
        assert "OPS_HASH_KEY is not set" in refused["reason"]
        assert service.recommend("c003", 2)["release"] == first


def test_a_version_that_was_trained_on_plain_ids_is_not_released_as_hashed(home):
    home.register(fitted())
    with pytest.raises(ReleaseError, match="trained on customers' ids as they are"):
        home.release(fingerprint(SecretStr("the secret of this platform")))
