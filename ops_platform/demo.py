"""`ops demo`: the loop on the simulated shop, whose customers' taste shifts on a known day."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

from pydantic import SecretStr

from ops_platform.advice import frequent_customers
from ops_platform.errors import OpsError
from ops_platform.ingest import ledger
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.loop import Loop, free_port, versions
from ops_platform.processes import materialize
from ops_platform.settings import Settings
from ops_platform.simulate.change import TasteShift
from ops_platform.simulate.deliveries import DATABASE, SOURCES, write_sources
from ops_platform.simulate.people import write_customers
from ops_platform.simulate.shop import Shop

MODEL = "recommender"
MARK = "demo"
HISTORY_DAYS, QUIET_DAYS, STEP_DAYS, MOST_STEPS = 150, 8, 5, 4
SHOP = Shop(seed=0, start=date(2024, 1, 1), customers=400, products=300)
STRENGTH = 0.5
# Of simulated customers, so it may be known; a platform of your own has a secret of its own.
HASH_KEY = "the-key-of-the-demo"
Say = Callable[[str], object]


@dataclass(frozen=True)
class Story:
    """When what happens: the last day of each delivery, and the day of the shift."""

    shop: Shop
    ends: tuple[date, ...]
    shift: date


def story() -> Story:
    """Months of trade, some days more, the shift, and days until it must have been seen."""
    first = SHOP.start + timedelta(days=HISTORY_DAYS)
    quiet = first + timedelta(days=QUIET_DAYS)
    shift = quiet + timedelta(days=1)
    later = [quiet + timedelta(days=STEP_DAYS * step) for step in range(1, MOST_STEPS + 1)]
    days = (later[-1] - SHOP.start).days + 1
    shop = replace(SHOP, days=days, drifts=(TasteShift(shift, STRENGTH),))
    return Story(shop, (first, quiet, *later), shift)


def play(home: Path, say: Say, step: Callable[[str, str], object]) -> Settings:
    """Play it all in a fresh home, telling each event; the settings to look around with.

    Raises OpsError when the home is not the demo's own, when something fails, or when the taste
    shift has not led to a new version that serves.
    """
    settings = _fresh(home)
    told, waiting = story(), home / "simulated" / "all"
    loop = Loop(settings, MODEL, free_port(), say)
    write_sources(told.shop, waiting)
    first, *later = told.ends
    _deliver(loop, told.shop, waiting, first, say)
    materialize(settings, step)
    say("the graph has made raw data, marts, features and the first champion")
    with loop.running():
        _wait_for_answer(loop)
        (customer,) = frequent_customers(settings, 1)
        _show(loop, customer)
        loop.settle(first)
        for end in later:
            if end > told.shift > end - timedelta(days=STEP_DAYS + 1):
                say(f"from {told.shift} on, half of the customers like other things")
            _deliver(loop, told.shop, waiting, end, say)
            loop.settle(end)
            if loop.seconds_to_serve:
                _show(loop, customer)
                break
        loop.look()
    if not loop.seconds_to_serve:
        raise OpsError(
            f"the taste shift of {told.shift} has led to no new version by {told.ends[-1]}: "
            f"see {home / 'logs'}"
        )
    return settings


def _fresh(home: Path) -> Settings:
    """A home that holds nothing but the mark that it is the demo's."""
    if home.exists() and any(home.iterdir()):
        if not (home / MARK).exists():
            raise OpsError(
                f"{home} holds something else than a demo: set OPS_HOME to another folder, "
                "or delete it"
            )
        _refuse_what_is_not_simulated(home)
        shutil.rmtree(home)
    folders = {source: home / "simulated" / source for source in SOURCES}
    for folder in folders.values():
        folder.mkdir(parents=True)
    (home / MARK).touch()
    (home / "clock").write_text(f"{SHOP.start}T00:00:00", encoding="utf-8")
    return Settings(
        home=home,
        clock=str(home / "clock"),
        source={source: str(folder) for source, folder in folders.items()},
        settle_seconds=1,
        hash_key=SecretStr(HASH_KEY),
    )


def _refuse_what_is_not_simulated(home: Path) -> None:
    """Raise OpsError where somebody has gone on with orders of their own in a demo's home."""
    lake = Lake.at(Settings(home=home))
    if not lake.exists:
        return
    with connect(lake) as connection:
        paths = [Path(entry.path) for entry in ledger.read(connection, "orders")]
    foreign = [path for path in paths if not path.is_relative_to(home / "simulated")]
    if foreign:
        raise OpsError(
            f"{home} holds orders that are not the demo's, {foreign[0]} say: set OPS_HOME to "
            "another folder, or delete it"
        )


def _deliver(loop: Loop, shop: Shop, waiting: Path, end: date, say: Say) -> None:
    """What each system has for the days up to `end`; the customers' database is as on that day."""
    loop.advance(end)
    due = [path for path in waiting.glob("*/*") if path.stem <= end.isoformat()]
    for path in due:
        path.rename(waiting.parent / path.parent.name / path.name)
    write_customers(shop, waiting.parent / "customers" / DATABASE, end)
    days = sorted(path.stem for path in due if path.parent.name == "orders")
    say(f"{len(days)} days of orders and events land, {days[0]} to {days[-1]}")


def _wait_for_answer(loop: Loop) -> None:
    deadline = time.monotonic() + 60
    while loop.ask("readyz") is None:
        if time.monotonic() > deadline:
            raise OpsError(f"the service does not answer: see {loop.settings.home / 'logs'}")
        time.sleep(0.2)


def _show(loop: Loop, customer: str) -> None:
    answer = loop.ask(f"v1/recommendations/{customer}?k=3")
    if answer is None:
        raise OpsError(f"the service recommends nothing: see {loop.settings.home / 'logs'}")
    named = [f"{one['description']} ({one['reason']})" for one in answer["recommendations"]]
    loop.say(f"version {answer['version']} to customer {customer}: {'; '.join(named)}")


def summary(settings: Settings) -> list[dict[str, object]]:
    """The versions of the demo's model."""
    return versions(settings, MODEL)
