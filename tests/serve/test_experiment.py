"""A challenger in traffic: who is answered by it, what is logged, and when it is stopped."""

import pytest
from typer.testing import CliRunner

from ops_platform.cli import app
from ops_platform.errors import ReleaseError
from ops_platform.serve import experiment, release
from ops_platform.serve.experiment import Experiment
from ops_platform.serve.lists import Lists
from ops_platform.serve.log import DeliveryLog
from ops_platform.serve.messages import Filters
from ops_platform.serve.old_releases import remove_old
from ops_platform.serve.service import Service
from ops_platform.serve.trial import FAILED_MAX, LAST, Cost
from tests.serve.conftest import NOW, fitted, until

# One less than what stops it, of any answers that are looked at.
RARE = LAST // (FAILED_MAX - 1)
EVERYONE = [f"c{number:03}" for number in range(40)]


def ops(home, *command: str):
    environment = {"OPS_HOME": str(home.path), "OPS_DATA_PATH": str(home.data)}
    return CliRunner().invoke(app, ["experiment", *command], env=environment)


@pytest.fixture
def tried(home):
    """A home whose version 1 serves, and whose version 2 the gate has refused."""
    home.register()
    home.release()
    home.register(fitted(repeat_weight=0.1), promote=False)
    return home


def started(home, mode: str, share: str) -> Experiment:
    done = ops(home, "start", "2", "--mode", mode, "--share", share)
    assert done.exit_code == 0, done.output
    return experiment.running(home.folder)


@pytest.fixture
def inside(tried):
    """The service in this process: it answers when it is called, and what it logged is read."""
    service = Service(tried.folder, None, lambda: NOW)
    log = DeliveryLog(tried.settings.served, lambda: NOW, seconds=3600)
    lists = Lists(service, log)
    service.start()
    log.start()
    yield service, lambda customer: lists.answer(service.scorer, customer, Filters())
    service.stop()
    log.close()


def test_a_share_of_the_customers_always_the_same_is_answered_by_the_challenger(tried):
    with tried.service() as service:
        assert {service.recommend(one)["version"] for one in EVERYONE} == {1}
        wanted = started(tried, "split", "0.4")
        until(lambda: 2 in {service.recommend(one)["version"] for one in EVERYONE})
        first = {one: service.recommend(one) for one in EVERYONE}
        again = {one: service.recommend(one)["version"] for one in EVERYONE}
        status, batch, _ = service.ask(
            "/v1/recommendations", {"requests": [{"customer_id": one} for one in EVERYONE]}
        )
        counted = service.metrics()
        assert ops(tried, "stop", "--reason", "enough was seen").exit_code == 0
        until(lambda: {service.recommend(one)["version"] for one in EVERYONE} == {1})
    arms = {one: answer["version"] for one, answer in first.items()}
    assert arms == again == {one: 2 if wanted.takes(one) else 1 for one in EVERYONE}
    assert [one["version"] for one in batch["answers"]] == list(arms.values())
    assert counted["ops_challenger_answers_total", (("mode", "split"), ("outcome", "answered"))] > 0
    arm_of = {line["answer_id"]: (line["arm"], line["shown"]) for line in tried.served()}
    for answer in first.values():
        name = "challenger" if answer["version"] == 2 else "champion"
        assert arm_of[answer["request_id"]] == (name, True)
    assert experiment.read(tried.folder).reason == "enough was seen"


def test_a_shadow_answers_and_only_the_log_is_told(tried):
    wanted = started(tried, "shadow", "1")
    with tried.service() as service:
        answers = [service.recommend(one, 3) for one in EVERYONE]
    assert {one["version"] for one in answers} == {1}
    shown = [line for line in tried.served() if line["shown"]]
    shadow = [line for line in tried.served() if not line["shown"]]
    assert {line["answer_id"] for line in shown} == {one["request_id"] for one in answers}
    assert {(line["arm"], line["release"]) for line in shadow} == {("challenger", wanted.release)}
    assert {line["customer_id"] for line in shadow} == set(EVERYONE)
    assert len(shadow) == len(shown) == 3 * len(EVERYONE)


def test_one_that_fails_is_stopped_and_no_customer_sees_it(tried, inside):
    service, answer = inside
    started(tried, "split", "0.999")
    service.challenger.look(service.scorer.manifest.release)

    def fails(_):
        raise ValueError("no such customer")

    service.challenger.trial.scorer.answer = fails
    versions = {answer(one)["version"] for one in EVERYONE}

    assert versions == {1}
    ended = experiment.read(tried.folder)
    assert (ended.stopped_at, ended.reason) == (NOW.isoformat(), "5 of its last 5 answers failed")
    until(lambda: service.challenger.trial is None)


def test_one_that_is_slower_is_stopped_and_one_that_is_as_fast_is_not():
    def reason_of(seconds: float) -> str | None:
        cost = Cost()
        for _ in range(LAST):
            cost.champion(0.004)
        found = [cost.challenger(seconds, failed=False) for _ in range(LAST)]
        assert found[:-1] == [None] * (LAST - 1)
        return found[-1]

    told = "the median of its last 200 answers takes 10.0 ms, the champion's 4.0 ms"
    assert reason_of(0.010) == told
    # Twice as slow, but by less than anybody would notice.
    assert reason_of(0.0085) is None
    assert reason_of(0.004) is None


