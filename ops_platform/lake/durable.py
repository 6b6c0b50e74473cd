"""What must be on disk before it is relied on."""

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """A rename or removal is on disk only once its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
