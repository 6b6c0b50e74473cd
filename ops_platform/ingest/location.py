"""Where a source's deliveries lie: as configured, or the simulated shop's where nothing is."""

import shutil
from pathlib import Path

from ops_platform.ingest.contract import Contract
from ops_platform.settings import Settings
from ops_platform.simulate.shop import Shop, write_orders


def source_location(settings: Settings, contract: Contract) -> Path:
    """The folder or glob of a source; simulates the orders first where none is configured."""
    configured = settings.source_location(contract.name)
    if configured is not None:
        return configured
    folder = settings.simulated_sources / contract.name
    if not folder.exists():
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        write_orders(Shop(seed=settings.seed), partial)
        partial.rename(folder)
    return folder
