"""What people are told: of an alarm, a promotion, and a version that went back."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

from ops_platform.models.kinds import recommenders
from ops_platform.monitor.alarms import Alarm
from ops_platform.monitor.alerts import ALARM, PROMOTION, ROLLBACK, Alert
from ops_platform.monitor.inputs import InputAlarm
from ops_platform.monitor.probation import WORSE, Probation
from ops_platform.serve import history, release
from ops_platform.serve.history import Move

# Older moves are no news.
RECENT = timedelta(days=1)


def of_alarm(alarm: Alarm) -> Alert:
    """The alert of an alarm."""
    days, _, seen = alarm.seen.partition(": ")
    rule = "input-alarm" if isinstance(alarm, InputAlarm) else "alarm-rule"
    return Alert(
        ALARM,
        alarm.id,
        f"{alarm.model} version {alarm.version}: {seen}",
        since=days,
        sure="the statistic is beyond its bound; how rarely it is without a change is in "
        f"docs/decisions/{rule}.md",
        done="the retraining sensor decides on a run, and says so in its ticks",
        look=f"ops monitor {alarm.model}",
    )


def of_recent_moves(
    releases: Path, name: str, now: datetime, probations: Mapping[int, Probation]
) -> list[Alert]:
    """The alerts of the moves of a model's pointer within the last day."""
    folder = release.folder_of(releases, name)
    return [
        of_move(name, move, left)
        for move, left in moves(folder, probations)
        if timedelta(0) <= now - datetime.fromisoformat(move.at) < RECENT
    ]


def moves(folder: Path, probations: Mapping[int, Probation]) -> list[tuple[Move, Probation | None]]:
    """Each move of a pointer, with the probation of the version that it has left."""
    made = history.read(folder)
    left = [0, *(release.version_of(one.release, folder) for one in made)]
    return [(move, probations.get(before)) for move, before in zip(made, left, strict=False)]


def of_move(name: str, move: Move, left: Probation | None = None) -> Alert:
    """The alert of a move of a model's pointer.

    `left` is the probation of the version that it has left, if that is known. The alert is the same
    whoever tells of it first.
    """
    cause, version = f"{name} {move.release} {move.at}", move.release.partition("-")[0]
    look = f"ops monitor {name}; ops models list"
    moved = f"the alias champion names {version}"
    if name in recommenders():
        moved = f"the pointer and the alias champion name {move.release}"
    if not move.why.startswith("rolled back"):
        return Alert(
            PROMOTION,
            cause,
            f"{name} {version} serves: {move.why}",
            since=move.at,
            sure="the gate let it pass" if move.why == "released" else "",
            done=moved,
            look=look,
        )
    by_itself = left is not None and left.decision == WORSE
    return Alert(
        ROLLBACK,
        cause,
        f"{name} {version} serves again: {move.why}",
        since=move.at,
        sure=left.told if left is not None and by_itself else "somebody went back by hand",
        done=f"{moved}; the version that was left is not promoted again by itself",
        look=look,
    )
