"""On drift: the inputs of the model have changed, whatever its answers are worth by now."""

from ops_platform.monitor.policy import Reason, Standing


class OnDrift:
    """Retrain when the inputs' alarm, whose rate OPS_FALSE_ALARM_DAYS bounds, has been raised."""

    def reason(self, standing: Standing) -> Reason | None:
        """The newest such alarm since the champion's as-of, and what changed."""
        alarms = standing.evidence.input_alarms()
        if not alarms:
            return None
        return Reason(f"inputs-{alarms[-1].period}", alarms[-1].headline)
