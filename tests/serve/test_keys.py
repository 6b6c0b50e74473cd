"""Keys: kept as hashes, refused when revoked, limited together whatever worker counts."""

import json
import stat
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from ops_platform.cli import app
from ops_platform.errors import KeyFileError
from ops_platform.serve import keys, limits
from ops_platform.serve.keys import Keyring
from ops_platform.serve.limits import Limits
from tests.serve.conftest import NOW

LATER = NOW + timedelta(hours=1)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "home" / "keys.json"


def test_a_key_is_found_until_it_is_revoked_and_only_by_all_of_it(path):
    ring = Keyring(path, seconds=0)
    assert ring.find("ops_") is None
    text = keys.create(path, "shop", ["feedback", "recommend"], NOW)
    other = keys.create(path, "shop", ["admin"], NOW)
    assert ring.find(text).scopes == ("recommend", "feedback")
    assert ring.find(other).number == 2
    mixed = "_".join([*text.split("_")[:2], other.split("_")[2]])
    for wrong in ("", "ops", text[:-1], text + "0", mixed, text.upper(), "é" * 90):
        assert ring.find(wrong) is None
    assert keys.revoke(path, text.split("_")[1], NOW).revoked_at is None
    assert keys.revoke(path, text.split("_")[1], LATER).revoked_at == NOW.isoformat()
    assert ring.find(text) is None
    assert ring.find(other)
    path.unlink()
    assert ring.find(other) is None


def test_the_file_is_for_its_owner_and_holds_no_key(path):
    text = keys.create(path, "shop", ["admin"], NOW)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert text.split("_")[2] not in path.read_text()
    keys.create(path, "shop", ["admin"], NOW)
    assert len({key.salt for key in keys.read(path)}) == 2


def test_keys_that_can_not_be_read_let_the_last_ones_stay_good(path, caplog):
    ring = Keyring(path, seconds=0)
    text = keys.create(path, "shop", ["admin"], NOW)
    assert ring.find(text)
    good = path.read_text()
    wrong = good.replace('"salt": "', '"salt": "xyz')
    for damaged in ("", "[{}]", '{"a": 1}', "\0", good[:-9], wrong):
        path.write_text(damaged)
        assert ring.find(text), damaged
        assert "can't be read" in caplog.text
        caplog.clear()
        with pytest.raises(KeyFileError, match="put a copy of it back"):
            keys.create(path, "shop", ["admin"], NOW)
        assert path.read_text() == damaged
    path.write_text(good)
    keys.revoke(path, text.split("_")[1], NOW)
    assert ring.find(text) is None


def test_a_limit_is_one_second_of_requests_counted_by_all_workers(tmp_path, monkeypatch):
    moment = 10**12
    monkeypatch.setattr(limits.time, "monotonic_ns", lambda: moment)
    one, other = (Limits(10, tmp_path / "limits") for _ in range(2))
    assert [limit.wait(1) for limit in (one, other) * 5] == [0] * 10
    assert (one.wait(1), other.wait(1), one.wait(2)) == (1, 1, 0)
    moment += 100_000_000
    assert (other.wait(1), one.wait(1)) == (0, 1)
    slow = Limits(0.1)
    assert (slow.wait(1), slow.wait(1)) == (0, 10)


def test_more_than_the_limit_is_refused_until_later(home):
    with home.service(OPS_KEY_RATE="0.01") as service:
        assert service.get("/openapi.json")[0] == 200
        status, problem, headers = service.ask("/openapi.json")
        assert (status, problem["title"]) == (429, "Too Many Requests")
        assert 90 < int(headers["Retry-After"]) <= 100
        assert service.get("/healthz")[0] == 200
        assert service.ask("/openapi.json", Authorization=f"Bearer {home.key()}")[0] == 200


def test_keys_are_made_listed_and_revoked_at_the_prompt(path, monkeypatch):
    monkeypatch.setenv("OPS_HOME", str(path.parent))
    ops = CliRunner().invoke

    made = ops(app, ["keys", "create", "the shop", "--scope", "recommend", "--scope", "feedback"])
    text = made.stdout.strip()
    assert Keyring(path).find(text).scopes == ("recommend", "feedback")
    (listed,) = json.loads(ops(app, ["keys", "list", "--json"]).stdout)
    assert (listed["name"], listed["revoked_at"]) == ("the shop", None)
    assert not {"hash", "salt"} & listed.keys()
    assert "the shop" in ops(app, ["keys", "list"]).stdout

    assert "is refused from now on" in ops(app, ["keys", "revoke", listed["id"]]).stdout
    assert Keyring(path).find(text) is None
    (revoked,) = keys.read(path)
    day, time = revoked.revoked_at[:19].split("T")
    assert f"{day} {time} │" in ops(app, ["keys", "list"]).stdout
    again = ops(app, ["keys", "revoke", listed["id"]])
    told = f"key {listed['id']} of the shop was revoked before, at {revoked.revoked_at}\n"
    assert (again.exit_code, again.stdout) == (0, told)
    assert keys.read(path) == [revoked]
    unknown = ops(app, ["keys", "revoke", "nobody"])
    assert unknown.exit_code == 1
    assert "no key 'nobody'" in unknown.stderr
    assert ops(app, ["keys", "create", "x", "--scope", "everything"]).exit_code == 2
