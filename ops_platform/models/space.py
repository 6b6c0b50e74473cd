"""What a search may choose a hyper-parameter from."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """Numbers from `low` to `high`, both included; whole ones where the ends are.

    `log` spreads the trials evenly over orders of magnitude.
    """

    low: float
    high: float
    log: bool = False
