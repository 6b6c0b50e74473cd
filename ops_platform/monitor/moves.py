"""What people are told when another release serves: a promotion, or that one went back."""

from ops_platform.monitor.alerts import PROMOTION, ROLLBACK, Alert
from ops_platform.monitor.probation import WORSE, Probation
from ops_platform.serve.history import Move


def of_move(name: str, move: Move, left: Probation | None = None) -> Alert:
    """The alert of a move of a model's pointer.

    `left` is the probation of the version that it has left, if that is known. The alert is the same
    whoever tells of it first.
    """
    cause, version = f"{name} {move.release} {move.at}", move.release.partition("-")[0]
    look = f"ops monitor {name}; ops models list"
    if not move.why.startswith("rolled back"):
        return Alert(
            PROMOTION,
            cause,
            f"{name} {version} serves: {move.why}",
            since=move.at,
            sure="the gate let it pass; it is on probation" if move.why == "released" else "",
            done=f"the pointer and the alias champion name {move.release}",
            look=look,
        )
    by_itself = left is not None and left.decision == WORSE
    return Alert(
        ROLLBACK,
        cause,
        f"{name} {version} serves again: {move.why}",
        since=move.at,
        sure=left.told if left is not None and by_itself else "somebody went back by hand",
        done=f"the pointer and the alias champion name {move.release}; "
        "the version that was left is not promoted again by itself",
        look=look,
    )
