"""How commands speak: results on stdout, signs of life and plain failures on stderr."""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console, ConsoleDimensions, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Column, Table

from ops_platform.errors import OpsError
from ops_platform.settings import Settings, telemetry_off

SIGN_SECONDS = 5
# In characters: more than any line has, and what a column of a table needs to be read at all.
WIDE, LEAST = 10_000, 6


class Whole(Console):
    """A console that cuts off nothing of what stands in a table.

    At a terminal cells fold; those of a column that is `no_wrap`, for names, only where they leave
    less than `LEAST` to each of the others. Where no person looks on, lines are as long as they
    are.
    """

    @property  # type: ignore[misc]
    def size(self) -> ConsoleDimensions:
        """The terminal's; without one so wide that nothing is broken into lines."""
        return super().size if self.is_terminal else ConsoleDimensions(WIDE, super().size.height)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """What is printed of a thing, a table of a Markdown text too."""
        if isinstance(renderable, Table):
            self._let_fold(renderable)
        return super().render(renderable, options)

    def _let_fold(self, table: Table) -> None:
        _, right, _, left = table.padding
        least = 1 + sum(
            1 + left + right + (self._longest(column) if column.no_wrap else LEAST)
            for column in table.columns
        )
        for column in table.columns:
            column.overflow = "fold"
            column.no_wrap = column.no_wrap and least <= self.width

    def _longest(self, column: Column) -> int:
        found = (Measurement.get(self, self.options, cell).maximum for cell in column.cells)
        return max(found, default=0)


console = Whole()
errors = Whole(stderr=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@contextmanager
def plain_errors() -> Iterator[Settings]:
    """The settings; what fails within is a plain message and exit code 1."""
    try:
        telemetry_off()
        yield Settings()
    except (OpsError, ValidationError, OSError) as error:
        told = _settings_faults(error) if isinstance(error, ValidationError) else str(error)
        # Not broken into lines: a path in it is there to be copied.
        errors.print(f"[bold red]error:[/] {escape(told)}", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from error


def _settings_faults(error: ValidationError) -> str:
    """What is wrong with which environment variable; never its value, which may be a secret."""
    faults = []
    for fault in error.errors(include_input=False, include_url=False):
        told = fault["msg"].removeprefix("Value error, ")
        name = "_".join(map(str, fault["loc"])).upper()
        faults.append(f"OPS_{name}: {told}" if name else told)
    return "\n".join(faults)


@contextmanager
def working(what: str) -> Iterator[Settings]:
    """The settings, and a sign of life that says what goes on."""
    with plain_errors() as settings, sign_of_life(what):
        yield settings


@contextmanager
def sign_of_life(what: str) -> Iterator[Callable[[], None]]:
    """A spinner; without a terminal a line at once, and one after each few seconds of silence.

    What is handed over is called where something else was printed, which breaks the silence.
    """
    began = last = time.monotonic()
    done = threading.Event()

    def heard() -> None:
        nonlocal last
        last = time.monotonic()

    def tell() -> None:
        while not done.wait(SIGN_SECONDS / 10):
            if time.monotonic() - last >= SIGN_SECONDS:
                errors.print(f"{what} ... {time.monotonic() - began:.0f} s", highlight=False)
                heard()

    if errors.is_terminal:
        with errors.status(what):
            yield heard
        return
    errors.print(f"{what} ...", highlight=False)
    telling = threading.Thread(target=tell, daemon=True)
    telling.start()
    try:
        yield heard
    finally:
        done.set()
        telling.join()


def print_json(value: Any) -> None:
    """JSON for programs, on standard output alone."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")
