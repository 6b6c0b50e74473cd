"""Deliveries on the web, from a real server on this machine."""

import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import duckdb
import pytest

from ops_platform.errors import SourceError
from ops_platform.ingest.copies import source_location
from ops_platform.ingest.web import copy_here
from ops_platform.settings import Settings


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *told) -> None:
        """Say nothing."""


@pytest.fixture
def web(shop):
    """The address at which the shop's folder is."""
    handler = partial(Quiet, directory=str(shop.folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def take(shop, tmp_path):
    def take(url):
        settings = Settings(home=tmp_path / "home", source={"orders": url})
        shop.folder = source_location(settings, shop.contract)
        return shop.run()

    return take


def test_a_file_on_the_web_is_taken_in_and_its_correction_replaces_it(shop, web, take, a_row):
    pytest.importorskip("duckdb_extension_httpfs")
    folder = shop.folder
    shop.deliver("a.csv", a_row(1))
    take(f"{web}/a.csv?token=secret")
    assert take(f"{web}/a.csv").changed == []
    shop.folder = folder
    shop.deliver("a.csv", a_row(2), a_row("x"))
    take(f"{web}/a.csv")
    assert shop.raw() == ["2"]
    assert shop.status() == [("a.csv", "replaced"), ("a.csv", "taken")]


def test_what_can_not_be_had_is_said_without_a_secret(web, take):
    pytest.importorskip("duckdb_extension_httpfs")
    with pytest.raises(SourceError, match=r"/none.csv can't be had: HTTP 404") as caught:
        take(f"{web}/none.csv?token=hunter2")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(SourceError, match="can't be had: Could not connect to server") as caught:
        take("http://me:hunter2@127.0.0.1:1/a.csv")
    assert "hunter2" not in str(caught.value)


def test_without_the_extension_the_message_names_its_package(shop, monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb_extension_httpfs", None)
    monkeypatch.setenv("HOME", "/nonexistent")
    with pytest.raises(SourceError, match=f"duckdb-extension-httpfs=={duckdb.__version__}"):
        copy_here(shop.contract, "https://example.org/a.csv", shop.folder)


def test_another_scheme_is_said(take):
    with pytest.raises(SourceError, match="ftp:// is no location that can be read"):
        take("ftp://me:secret@example.org/a.csv")
