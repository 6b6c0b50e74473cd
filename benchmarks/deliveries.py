"""What a torture delivers: a small shop's files, a few at a time, and corrections of them."""

import csv
import hashlib
import io
import random
from dataclasses import dataclass
from pathlib import Path

from ops_platform.simulate.shop import Shop, write_orders

FIRST = 8
CORRECTED = 0.5
Step = dict[str, bytes]


@dataclass(frozen=True)
class Plan:
    """The deliveries of a torture, known beforehand.

    Parameters
    ----------
    steps : what is delivered at once, content by file name.
    records : the number of records of every content that is ever delivered, by its SHA-256.
    """

    steps: list[Step]

    @property
    def records(self) -> dict[str, int]:
        """See the class."""
        contents = [content for step in self.steps for content in step.values()]
        return {hashlib.sha256(content).hexdigest(): _records(content) for content in contents}

    @property
    def final(self) -> Step:
        """What lies in the folder at the end."""
        return {name: content for step in self.steps for name, content in step.items()}


def plan(count: int, seed: int, scratch: Path) -> Plan:
    """Deliveries in `count` steps, each with something new: later days, corrections or both."""
    shop = Shop(seed=seed, days=30, customers=100, products=60, dirty_rate=0.01)
    files = {path.name: path.read_bytes() for path in write_orders(shop, scratch)}
    names, rng = list(files), random.Random(seed)
    steps, delivered = [dict(list(files.items())[:FIRST])], FIRST
    for number in range(1, count):
        until = FIRST + (len(names) - FIRST) * number // max(1, count - 1)
        step = {name: files[name] for name in names[delivered:until]}
        if not step or rng.random() < CORRECTED:
            name = rng.choice(names[:delivered])
            files[name] = _without_a_row(files[name])
            step[name] = files[name]
        steps.append(step)
        delivered = until
    return Plan(steps)


def deliver(step: Step, folder: Path) -> None:
    """Put the files of a step into the folder, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in step.items():
        aside = folder / f"{name}.part"
        aside.write_bytes(content)
        aside.replace(folder / name)


def _without_a_row(content: bytes) -> bytes:
    return b"".join(content.splitlines(keepends=True)[:-1])


def _records(content: bytes) -> int:
    return sum(1 for _ in csv.reader(io.StringIO(content.decode(), newline=""))) - 1
