"""The copy of what a source delivers from a database or the web, made by a process of its own.

A database or a server may accept and then never answer, deep in a library that can't be interrupted
and must not be left running while its process ends. So `python -m` of this is what makes a copy: it
is told by its standard input what to copy, says on its standard output why that failed, and ends
once its input is closed, as it is when whoever started it ends in whatever way.
"""

import filecmp
import os
import pickle
import sys
from datetime import datetime, timedelta
from glob import escape
from pathlib import Path, PurePath
from threading import Thread
from urllib.parse import urlsplit

from filelock import FileLock

from ops_platform.errors import OpsError, SourceError
from ops_platform.ingest import web
from ops_platform.ingest.contract import Contract
from ops_platform.ingest.contract_faults import SQL
from ops_platform.ingest.extract import POSTGRES, extract
from ops_platform.lake.scratch import scratch_folder
from ops_platform.settings import Settings


def landed(settings: Settings, contract: Contract) -> Path:
    """The glob of a source's copies."""
    return Path(escape(str(_folder(settings, contract))), "*")


def has_landed(settings: Settings, contract: Contract, location: str, patience: timedelta) -> bool:
    """Whether what is at the location was copied within `patience`."""
    seen = _folder(settings, contract) / ".seen"
    if not seen.exists():
        return False
    then, _, at = seen.read_text(encoding="utf-8").partition("\n")
    return then == _state(contract, location) and (
        datetime.fromisoformat(at) > settings.now() - patience
    )


def land(settings: Settings, contract: Contract, location: str, patience: timedelta) -> None:
    """Copy what is at the location, unless another process has done so within `patience`.

    One process at a time does. Raises SourceError when that fails, TimeoutError when another is at
    it for longer than a copy may take.
    """
    folder = _folder(settings, contract)
    # Not for others to read: personal data is hashed when it is taken in, not before.
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with FileLock(folder / ".lock", timeout=settings.copy_seconds):
        if has_landed(settings, contract, location, patience):
            return
        state = _state(contract, location)
        with scratch_folder(folder / ".scratch") as scratch:
            _copy(contract, _file(contract, location), scratch)
            _replace(folder, scratch)
            # Whole or not at all, for it is read without the lock too.
            seen = scratch / ".seen"
            seen.write_text(f"{state}\n{settings.now().isoformat()}", encoding="utf-8")
            seen.replace(folder / ".seen")


def _folder(settings: Settings, contract: Contract) -> Path:
    return settings.landed / contract.name


def _file(contract: Contract, location: str) -> str:
    """The location, or of a folder the database in it."""
    if contract.format == SQL and Path(location).is_dir():
        return str(Path(location) / PurePath(contract.location).name)
    return location


def _state(contract: Contract, location: str) -> str:
    """What must be the same for a copy to do still: of a SQLite file also its own state."""
    location = _file(contract, location)
    files = [Path(location), Path(f"{location}-wal")] if "://" not in location else []
    stats = [(file.stat().st_size, file.stat().st_ctime_ns) for file in files if file.is_file()]
    bare = urlsplit(location)
    return f"{contract.digest} {bare.hostname} {bare.path} {stats}"


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


def _end_with_the_input() -> None:
    # Not by its buffer, whose lock would be held when this process ends by itself.
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)


def _main() -> str | None:
    """What went wrong, None where nothing did; without what may be a secret."""
    settings, contract, location, patience = pickle.load(sys.stdin.buffer)  # noqa: S301 of our parent
    Thread(target=_end_with_the_input, daemon=True).start()
    try:
        land(settings, contract, location, patience)
    except OpsError as error:
        return str(error)
    except OSError as error:
        return f"source {contract.name}: its copy failed: {error}"
    except Exception as error:
        # Of other errors the class only: a library's text may hold an address with its password.
        return f"source {contract.name}: its copy failed: {type(error).__name__}"
    return None


if __name__ == "__main__":
    told = _main()
    sys.stdout.write(told or "")
    sys.exit(told is not None)
