"""On performance: the champion's NDCG of the last days is below what is normal by too much."""

from ops_platform.monitor.policy import Reason, Standing


class OnPerformance:
    """Retrain when the last days lack a share of what is normal for the champion.

    A bound that somebody chose, without a stated rate of false alarms.

    Parameters
    ----------
    loss : share of the reference that the mean of the days lacks.
    days : of trade; 1 for a bound on a single day.
    """

    def __init__(self, loss: float = 0.1, days: float = 7) -> None:
        """Store the bound; raises ValueError for one that can't be met."""
        if not (0 < loss < 1 and days >= 1):
            raise ValueError(
                f"loss must be above 0 and below 1, days at least 1: {loss:g}, {days:g}"
            )
        self.loss = loss
        self.days = int(days)

    def reason(self, standing: Standing) -> Reason | None:
        """What the days lack, once there are enough; one cause a week for a champion."""
        last = standing.evidence.judged().tail(self.days)
        if len(last) < self.days:
            return None
        lacks = 1 - float((last["value"] / last["reference"]).mean())
        if lacks < self.loss:
            return None
        text = f"NDCG@20 lacks {lacks:.0%} of what is normal over {self.days} days of trade"
        return Reason(f"loss-{standing.day:%G-W%V}", text)
