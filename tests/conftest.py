import os
from pathlib import Path

import pytest

REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "online-retail"


@pytest.fixture(scope="session")
def online_retail() -> Path:
    """The folder of the 305 real order files; skips where it is not at hand."""
    folder = Path(os.environ.get("OPS_TEST_REAL_DATA") or REAL)
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}: set OPS_TEST_REAL_DATA to its folder")
    return folder
