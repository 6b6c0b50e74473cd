"""The claims of `benchmarks.walk`: what was measured as tables, and each figure with its bound."""

import statistics
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

PLAIN_BOUND, HISTORY_BOUND, IDLE_BOUND = 3.0, 1.3, 1.0
INTAKE_BOUND, INTAKE_GIB = 1.5, 4.0
console = Console()


@dataclass(frozen=True)
class Claim:
    """One figure with its bound; `stated` is whether the bound is claimed of these files."""

    what: str
    ratio: float
    bound: float
    stated: bool = True
    unit: str = "x"

    @property
    def holds(self) -> bool:
        """Whether the bound is kept, where it is stated."""
        return not self.stated or self.ratio <= self.bound


def _median(runs: list[dict[str, Any]], part: str | None = None) -> float:
    return statistics.median(
        float(run["parts"].get(part, 0) if part else run["seconds"]) for run in runs
    )


def of_plain(found: dict[str, Any], *, real: bool) -> list[Claim]:
    """Print where the time went; the claim, which is `stated` of `real` files only."""
    for kind in ("graph", "plain"):
        whole = _median(found[kind])
        table = Table("part", "seconds", "share", title=f"where the time of the {kind} goes")
        for part in found[kind][0]["parts"]:
            seconds = _median(found[kind], part)
            table.add_row(part, f"{seconds:.2f}", f"{seconds / whole:.0%}")
        table.add_row("[bold]median of the whole[/]", f"[bold]{whole:.2f}[/]", "")
        every = ", ".join(f"{run['seconds']:.1f}" for run in found[kind])
        table.caption = f"medians of {len(found[kind])}: {every} s"
        console.print(table)
    scores = ", ".join(f"{name} {value:.4g}" for name, value in found["champion"].items())
    console.print(
        f"the plain script's champion is the graph's: {found['same_champion']} ({scores})"
    )
    ratio = _median(found["graph"]) / _median(found["plain"])
    # A simulated shop is so small that only what any run costs would be compared.
    return [Claim("graph / plain script, empty home to champion", ratio, PLAIN_BOUND, stated=real)]


def of_days(found: dict[str, Any]) -> list[Claim]:
    """Print the seconds of each run; the claims on them."""
    table = Table("history", "files", "run", "median s", "all s", title="a day later")
    medians = {}
    for size, kinds in found["seconds"].items():
        for kind, seconds in kinds.items():
            medians[size, kind] = statistics.median(seconds)
            every = ", ".join(f"{one:.1f}" for one in seconds)
            median = f"{medians[size, kind]:.2f}"
            table.add_row(size, str(found["files"][size]), kind, median, every)
    console.print(table)
    _print_parts(found["parts_of_the_last"])
    ratio = medians["whole", "new day"] / medians["tenth", "new day"]
    return [
        Claim("a new day, whole history / a tenth of it", ratio, HISTORY_BOUND),
        *(
            Claim(
                f"nothing new / a new day, {size} history",
                medians[size, "nothing new"] / medians[size, "new day"],
                IDLE_BOUND,
            )
            for size in found["seconds"]
        ),
    ]


def of_intake(found: dict[str, list[dict[str, Any]]]) -> list[Claim]:
    """Print seconds and peak memory; the claims on them."""
    table = Table("how", "median s", "all s", "processor s", "peak GiB", title="many lines at once")
    medians = {kind: _median(figures) for kind, figures in found.items()}
    peaks = {kind: max(one["gib"] for one in figures) for kind, figures in found.items()}
    for kind, figures in found.items():
        every = ", ".join(f"{one['seconds']:.1f}" for one in figures)
        cpu = statistics.median(one["cpu_seconds"] for one in figures)
        table.add_row(kind, f"{medians[kind]:.1f}", every, f"{cpu:.1f}", f"{peaks[kind]:.2f}")
    console.print(table)
    ratio = medians["contract"] / medians["bare"]
    return [
        Claim("10 million lines, under the contract / bare", ratio, INTAKE_BOUND),
        Claim("peak memory of taking them in", peaks["contract"], INTAKE_GIB, unit=" GiB"),
    ]


def _print_parts(parts: dict[str, dict[str, dict[str, float]]]) -> None:
    columns = [(size, kind) for size in parts for kind in parts[size]]
    table = Table(title="where the time of the last runs goes, s")
    table.add_column("part", no_wrap=True)
    for size, kind in columns:
        table.add_column(f"{size}, {kind}", justify="right")
    for part in parts["whole"]["new day"]:
        table.add_row(part, *(f"{parts[size][kind].get(part, 0):.2f}" for size, kind in columns))
    console.print(table)


def print_claims(claims: list[Claim]) -> None:
    """Print each claim with its bound."""
    table = Table("claim", "measured", "bound", "holds", title="claims")
    for claim in claims:
        verdict = "[green]yes[/]" if claim.holds else "[red]NO[/]"
        verdict = verdict if claim.stated else "of the real files only"
        table.add_row(
            claim.what, f"{claim.ratio:.2f}{claim.unit}", f"{claim.bound:g}{claim.unit}", verdict
        )
    console.print(table)
