"""How a feature's day is read: the shares of its reference's groups, its nulls and its mean."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

import numpy as np

from ops_platform.lake.profile import OTHER, Profile

# Groups of a feature's parts: about equal shares of a number's range, or the most frequent texts.
GROUPS = 5
NOT_FINITE = "not finite"


@dataclass(frozen=True)
class Shape:
    """What of a feature is followed from day to day.

    Parameters
    ----------
    group : by part of the reference, the position of its group.
    is_number : whether the feature has a mean, and parts in an order.
    mean, sd : of the reference, where it is a number.
    """

    group: Mapping[str, int]
    is_number: bool
    mean: float
    sd: float

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return max(self.group.values()) + 1

    @property
    def streams(self) -> int:
        """How many values a day gives: of the groups, the nulls and the mean."""
        return self.groups + 1 + self.is_number

    def counts(self, parts: Mapping[str, int]) -> np.ndarray:
        """The rows by group; what the reference lacks is in the nearest, a text in the last."""
        at = [self._group(part) for part in parts]
        return np.bincount(at, weights=list(parts.values()), minlength=self.groups)

    def values(self, profile: Profile) -> np.ndarray:
        """A day's values, (streams,): of shares twice the arcsine of their root, the mean in `sd`.

        On that scale a share's noise is about the same whatever its size.
        """
        shares = self.counts(profile.parts) / max(1, profile.rows - profile.nulls)
        shares = np.append(shares, profile.nulls / profile.rows)
        values = 2 * np.arcsin(np.sqrt(np.clip(shares, 0, 1)))
        if not self.is_number:
            return np.asarray(values)
        return np.append(values, ((mean(profile) or 0.0) - self.mean) / self.sd)

    def _group(self, part: str) -> int:
        found = self.group.get(part)
        if found is not None:
            return found
        if not self.is_number or part == NOT_FINITE:
            return self.groups - 1
        nearest = min(self.group, key=lambda known: (abs(place(known) - place(part)), known))
        return self.group[nearest]


def place(part: str) -> float:
    """Where a number's part lies among the others."""
    return float("inf") if part == NOT_FINITE else float(part)


def is_number(profile: Profile) -> bool:
    """Whether a column of numbers was profiled; of one without values it can't be told."""
    return profile.total is not None


def mean(profile: Profile) -> float | None:
    """Of a number; None where there is none."""
    there = profile.rows - profile.nulls
    return None if profile.total is None or not there else profile.total / there


def deviation(profile: Profile) -> float | None:
    """Standard deviation of a number; None where there is none."""
    middle = mean(profile)
    if middle is None or profile.squares is None:
        return None
    return sqrt(max(0.0, profile.squares / (profile.rows - profile.nulls) - middle**2))


def shape_of(reference: Profile, groups: int = GROUPS) -> Shape:
    """How days are to be read beside this reference, which has values."""
    number = is_number(reference)
    made = _by_share if number else _most_frequent
    spread = deviation(reference) or 1.0
    return Shape(made(reference.parts, groups), number, mean(reference) or 0.0, spread)


def _by_share(parts: Mapping[str, int], groups: int) -> dict[str, int]:
    """Adjacent parts together until each group has its share of the rows."""
    ordered = sorted(parts, key=place)
    ends = np.cumsum([parts[part] for part in ordered]) / sum(parts.values())
    # By where a part's middle lies, so that one that holds many shares fills one group.
    middles = ends - np.diff(ends, prepend=0) / 2
    found = np.minimum((middles * groups).astype(int), groups - 1)
    return dict(zip(ordered, np.unique(found, return_inverse=True)[1].tolist(), strict=True))


def _most_frequent(parts: Mapping[str, int], groups: int) -> dict[str, int]:
    """The most frequent texts, one group each; the rest are the last group."""
    named = sorted((part for part in parts if part != OTHER), key=lambda one: (-parts[one], one))
    return {part: min(at, groups) for at, part in enumerate([*named[:groups], OTHER])}
