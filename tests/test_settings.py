"""Each environment has a home of its own, and no setting but that follows from it."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from ops_platform.settings import Settings


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    for name in ("OPS_ENV", "OPS_HOME", "OPS_PRODUCTION_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("env", "home"), [("", ".ops"), ("dev", ".ops"), ("prod", ".ops-prod")])
def test_each_environment_has_a_home_of_its_own(monkeypatch, env, home):
    monkeypatch.setenv("OPS_ENV", env)
    settings = Settings()
    assert settings.home == Path.cwd() / home
    assert settings.production_home == Path.cwd() / ".ops-prod"


def test_nothing_else_differs(monkeypatch):
    dev = Settings().model_dump(exclude={"env", "home"})
    monkeypatch.setenv("OPS_ENV", "prod")
    assert Settings().model_dump(exclude={"env", "home"}) == dev


def test_a_home_that_is_set_is_used_in_every_environment(monkeypatch):
    monkeypatch.setenv("OPS_ENV", "prod")
    monkeypatch.setenv("OPS_HOME", "/srv/shop")
    assert Settings().home == Path("/srv/shop")
    assert Settings(home=Path("/elsewhere")).home == Path("/elsewhere")


def test_an_unknown_environment_is_refused(monkeypatch):
    monkeypatch.setenv("OPS_ENV", "stage")
    with pytest.raises(ValidationError, match="'dev' or 'prod'") as caught:
        Settings()
    assert caught.value.error_count() == 1
