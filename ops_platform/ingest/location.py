"""Where a source's deliveries lie: as configured, or the simulated shop's where nothing is."""

import filecmp
import shutil
from datetime import datetime, timedelta
from glob import escape
from pathlib import Path, PurePath
from urllib.parse import urlsplit

from filelock import FileLock

from ops_platform.errors import SourceError
from ops_platform.ingest import ledger, web
from ops_platform.ingest.contract import ORDERS, Contract
from ops_platform.ingest.contract_faults import SQL
from ops_platform.ingest.extract import POSTGRES, extract
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.lake.scratch import scratch_folder
from ops_platform.settings import Settings
from ops_platform.simulate.deliveries import SOURCES, write_sources
from ops_platform.simulate.shop import Shop

SERVED = "served"
NOW = timedelta()


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

    What was served is where the service of this home writes it, once it does. In OPS_SOURCES a
    source is connected that has a folder there. Where the orders are not configured, the shop is
    simulated.
    """
    name = contract.name
    if settings.source.get(name):
        own = settings.source[name]
        return own if "://" in own else str(Path(own).expanduser().absolute())
    if name == SERVED:
        return str(settings.served) if settings.served.exists() else None
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


def source_location(
    settings: Settings, contract: Contract, patience: timedelta = NOW
) -> Path | None:
    """The folder or glob of a source's files, None where it is not connected.

    What is in a database or on the web is first copied here, unless that was done within
    `patience`. Raises SourceError when that fails; when the shop would be simulated into a lake
    that has been fed otherwise, or a source that has delivered has no folder any more: then a
    setting has been left out.
    """
    location = delivered_at(settings, contract)
    if location is not None and is_copied(settings, contract):
        return landed(settings, contract, location, patience)
    return None if location is None else Path(location)


def delivered_at(settings: Settings, contract: Contract) -> str | None:
    """As `connected_to`, once the simulated shop has delivered; raises as `source_location`."""
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


def landed(settings: Settings, contract: Contract, location: str, patience: timedelta) -> Path:
    """A glob of the copies of what is at the location now, or was within `patience`.

    One process or thread at a time makes them. Raises SourceError when that fails.
    """
    folder = settings.landed / contract.name
    if contract.format == SQL and Path(location).is_dir():
        location = str(Path(location) / PurePath(contract.location).name)
    # Not for others to read: personal data is hashed when it is taken in, not before.
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        seen, state = folder / ".seen", _state(contract, location)
        if not _is_recent(seen, state, settings.now() - patience):
            with scratch_folder(folder / ".scratch") as scratch:
                _copy(contract, location, scratch)
                _replace(folder, scratch)
            seen.write_text(f"{state}\n{settings.now().isoformat()}", encoding="utf-8")
    return Path(escape(str(folder)), "*")


def _state(contract: Contract, location: str) -> str:
    """What must be the same for a copy to do still: of a SQLite file also its own state."""
    files = [Path(location), Path(f"{location}-wal")] if "://" not in location else []
    stats = [(file.stat().st_size, file.stat().st_ctime_ns) for file in files if file.is_file()]
    bare = urlsplit(location)
    return f"{contract.digest} {bare.hostname} {bare.path} {stats}"


def _is_recent(seen: Path, state: str, since: datetime) -> bool:
    if not seen.exists():
        return False
    then, _, at = seen.read_text(encoding="utf-8").partition("\n")
    return then == state and datetime.fromisoformat(at) > since


def _copy(contract: Contract, location: str, folder: Path) -> None:
    scheme = urlsplit(location).scheme
    if contract.format == SQL:
        if "://" in location and scheme not in POSTGRES:
            raise SourceError(
                f"source {contract.name}: {scheme} is no database that can be read: a SQLite file "
                "or a postgresql:// URL is"
            )
        extract(contract, location, folder / f"{contract.name}.csv")
    elif scheme in web.SCHEMES:
        web.copy_here(contract, location, folder)
    else:
        raise SourceError(
            f"source {contract.name}: {scheme}:// is no location that can be read: "
            f"{', '.join(web.SCHEMES)} and files are"
        )


def _replace(folder: Path, new: Path) -> None:
    """Make the folder hold the new files; those of the same content stay as they are."""
    names = {path.name for path in new.glob("[!.]*")}
    for name in names:
        old = folder / name
        if not old.is_file() or not filecmp.cmp(old, new / name, shallow=False):
            (new / name).replace(old)
    for path in folder.glob("[!.]*"):
        if path.name not in names:
            path.unlink()
