import os
import shutil
from pathlib import Path

import pytest
from xdist.scheduler import LoadFileScheduling

SHARE_THE_GRAPH = ("tests/graph/test_catalog.py", "tests/graph/test_walk.py")
REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "online-retail"


@pytest.fixture(scope="session")
def online_retail() -> Path:
    """The folder of the 305 real order files; skips where it is not at hand."""
    folder = Path(os.environ.get("OPS_TEST_REAL_DATA") or REAL)
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}: set OPS_TEST_REAL_DATA to its folder")
    return folder


class _ByFile(LoadFileScheduling):
    """A file's tests run in one process; so do all that share the graph made for the session."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "the graph" if file in SHARE_THE_GRAPH else file


def pytest_xdist_make_scheduler(config, log):
    return _ByFile(config, log)


@pytest.fixture
def browser():
    """A headless Chromium that keeps what it logs and loads."""
    webdriver = pytest.importorskip("selenium.webdriver")
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not binary or not driver:
        pytest.skip("no chromium with its driver: install both to run this")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    started = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield started
    started.quit()
