"""What is told of products alone: how their demand moves, and how readily they are bought again."""

import numpy as np

from ops_platform.models.interactions import Interactions
from ops_platform.models.item_item import matrix

# How often products are bought again is read from the last three windows of 30 days.
REBUY_WINDOWS = 3
REBUY_DAYS = 30
# A product counts as if 20 more customers had it with the average rate of buying again.
REBUY_PRIOR = 20


def fading(age: np.ndarray, half_life_days: float) -> np.ndarray:
    """Weights that halve in so many days: float64, of the ages' shape."""
    return np.asarray(0.5 ** (age / half_life_days))


def popularity(known: Interactions, half_life_days: float) -> np.ndarray:
    """Each product's share of the recent demand: float64 (m,)."""
    recent = fading(known.age, half_life_days)
    demand = np.bincount(known.product, weights=recent, minlength=len(known.products))
    return np.asarray(demand / demand.sum())


def trend(known: Interactions, half_life_days: float) -> np.ndarray:
    """Recent demand by what the whole history lets expect, float64 (m,), 1 where nothing moves.

    Shrunk as in a gamma-Poisson model: `strength` expected purchases are added to both. It is
    found by moments from how much more the products differ from what is expected than chance lets
    them (Clayton and Kaldor, Biometrics 1987), so a shop whose demand does not move has no trends.
    """
    weight = fading(known.age, half_life_days)
    m = len(known.products)
    whole = np.bincount(known.product, minlength=m)
    recent = np.bincount(known.product, weights=weight, minlength=m)
    expected = recent.sum() * whole / len(known.product)
    # Of a sum of fading weights the variance is this times its mean, not the mean itself.
    chance = np.square(weight).sum() / weight.sum()
    excess = np.square(recent - expected).sum() - chance * expected.sum()
    if excess <= 0:
        return np.ones(m)
    strength = chance * np.square(expected).sum() / excess
    return np.asarray((recent + strength) / (expected + strength))


def rebuy_rate(known: Interactions) -> np.ndarray:
    """How readily each product is bought again, as a ratio to the average product (m,).

    Of the customers who came back in a window and had the product before it: the share that
    bought it in the window.
    """
    had = again = np.zeros(len(known.products))
    for start in range(REBUY_DAYS, REBUY_DAYS * REBUY_WINDOWS + 1, REBUY_DAYS):
        owners = matrix(known, (known.age >= start).astype(float)) > 0
        inside = (known.age < start) & (known.age >= start - REBUY_DAYS)
        buyers = matrix(known, inside.astype(float)) > 0
        back = np.isin(np.arange(len(known.customers)), known.customer[inside])
        had = had + owners[back].sum(axis=0)
        again = again + owners.multiply(buyers).sum(axis=0)
    if again.sum() == 0:
        # Too short a history to tell products apart.
        return np.ones(len(known.products))
    average = again.sum() / had.sum()
    return np.asarray((again + REBUY_PRIOR * average) / (had + REBUY_PRIOR) / average)
