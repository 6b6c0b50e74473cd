"""Where a source's deliveries lie: as configured, or the simulated shop's where nothing is."""

import shutil
from pathlib import Path

from ops_platform.errors import SourceError
from ops_platform.ingest import ledger
from ops_platform.ingest.contract import ORDERS, Contract
from ops_platform.ingest.contract_faults import SQL
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.settings import Settings
from ops_platform.simulate.deliveries import SOURCES, write_sources
from ops_platform.simulate.shop import Shop


def require_known_sources(settings: Settings, contracts: list[Contract]) -> None:
    """Raise SourceError when a setting `OPS_SOURCE_<NAME>` names no contract."""
    unknown = sorted(settings.source.keys() - {contract.name for contract in contracts})
    if unknown:
        raise SourceError(
            f"OPS_SOURCE_{unknown[0].upper()} is set, but there is no contract "
            f"{unknown[0]}.odcs.yaml in {settings.contracts}"
        )


def connected_to(settings: Settings, contract: Contract) -> str | None:
    """The folder, glob, database or URL that a source delivers from; None if it is not connected.

    What was served, and what came of it, is where the service of this home writes it, once it does.
    In OPS_SOURCES a source is connected that has a folder there. Where the orders are not
    configured, the shop is simulated.
    """
    name = contract.name
    if settings.source.get(name):
        own = settings.source[name]
        return own if "://" in own else str(Path(own).expanduser().absolute())
    by_the_service = {"served": settings.served, "feedback": settings.feedback}.get(name)
    if by_the_service is not None:
        return str(by_the_service) if by_the_service.exists() else None
    if settings.sources is not None:
        folder = settings.sources / name
        return str(folder) if folder.exists() else None
    return str(settings.simulated_sources / name) if _is_simulated(settings, contract) else None


def is_copied(settings: Settings, contract: Contract) -> bool:
    """Whether a source's deliveries are copied here first, and so are never seen half-written."""
    return contract.format == SQL or "://" in (connected_to(settings, contract) or "")


def _is_simulated(settings: Settings, contract: Contract) -> bool:
    elsewhere = (
        settings.sources or settings.source.get(ORDERS) or settings.source.get(contract.name)
    )
    return contract.name in SOURCES and not elsewhere


def delivered_at(settings: Settings, contract: Contract) -> str | None:
    """As `connected_to`, once the simulated shop has delivered.

    Raises SourceError when the shop would be simulated into a lake that has been fed otherwise, or
    a source that has delivered has no folder any more: then a setting has been left out.
    """
    location = connected_to(settings, contract)
    if location is None:
        _require_none_was_taken(settings, contract)
    elif _is_simulated(settings, contract) and not Path(location).exists():
        _simulate(settings, contract)
    return location


def _simulate(settings: Settings, contract: Contract) -> None:
    if Lake.at(settings).exists:
        raise SourceError(
            f"source {contract.name} is not configured, but the lake in {settings.home} has "
            f"been fed from elsewhere: set OPS_SOURCE_{contract.name.upper()} or OPS_SOURCES"
        )
    partial = settings.simulated_sources.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    write_sources(Shop(seed=settings.seed), partial)
    partial.rename(settings.simulated_sources)


def _require_none_was_taken(settings: Settings, contract: Contract) -> None:
    lake = Lake.at(settings)
    if settings.sources is None or not lake.exists:
        return
    with connect(lake) as connection:
        taken = ledger.held(ledger.read(connection, contract.name))
    if any(Path(entry.path).parent == settings.sources / contract.name for entry in taken.values()):
        raise SourceError(
            f"source {contract.name}: there is no folder {settings.sources / contract.name}, "
            "though deliveries were taken from there: mend OPS_SOURCES"
        )
