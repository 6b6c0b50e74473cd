"""Effect sizes: how far a value is from its reference, in units that features share."""

from math import asin, nan, sqrt

from ops_platform.monitor.profile import SHARES


def cohens_h(share: float, reference: float) -> float:
    """Cohen's h of two shares, from -pi to pi (Cohen, 1988, chapter 6); above 0 for a rise."""
    return 2 * asin(sqrt(share)) - 2 * asin(sqrt(reference))


def standardised_difference(mean: float, reference: float, sd: float) -> float:
    """Glass's delta (1976): the difference in the reference's standard deviations of one unit.

    NaN where the reference has no spread: there is nothing to measure in.
    """
    return (mean - reference) / sd if sd > 0 else nan


def effect(feature: str, value: float, reference: float, sd: float) -> float:
    """The effect size that belongs to the feature: Cohen's h for shares, else Glass's delta."""
    if feature in SHARES:
        return cohens_h(value, reference)
    return standardised_difference(value, reference, sd)