def test_failures_that_are_rare_stop_nothing():
    cost = Cost()
    found = [cost.challenger(0.001, failed=n % RARE == 0) for n in range(2000)]
    assert set(found) == {None}


def test_what_is_no_release_or_serves_already_is_not_tried(tried):
    serving = release.pointed(tried.folder)
    with pytest.raises(ReleaseError, match="serves already"):
        experiment.start(tried.folder, serving, "split", 0.1, NOW)
    with pytest.raises(ReleaseError, match="can't be loaded"):
        experiment.start(tried.folder, "v2-0123456789ab", "split", 0.1, NOW)
    for share in ("0", "1", "nan"):
        refused = ops(tried, "start", "2", "--mode", "split", "--share", share)
        assert (refused.exit_code, experiment.read(tried.folder)) == (1, None)
    assert ops(tried, "start", "9").exit_code == ops(tried, "stop").exit_code == 1
    assert ops(tried, "show").exit_code == 1
    started(tried, "split", "0.1")
    assert "is tried in traffic since" in ops(tried, "start", "2").output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["2", "--share", "7"], "the share is 7: it must be above 0"),
        (["2", "--mode", "shadow", "--share", "-1"], "the share is -1: it must be above 0"),
        (["2", "--model", "oracle"], "there is no model 'oracle' in models/zoo/, only"),
        (["2", "--model", "purchase_probability"], "is no recommender"),
        (["9"], "There is no version 9"),
    ],
)
def test_what_makes_no_sense_is_refused_before_a_release_is_made(tried, arguments, told):
    refused = ops(tried, "start", *arguments)
    assert refused.exit_code == 1
    assert told in refused.stderr
    assert "making the release ready" not in refused.stderr


def test_starting_where_there_is_no_version_makes_no_registry(tmp_path):
    environment = {"OPS_HOME": str(tmp_path / "none")}
    refused = CliRunner().invoke(app, ["experiment", "start", "1"], env=environment)
    assert (refused.exit_code, (tmp_path / "none").exists()) == (1, False)
    assert "there is no version" in refused.stderr


def test_stopping_when_nothing_is_tried_says_so_and_what_was_the_last(tried):
    assert "no challenger of 'recommender' was tried yet" in ops(tried, "stop").stderr
    wanted = started(tried, "split", "0.1")
    assert "stopped at" in ops(tried, "stop", "--reason", "enough was seen").stdout
    ended = experiment.read(tried.folder)

    again = ops(tried, "stop", "--reason", "again")

    assert (again.exit_code, again.stdout) == (1, "")
    told = (
        f"is tried: the last, {wanted.release}, was stopped at {ended.stopped_at}, enough was seen"
    )
    assert told in again.stderr
    assert experiment.read(tried.folder) == ended


@pytest.mark.parametrize("damage", [b"", b"nonsense", b'{"release": "v2-x", "mode": "split"}'])
def test_a_file_that_cant_be_read_tries_nothing_and_what_serves_goes_on(tried, inside, damage):
    service, answer = inside
    (tried.folder / experiment.FILE).write_bytes(damage)
    service.challenger.look(service.scorer.manifest.release)
    assert (service.challenger.trial, answer("c001")["version"]) == (None, 1)
    with pytest.raises(ReleaseError, match="delete it"):
        experiment.start(tried.folder, "v2-0123456789ab", "split", 0.1, NOW)


def test_one_whose_release_is_damaged_is_stopped(tried, inside):
    service, answer = inside
    wanted = started(tried, "split", "0.999")
    (tried.folder / wanted.release / "model.npz").write_bytes(b"")
    service.challenger.look(service.scorer.manifest.release)
    assert (service.challenger.trial, answer("c001")["version"]) == (None, 1)
    until(lambda: "can't be loaded" in (experiment.read(tried.folder).reason or ""))


def test_the_release_that_is_tried_is_kept(tried):
    wanted = started(tried, "shadow", "0.5")
    for weight in (0.3, 0.4, 0.5):
        tried.register(fitted(repeat_weight=weight))
        tried.release()
    removed = remove_old(tried.lake, tried.folder, 1)
    assert removed and (tried.folder / wanted.release).exists()
    experiment.stop(tried.folder, NOW, "over")
    assert wanted.release in remove_old(tried.lake, tried.folder, 1)


def test_a_larger_share_takes_the_same_customers_and_more():
    small, large = (Experiment("v2-0123456789ab", "split", share, "") for share in (0.1, 0.3))
    everyone = [f"customer {number}" for number in range(5000)]
    taken = [{one for one in everyone if wanted.takes(one)} for wanted in (small, large)]
    assert taken[0] < taken[1]
    assert [round(len(some) / 5000, 1) for some in taken] == [0.1, 0.3]
