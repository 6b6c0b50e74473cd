"""Where a source's deliveries lie: as configured, or the simulated shop's where nothing is."""

import shutil
from pathlib import Path

from ops_platform.errors import SourceError
from ops_platform.ingest.contract import Contract
from ops_platform.lake.location import Lake
from ops_platform.settings import Settings
from ops_platform.simulate.shop import Shop, write_orders

SIMULATED = "orders"
SERVED = "served"


def require_known_sources(settings: Settings, contracts: list[Contract]) -> None:
    """Raise SourceError when a setting `OPS_SOURCE_<NAME>` names no contract."""
    unknown = sorted(settings.source.keys() - {contract.name for contract in contracts})
    if unknown:
        raise SourceError(
            f"OPS_SOURCE_{unknown[0].upper()} is set, but there is no contract "
            f"{unknown[0]}.odcs.yaml in {settings.contracts}"
        )


def source_location(settings: Settings, contract: Contract) -> Path | None:
    """The folder or glob of a source, None where it is not connected.

    What was served is where the service of this home writes it, once it does, unless its own
    setting says otherwise.
    Where nothing is configured the orders are simulated, but never into a lake that has been fed
    otherwise: raises SourceError, since a setting has been left out.
    """
    if contract.name == SERVED and not settings.source.get(SERVED):
        return settings.served if settings.served.exists() else None
    configured = settings.source_location(contract.name)
    if configured is not None:
        return configured
    if contract.name != SIMULATED:
        return None
    folder = settings.simulated_sources / contract.name
    if not folder.exists():
        if Lake.at(settings).exists:
            raise SourceError(
                f"source {contract.name} is not configured, but the lake in {settings.home} has "
                f"been fed from elsewhere: set OPS_SOURCE_{contract.name.upper()} or OPS_SOURCES"
            )
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        write_orders(Shop(seed=settings.seed), partial)
        partial.rename(folder)
    return folder
