"""What came of an experiment: both arms, and whether one does better, at any time."""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd

from ops_platform.features.build import published_day
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.lake.published import published
from ops_platform.lake.session import has_table
from ops_platform.serve.experiment import CHALLENGER, CHAMPION, SHADOW, Experiment
from ops_platform.serve.sequential import Sequence, sequence

ALPHA = 0.05
# The first answer that each customer has got by each arm since the experiment began.
_FIRST = f"""
WITH lines AS (
    SELECT answer_id, served_at, customer_id, product_id, coalesce(arm, '{CHAMPION}') AS arm
    FROM raw.served
    WHERE model = $model AND served_at >= $start::TIMESTAMP
      AND served_at < coalesce($stop::TIMESTAMP, 'infinity'::TIMESTAMP)
      AND (arm IS DISTINCT FROM '{CHALLENGER}' OR release = $release)
      AND ($shadow OR coalesce(shown, true))
)
SELECT arm, customer_id, product_id, served_at, answer_id FROM lines
QUALIFY answer_id = first_value(answer_id) OVER (
    PARTITION BY arm, customer_id ORDER BY served_at, answer_id
)
"""
# Whether the customer bought one of its products from that day on, and kept it.
_OUTCOMES = """
WITH bought AS (
    SELECT first.arm, first.customer_id
    FROM first JOIN marts.fct_interactions AS events
      ON events.customer_id = first.customer_id AND events.product_id = first.product_id
     AND events.purchased_on >= first.served_at::DATE
     AND events.day < first.served_at::DATE + to_days($days)
    GROUP BY first.arm, first.customer_id, first.product_id, events.purchased_on
    HAVING sum(events.quantity) > 0
)
SELECT arm, customer_id, min(served_at) AS served_at,
       ((arm, customer_id) IN (SELECT (arm, customer_id) FROM bought))::DOUBLE AS bought
FROM first
GROUP BY arm, customer_id
HAVING min(served_at)::DATE + to_days($days) <= $over
ORDER BY served_at, customer_id, arm
"""


@dataclass(frozen=True)
class Arm:
    """Customers of an arm whose days are over, and the share of them that bought; None of none."""

    customers: int
    share: float | None


@dataclass(frozen=True)
class Report:
    """What an experiment has shown so far.

    Parameters
    ----------
    days : within which what was shown is to be bought.
    arms : by name.
    observations : that are compared: customers, of a shadow those whom both arms answered.
    difference : of the shares, challenger less champion; None before the first observation.
    """

    days: int
    arms: dict[str, Arm]
    observations: int
    difference: Sequence | None


def report(
    lake: Lake, model: str, experiment: Experiment, days: int, alpha: float = ALPHA
) -> Report:
    """Compare the arms by whether customers bought what they were shown first within some days.

    A customer counts once, by the first answer since the experiment began, when these days are over
    in the published data. Of a split each is `weighed`, so that the difference of the shares is a
    mean of bounded observations, whatever the share does over time; of a shadow both answers for
    the same customer are compared.

    Raises NotPublishedError where something was served, and nothing is published.
    """
    found = _outcomes(lake, model, experiment, days)
    arms = {
        name: _arm(found.loc[found["arm"] == name, "bought"]) for name in (CHAMPION, CHALLENGER)
    }
    is_shadow = experiment.mode == SHADOW
    is_challenger = (found["arm"] == CHALLENGER).to_numpy()
    bought = found["bought"].to_numpy(dtype=float)
    values = _pairs(found) if is_shadow else weighed(bought, is_challenger, experiment.share)
    most = 1.0 if is_shadow else 1 / min(experiment.share, 1 - experiment.share)
    difference = sequence(values, -most, most, alpha) if len(values) else None
    return Report(days, arms, len(values), difference)


def _outcomes(lake: Lake, model: str, experiment: Experiment, days: int) -> pd.DataFrame:
    """Rows arm, customer_id, served_at and bought, 0 or 1, in the order of serving."""
    nothing = pd.DataFrame(columns=["arm", "customer_id", "served_at", "bought"])
    first = _first(lake, model, experiment)
    day = published_day(lake) if len(first) else None
    if day is None:
        return nothing
    with connect(lake, snapshot=published(lake).snapshot) as connection:
        connection.register("first", first)
        try:
            over: date = day + timedelta(days=1)
            return connection.execute(_OUTCOMES, {"days": days, "over": over}).df()
        finally:
            connection.unregister("first")


def _first(lake: Lake, model: str, experiment: Experiment) -> pd.DataFrame:
    if not lake.exists:
        return pd.DataFrame()
    with connect(lake) as connection:
        if not has_table(connection, "raw.served"):
            return pd.DataFrame()
        values = {
            "model": model,
            "start": experiment.started_at,
            "stop": experiment.stopped_at,
            "release": experiment.release,
            "shadow": experiment.mode == SHADOW,
        }
        found = connection.execute(_FIRST, values).df()
    if experiment.mode == SHADOW:
        return found
    # Until a worker has taken the experiment up, or where the challenger failed, the champion
    # answered who is the challenger's.
    is_taken = found["customer_id"].map(experiment.takes).astype(bool)
    return found[is_taken == (found["arm"] == CHALLENGER)]


def _arm(bought: pd.Series) -> Arm:
    return Arm(len(bought), float(bought.mean()) if len(bought) else None)


def weighed(bought: np.ndarray, is_challenger: np.ndarray, share: float) -> np.ndarray:
    """Observations of the difference of the arms' shares, no further from 0 than 1 / either share.

    Each is weighed by how likely its arm was (Horvitz and Thompson 1952), less the share of those
    before it who bought. That is known beforehand and favours no arm, so the mean stays the
    difference; without it the arms' sizes, which chance decides, outweigh what they do.

    Parameters
    ----------
    bought : 0 or 1, float (n,), in the order of serving.
    is_challenger : bool (n,).
    share : of the customers who are the challenger's.
    """
    expected = (1 + np.cumsum(bought) - bought) / (2 + np.arange(len(bought)))
    weights = np.where(is_challenger, 1 / share, -1 / (1 - share))
    return np.asarray((bought - expected) * weights)


def _pairs(found: pd.DataFrame) -> np.ndarray:
    by_arm = found.pivot(index="customer_id", columns="arm", values="bought")
    if not {CHAMPION, CHALLENGER} <= set(by_arm.columns):
        return np.zeros(0)
    both = by_arm.loc[found["customer_id"].drop_duplicates()].dropna()
    return np.asarray((both[CHALLENGER] - both[CHAMPION]).to_numpy(dtype=float))
