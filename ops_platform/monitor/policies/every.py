"""Every so many days: a schedule, which knows nothing of how the champion does."""

from ops_platform.monitor.policy import Reason, Standing


class Every:
    """Retrain when the champion is so many days old, and again after as many more.

    Parameters
    ----------
    days : at least 1; counted from the champion's as-of, the newest day that it learned from.
    """

    def __init__(self, days: float = 28) -> None:
        """Store the days; raises ValueError below 1."""
        if not days >= 1:
            raise ValueError(f"days must be at least 1, not {days:g}")
        self.days = days

    def reason(self, standing: Standing) -> Reason | None:
        """The champion's age, once it is due; a new cause each time it is due again."""
        times = int(standing.age // self.days)
        if times == 0:
            return None
        text = f"the champion is {standing.age} days old, retrained every {self.days:g}"
        return Reason(f"{times * self.days:g}-days", text)
