"""Scratch folders: one that a killed process left is swept, one that is in use is not."""

import subprocess
import sys

import pytest

from ops_platform.errors import OpsError
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


def test_a_lock_without_a_folder_is_swept_unless_it_is_held(tmp_path):
    dead = tmp_path / "dead.lock"
    dead.touch()
    with scratch_folder(tmp_path) as used:
        held = used.with_suffix(".lock")
        used.rmdir()
        with scratch_folder(tmp_path):
            assert held.exists()
        assert list(tmp_path.iterdir()) == [held]
    assert list(tmp_path.iterdir()) == []


def test_where_no_folder_can_be_made_it_says_what_to_do(tmp_path):
    (tmp_path / "file").touch()
    root = tmp_path / "file" / "scratch"
    with pytest.raises(OpsError, match=f"{root}.*make room"), scratch_folder(root):
        pass
