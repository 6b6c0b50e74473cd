"""On an alarm: the champion's statistic, the CUSUM of what its NDCG lacks, is beyond its bound."""

from ops_platform.monitor.policy import Reason, Standing


class Cusum:
    """Retrain when the alarm rule (OPS_ALARM_RULE) has raised an alarm of the champion."""

    def reason(self, standing: Standing) -> Reason | None:
        """The newest alarm and what was seen."""
        alarms = standing.evidence.alarms()
        if not alarms:
            return None
        alarm = alarms[-1]
        return Reason(str(alarm.period), alarm.headline)
