"""A home to load: a copy of the release that serves, another one to swap with it, and a key."""

import json
import shutil
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from subprocess import Popen
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.serving_wrk import Asked, free_port, process
from ops_platform.serve import keys, release
from ops_platform.settings import Settings

MODEL, K = "recommender", 20


@dataclass(frozen=True)
class Home:
    """A home in a scratch folder.

    Attributes
    ----------
    folder : of the model's releases.
    releases : the two that are swapped; the first serves.
    ids : a file of the customers that they know, one a line.
    key : of all scopes.
    """

    path: Path
    folder: Path
    releases: tuple[str, str]
    ids: Path
    key: str

    @contextmanager
    def service(self, **settings: str) -> Iterator["Service"]:
        """The service on a free port, by `ops serve`'s own process."""
        port = free_port()
        command = ["-m", "ops_platform.serve", "--port", str(port)]
        url = f"http://127.0.0.1:{port}"
        given = {"OPS_HOME": str(self.path), "OPS_KEY_RATE": "1000000", **settings}
        with process(command, f"{url}/healthz", self.path / "service.log", **given) as running:
            yield Service(url, running, self.key)

    def new_key(self) -> str:
        """Another key of all scopes."""
        settings = Settings(home=self.path)
        return keys.create(settings.keys, "benchmark", keys.SCOPES, settings.now())


@dataclass(frozen=True)
class Service:
    """A service that runs."""

    url: str
    process: "Popen[bytes]"
    key: str

    def lists(self, key: str | None = None, k: int | None = K) -> Asked:
        """Lists for customers, one a request; without k it stands with the customers."""
        carried = f"Authorization: Bearer {key or self.key}"
        after = "" if k is None else f"?k={k}"
        return Asked(self.url, [carried], ("/v1/recommendations/", after))

    def get(self, path: str) -> bytes:
        """The body of an answer."""
        asked = urllib.request.Request(self.url + path)
        asked.add_header("Authorization", f"Bearer {self.key}")
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return bytes(answer.read())

    def ready(self) -> dict[str, Any]:
        """What /readyz tells an admin."""
        found: dict[str, Any] = json.loads(self.get("/readyz"))
        return found

    def counted(self, name: str, **labels: str) -> int:
        """The sum of a counter's samples that have these labels."""
        return int(
            sum(
                sample.value
                for family in text_string_to_metric_families(self.get("/metrics").decode())
                for sample in family.samples
                if sample.name == name and labels.items() <= sample.labels.items()
            )
        )


def make(settings: Settings, path: Path) -> Home:
    """Copy what serves in the settings' home, and write a release that answers otherwise.

    Raises SystemExit where nothing serves there, ReleaseError where that is damaged.
    """
    origin = release.folder_of(settings.releases, MODEL)
    pointed = release.pointed(origin)
    if pointed is None:
        raise SystemExit(f"no release serves in {settings.home}: run `ops demo`, or set OPS_HOME")
    own = Settings(home=path)
    folder = release.folder_of(own.releases, MODEL)
    shutil.copytree(origin / pointed, folder / pointed)
    loaded = release.load(folder / pointed)
    made = {one.name: getattr(loaded.manifest, one.name) for one in fields(release.Origin)}
    made |= {"version": loaded.manifest.version + 1, "purchase_probability": None}
    arrays = {**loaded.arrays, "again": loaded.arrays["again"] / 2}
    now = settings.now()
    other = release.write(folder, release.Origin(**made), arrays, loaded.catalog, now, {})
    release.point_to(folder, pointed)
    ids = path / "ids"
    ids.write_text("\n".join(loaded.arrays["customers"].tolist()) + "\n", encoding="utf-8")
    key = keys.create(own.keys, "benchmark", keys.SCOPES, now)
    return Home(path, folder, (pointed, other), ids, key)
