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
# Content by file name; None where the file goes.
Step = dict[str, bytes | None]


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
        contents = [one for step in self.steps for one in step.values() if one is not None]
        return {hashlib.sha256(content).hexdigest(): _records(content) for content in contents}

    @property
    def final(self) -> Step:
        """What lies in the folder at the end."""
        last = {name: content for step in self.steps for name, content in step.items()}
        return {name: content for name, content in last.items() if content is not None}


def plan(count: int, seed: int, scratch: Path) -> Plan:
    """Deliveries in `count` steps, each with something new: later days, corrections or both."""
    shop = Shop(seed=seed, days=30, customers=100, products=60, dirty_rate=0.01)
    files = {path.name: path.read_bytes() for path in write_orders(shop, scratch)}
    names, rng = list(files), random.Random(seed)
    steps: list[Step] = [dict(list(files.items())[:FIRST])]
    delivered = FIRST
    for number in range(1, count):
        until = FIRST + (len(names) - FIRST) * number // max(1, count - 1)
        step: Step = {name: files[name] for name in names[delivered:until]}
        if not step or rng.random() < CORRECTED:
            name = rng.choice(names[:delivered])
            files[name] = _without_a_row(files[name])
            step[name] = files[name]
        steps.append(step)
        delivered = until
    return Plan(steps)


class Hard:
    """Deliveries without end, of every kind that goes wrong; the same for the same seed.

    A later or an older day, whole or cut off anywhere; a correction, or the content before it
    again; a file under a second name or a new one; and the same bytes once more.
    """

    def __init__(self, seed: int, scratch: Path) -> None:
        """Make the days that are delivered in the course of it."""
        shop = Shop(seed=seed, days=120, customers=60, products=40, dirty_rate=0.01)
        files = {path.name: path.read_bytes() for path in write_orders(shop, scratch)}
        self.rng = random.Random(seed)
        self.waiting, self.present = files, dict[str, bytes]()
        self.earlier = dict[str, bytes]()
        self.records = dict[str, int]()
        self._was_renamed = False

    def next(self) -> tuple[str, Step, bool]:
        """The next step and its kind, and whether all before it must have been taken in first.

        For a content that is renamed unseen has vanished for the ledger, and its rows stay.
        """
        kinds = [self._day, self._cut_off, self._out_of_order]
        if self.present:
            kinds += [self._corrected, self._earlier, self._doubled, self._renamed, self._again]
        chosen = self.rng.choice(kinds)
        step = chosen()
        for name, content in step.items():
            old = self.present.pop(name, None)
            if content is not None:
                self.records[hashlib.sha256(content).hexdigest()] = _records(content)
                self.earlier[name] = self.earlier.get(name, content) if old is None else old
                self.present[name] = content
        renamed = None in step.values()
        is_seen, self._was_renamed = renamed or self._was_renamed, renamed
        return chosen.__name__.strip("_").replace("_", " "), step, is_seen

    def _day(self) -> Step:
        return self._take(next(iter(self.waiting), None))

    def _out_of_order(self) -> Step:
        return self._take(self.rng.choice(list(self.waiting)) if self.waiting else None)

    def _take(self, name: str | None) -> Step:
        return self._again() if name is None else {name: self.waiting.pop(name)}

    def _cut_off(self) -> Step:
        ((name, content),) = self._day().items()
        assert content is not None
        self.earlier[name] = content
        return {name: content[: self.rng.randrange(len(content))] if content else content}

    def _corrected(self) -> Step:
        name = self._any()
        return {name: _without_a_row(self.present[name])}

    def _earlier(self) -> Step:
        name = self._any()
        return {name: self.earlier[name]}

    def _doubled(self) -> Step:
        name = self._any()
        return {f"{len(self.earlier):03}-{name[-14:]}": self.present[name]}

    def _renamed(self) -> Step:
        name = self._any()
        return {name: None, f"{len(self.earlier):03}-{name[-14:]}": self.present[name]}

    def _again(self) -> Step:
        name = self._any()
        return {name: self.present[name]}

    def _any(self) -> str:
        return self.rng.choice(sorted(self.present))


def deliver(step: Step, folder: Path) -> None:
    """Put the files of a step into the folder, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in step.items():
        if content is None:
            (folder / name).unlink()
            continue
        aside = folder / f"{name}.part"
        aside.write_bytes(content)
        aside.replace(folder / name)


def _without_a_row(content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    return b"".join(lines[:-1] if len(lines) > 2 else lines)


def _records(content: bytes) -> int:
    text = content.decode(errors="replace")
    return max(0, sum(1 for one in csv.reader(io.StringIO(text, newline="")) if one) - 1)
