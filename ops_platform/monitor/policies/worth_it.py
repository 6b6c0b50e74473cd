"""Worth it: a fresh model is expected to have earned by now more than a training costs."""

import numpy as np
import pandas as pd

from ops_platform.monitor.policy import Reason, Standing

# Of a customer whom the champion does not know it shows the popular products, which loses this
# share of the NDCG. This and the decay are from 2011-02 to 2011-05 of Online Retail.
LOST_ON_STRANGERS = 0.7
# Share of the NDCG that a champion loses with each day of age, before any champion has been seen.
DECAY = 0.0027
# The sum of squares, in days squared, of past champions' ages that says as much as DECAY does: a
# day's NDCG varies by a tenth, and the decay of another shop by half of it.
DECAY_WEIGHT = 5000.0


class WorthIt:
    """Retrain when what the champion's age has cost reaches what a training costs.

    Each day since its as-of costs its visits times the NDCG that a fresh model would have had
    more: that of the customers whom it does not know, and for the others the decay with age that
    past champions showed. With a steady decay and steady trade, to retrain when the sum reaches
    the cost makes losses and costs together least, as for the size of an order (Harris, "How Many
    Parts to Make at Once", 1913); with more trade it comes sooner.

    Parameters
    ----------
    cost : of a training, in NDCG@20 summed over visits.
    """

    def __init__(self, cost: float = 2.0) -> None:
        """Store the cost; raises ValueError where it is not positive."""
        if not cost > 0:
            raise ValueError(f"cost must be above 0, not {cost:g}")
        self.cost = cost

    def reason(self, standing: Standing) -> Reason | None:
        """What was lost and what it is compared with; one cause a week for a champion."""
        judged = standing.evidence.judged()
        if judged.empty:
            return None
        normal = float(judged["reference"].iloc[-1])
        rate = decay(standing.evidence.past())
        lost = normal * expected_loss(standing, rate)
        if lost < self.cost:
            return None
        text = (
            f"a fresh model would have earned {lost:.1f} NDCG@20 more since {standing.as_of}, "
            f"a training costs {self.cost:g} (decay {rate:.2%} a day)"
        )
        return Reason(f"worth-{standing.day:%G-W%V}", text)


def expected_loss(standing: Standing, rate: float) -> float:
    """What the champion is expected to have lost, in visits whose whole NDCG is lost."""
    traffic = standing.evidence.traffic()
    age = (traffic["period"] - pd.Timestamp(standing.as_of)).dt.days
    strangers = traffic["visits"] - traffic["known"]
    faded = traffic["known"] * np.minimum(rate * age, 1.0)
    return float((LOST_ON_STRANGERS * strangers + faded).sum())


def decay(past: pd.DataFrame) -> float:
    """Share of the NDCG that is lost with each day of age, no less than 0.

    The common slope of the past champions, each about its own mean, so that a better or worse
    season moves none; drawn to DECAY by ridge regression.
    """
    lost = 1 - past["value"] / past["reference"]
    age = past["age"] - past.groupby("version")["age"].transform("mean")
    slope = float((age * lost).sum()) + DECAY_WEIGHT * DECAY
    return max(0.0, slope / (float((age**2).sum()) + DECAY_WEIGHT))
