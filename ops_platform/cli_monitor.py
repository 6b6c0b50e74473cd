"""`ops monitor`: whether a model is still right, at the prompt."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ops_platform.prompt import Json, console, plain_errors, print_json, working

if TYPE_CHECKING:
    import pandas as pd

    from ops_platform.monitor.report import Report

# Days of a model of probabilities, which are a week apart.
FORETOLD_SHOWN = 8


def monitor(
    model: Annotated[str, typer.Argument(help="The model.")] = "recommender",
    days: Annotated[int, typer.Option(min=1, help="So many days back.")] = 14,
    page: Annotated[
        bool, typer.Option("--page", help="Write the page of the newest day anew.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Whether a model is right today: its live performance, drift, alarms, and what is done."""
    from ops_platform.errors import MonitorError
    from ops_platform.models.estimators import names

    with plain_errors():
        if model not in names():
            raise MonitorError(f"there is no model {model!r}: name one of {', '.join(names())}")

    from ops_platform.catalog.checks import dagster_instance
    from ops_platform.lake.location import Lake
    from ops_platform.models.registry import Registry
    from ops_platform.monitor import page as pages
    from ops_platform.monitor.assets import retraining_waits_for
    from ops_platform.monitor.report import gather
    from ops_platform.status import require_rules

    with working("reading the lake and the registry") as settings:
        asked = settings.retraining_policy
        require_rules(settings)
        with dagster_instance(settings.home / "dagster") as instance:
            waits = retraining_waits_for(instance)
        registry = Registry(settings.mlflow_tracking_uri, settings.mlflow_artifact_root)
        now = settings.now()
        found = gather(Lake.at(settings), registry, settings.releases, model, now, waits)
        folder = settings.home / "monitor"
        place = (
            pages.write(found, pages.draw(found), folder) if page else pages.newest(folder, model)
        )
    if as_json:
        print_json(_as_data(found, asked, days, place))
    else:
        _show(found, asked, days, place)
        if others := [name for name in names() if name != model]:
            console.print(f"watched too: {', '.join(others)}", highlight=False)


def _as_data(found: "Report", asked: str, days: int, place: Path | None) -> dict[str, Any]:
    return {
        "model": found.model,
        "answer": found.answer,
        "day": found.day,
        "champion": found.champion.version if found.champion else None,
        "as_of": found.champion.tags["as_of"] if found.champion else None,
        "age_days": found.age,
        "source": found.source,
        "recent": asdict(found.recent) if found.recent else None,
        "days_waiting": found.waiting,
        "days": _records(found.last(days)),
        "foretold": _records(found.foretold.tail(FORETOLD_SHOWN)),
        "drift": found.last_drift(),
        "alarm": asdict(found.alarm) if found.alarm else None,
        "inputs": found.inputs_verdict or None,
        "probation": asdict(found.probation) if found.probation else None,
        "retraining_policy": asked,
        "retraining_waits_for": found.waits,
        "events": [asdict(event) for event in found.events],
        "page": place,
    }


def _records(rows: "pd.DataFrame") -> list[dict[Any, Any]]:
    """JSON has no NaN: what is not known yet is null."""
    return rows.astype(object).where(rows.notna(), None).to_dict("records")


def _show(found: "Report", asked: str, days: int, place: Path | None) -> None:
    def tell(text: str) -> None:
        console.print(escape(text), highlight=False, soft_wrap=True)

    tell(_of_champion(found))
    tell(f"right today? {found.answer}")
    if found.recent is not None:
        one = found.recent
        tell(
            f"last days with labels, of version {', '.join(map(str, found.versions))}: NDCG "
            f"{one.ndcg:.3f}, {one.lead:+.3f} ({one.low:+.3f} to {one.high:+.3f}) over the "
            f"baseline, {one.units:,} customers; {_of_source(found)}"
        )
    if not found.foretold.empty:
        console.print(_foretold(found.foretold.tail(FORETOLD_SHOWN)))
    last = found.last(days)
    if not last.empty:
        table = Table("day", "version", "answers", "hit rate", "NDCG", "baseline", "")
        for _, day in last.iterrows():
            state = "" if day["ripe"] else "estimated" if day["estimated"] else "waits for labels"
            table.add_row(
                f"{day['period']:%Y-%m-%d}",
                *(str(day[name]) for name in ("version", "answers")),
                *_numbers(day, "hit_rate", "ndcg", "baseline_ndcg"),
                state,
            )
        console.print(table)
    if drift := found.last_drift():
        tell(
            "on the newest judged day, as effect sizes, which raise nothing (0.8, PSI 0.25: large):"
        )
    for name, effect in drift.items():
        tell(f"  {name} {effect:+.2f}")
    tell(f"alarm: {f'{found.alarm.at}: {found.alarm.what}' if found.alarm else 'none'}")
    if found.inputs_verdict:
        tell(f"inputs, newest day: {found.inputs_verdict}")
    if found.probation is not None:
        tell(f"probation: {found.probation.decision}, {found.probation.told}")
    elif found.on_trial:
        tell("probation: begins with the next days that have labels")
    tell(f"retraining by {asked}, which waits for: {found.waits or 'its sensor, not ticked yet'}")
    for event in found.events[:5]:
        tell(f"{event.at} {event.kind}: {event.what}")
    tell(f"page: {place or 'none yet: --page writes it'}")


def _foretold(days: "pd.DataFrame") -> Table:
    table = Table("day", "version", "customers", "foretold", "came true", "Brier", "baseline", "")
    for _, day in days.iterrows():
        table.add_row(
            f"{day['period']:%Y-%m-%d}",
            *(str(day[name]) for name in ("version", "customers")),
            *_numbers(day, "foretold", "came_true", "brier", "baseline_brier"),
            "" if day["ripe"] else "waits for labels",
        )
    return table


def _numbers(day: "pd.Series[Any]", *names: str) -> Iterator[str]:
    for name in names:
        # Nothing where it is not known.
        yield "" if day[name] != day[name] else f"{day[name]:.3f}"


def _of_champion(found: "Report") -> str:
    if found.champion is None:
        return f"{found.model}: no champion yet"
    age = "" if found.age is None else f", {found.age} days old on {found.day}"
    return (
        f"{found.model}: champion is version {found.champion.version}, "
        f"as of {found.champion.tags['as_of']}{age}"
    )


def _of_source(found: "Report") -> str:
    from ops_platform.monitor.live_tables import SERVED

    return "what was served" if found.source == SERVED else "what it would have answered"
