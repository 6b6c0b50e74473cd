"""Scratch folders: one that a killed process left is swept, one that is in use is not."""

import subprocess
import sys

from ops_platform.lake.scratch import scratch_folder

KILLED = """
import os, sys
from pathlib import Path
from ops_platform.lake.scratch import scratch_folder

with scratch_folder(Path(sys.argv[1])) as folder:
    (folder / "plain.csv").write_text("personal")
    os.kill(os.getpid(), 9)
"""


def test_what_a_killed_process_left_is_swept_and_what_is_in_use_is_not(tmp_path):
    root = tmp_path / "scratch"
    with scratch_folder(root) as used:
        (used / "plain.csv").write_text("personal")
        assert used.stat().st_mode & 0o077 == 0
        subprocess.run([sys.executable, "-c", KILLED, str(root)], check=False)
        assert len(list(root.glob("*/plain.csv"))) == 2
        with scratch_folder(root):
            assert list(root.glob("*/plain.csv")) == [used / "plain.csv"]
    assert list(root.iterdir()) == []
