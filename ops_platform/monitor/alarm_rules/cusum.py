"""The CUSUM: what a champion lacks adds up over the days, and alarms beyond a bound."""

from collections.abc import Sequence

from ops_platform.monitor.alarm_rule import Judgement


class Cusum:
    """One-sided cumulative sum (Page, "Continuous Inspection Schemes", Biometrika 1954).

    The statistic is `max(0, statistic + evidence)`: days on which nothing is lost let it fall
    back to 0, a lasting loss lets it rise day by day. It begins anew on the day after an alarm.

    Parameters
    ----------
    bound : an alarm is raised where the statistic is above it, in standard errors of one day.
    """

    def __init__(self, bound: float) -> None:
        """Store the bound."""
        self.bound = bound

    def judge(self, evidence: Sequence[float], statistic: float = 0.0) -> list[Judgement]:
        """Judge day after day, from the statistic that the day before left."""
        judged: list[Judgement] = []
        for value in evidence:
            statistic = max(0.0, statistic + value)
            alarm = statistic > self.bound
            judged.append(Judgement(statistic, alarm))
            statistic = 0.0 if alarm else statistic
        return judged
