"""A home with a lake, a registry and trained versions, and the real service on a free port."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ops_platform.lake import catalog
from ops_platform.lake.location import Lake
from ops_platform.lake.write import write
from ops_platform.models.registry import Registry
from ops_platform.models.zoo.recommender import Recommender
from ops_platform.serve import keys
from ops_platform.serve.promotion import Served, put_in_service
from ops_platform.serve.release import folder_of
from ops_platform.settings import PROJECT, Settings
from tests.models.conftest import AS_OF, shop

NAME = "recommender"
NOW = datetime(2024, 4, 1, 12)
JSON = ("application/json", "application/problem+json")


def until(holds: Callable[[], Any], seconds: float = 20) -> Any:
    """What `holds` returns, as soon as that is true."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)
    return found


def fitted(**parameters: Any) -> Recommender:
    return Recommender(**parameters).fit(shop(), AS_OF)


@dataclass
class Home:
    """What tests do with a home: register versions, release them, serve them."""

    path: Path
    data: Path
    snapshot: int

    @property
    def settings(self) -> Settings:
        return Settings(home=self.path, data_path=self.data)

    @property
    def lake(self) -> Lake:
        return Lake.at(self.settings)

    @property
    def registry(self) -> Registry:
        return Registry(self.settings.mlflow_tracking_uri, self.settings.mlflow_artifact_root)

    @property
    def folder(self) -> Path:
        return folder_of(self.settings.releases, NAME)

    def register(self, model: Recommender | None = None, *, promote: bool = True, **tags) -> int:
        """A new version, whose verdict is `promote`."""
        made = {
            "as_of": AS_OF.isoformat(),
            "snapshot": str(self.snapshot),
            "training_set": "0" * 64,
            "verdict": json.dumps({"promote": promote}),
            **tags,
        }
        return self.registry.register(
            NAME,
            model or fitted(),
            metrics={"ndcg_at_20": 0.5},
            tags={key: value for key, value in made.items() if value},
            now=NOW,
        )

    def release(self, customer_key: str | None = None) -> Served | None:
        return put_in_service(
            self.lake, self.registry, self.settings.releases, NAME, NOW, customer_key
        )

    @contextmanager
    def service(self, *options: str, **environment: str) -> Iterator["Service"]:
        """The service in a process of its own; stopped politely at the end, if it still is."""
        key = self.key()
        process = subprocess.Popen(
            [sys.executable, "-m", "ops_platform.serve", "--port", "0", *options],
            cwd=PROJECT,
            env={**os.environ, "OPS_HOME": str(self.path), "OPS_KEY_RATE": "100000", **environment},
            stdout=subprocess.PIPE,
            stderr=(self.path / "service.log").open("ab"),
            text=True,
        )
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            assert said.startswith(f"{NAME}: http://127.0.0.1:"), self.log()
            yield Service(said.split()[1], process, key)
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) is not None
            process.stdout.close()

    def key(self, *scopes: str) -> str:
        """A new key, which may all where no scope is named."""
        return keys.create(self.settings.keys, "a test", scopes or keys.SCOPES, NOW)

    def log(self) -> str:
        return (self.path / "service.log").read_text()

    def deliveries(self) -> list[Path]:
        return sorted(self.settings.served.glob("*.jsonl"))

    def served(self) -> list[dict]:
        return [
            json.loads(line)
            for path in self.deliveries()
            for line in path.read_bytes().splitlines()
        ]


@dataclass
class Service:
    """A running service, asked over HTTP."""

    url: str
    process: subprocess.Popen
    key: str

    def ask(self, path: str, data: Any = None, **headers: str) -> tuple[int, Any, Message]:
        """The status, the body, and the headers; a body to send is anything that JSON can hold."""
        body = data if isinstance(data, bytes | None) else json.dumps(data).encode()
        asked = urllib.request.Request(f"{self.url}{path}", body)
        given = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        for name, value in {**given, **headers}.items():
            if value:
                asked.add_header(name, value)
        try:
            with urllib.request.urlopen(asked, timeout=20) as answer:
                content = answer.read()
                if answer.headers.get_content_type() == "application/json":
                    content = json.loads(content)
                return answer.status, content, answer.headers
        except urllib.error.HTTPError as error:
            assert error.headers.get_content_type() in JSON, error.headers
            return error.code, json.load(error), error.headers

    def get(self, path: str) -> tuple[int, Any]:
        return self.ask(path)[:2]

    def metrics(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """Each sample by its name and its labels."""
        text = self.ask("/metrics")[1].decode()
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def recommend(self, customer: str, k: int = 10) -> dict:
        quoted = urllib.parse.quote(customer, safe="")
        status, answer = self.get(f"/v1/recommendations/{quoted}?k={k}")
        assert status == 200, answer
        return answer

    def ready(self) -> dict:
        return self.get("/readyz")[1]


@pytest.fixture(scope="session")
def bare_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A lake with descriptions of the products, and an empty registry; copied by each test."""
    path = tmp_path_factory.mktemp("bare")
    home = Home(path, path / "data", 0)
    products = sorted(shop()["product_id"].unique())
    named = ", ".join(f"('{one}', 'THE {one.upper()}')" for one in products[1:])
    write(home.lake, lambda connection: connection.execute("CREATE SCHEMA marts"))
    write(
        home.lake,
        lambda connection: connection.execute(
            "CREATE TABLE marts.dim_products AS "
            "SELECT *, NULL::VARCHAR AS title, NULL::VARCHAR AS category FROM "
            f"(VALUES {named}, ('{products[0]}', NULL)) AS t(product_id, description)"
        ),
    )
    home.snapshot = catalog.head(home.lake)
    home.registry.make_ready()
    return home


@pytest.fixture
def home(bare_home: Home, tmp_path: Path) -> Home:
    """A home of its own: nothing is released or registered yet."""
    return copy_of(bare_home, tmp_path / "home")


def copy_of(bare_home: Home, path: Path) -> Home:
    """The bare home at another place."""
    shutil.copytree(bare_home.path / "mlflow", path / "mlflow")
    # Of the lake the catalog, whose data files stay where they are: here they are only read.
    shutil.copytree(bare_home.path / "lake", path / "lake")
    return Home(path, bare_home.data, bare_home.snapshot)
