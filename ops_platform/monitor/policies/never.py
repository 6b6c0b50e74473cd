"""Never: the champion serves as it is, whatever happens."""

from ops_platform.monitor.policy import Reason, Standing


class Never:
    """The end that other policies are compared with: it costs nothing and gains nothing."""

    def reason(self, standing: Standing) -> Reason | None:
        """None."""
        return None
