"""An alarm with a stated rate: conformal p-values are bet against, and what is won adds up.

Under no change a day's score ranks anywhere among those before it, so its p-value is uniform
whatever the scores' distribution is, and a bet against small ones wins nothing on average. What is
won since any day, summed over all days, is a Shiryaev-Roberts e-detector: it alarms above c no
sooner than after c days on average, whoever looks, and however often (Shin, Ramdas and Rinaldo,
"E-detectors", 2023; Vovk et al., "Testing Randomness Online", 2021).
"""

import numpy as np

# Bets of p^(k - 1) k: a small k wins most on the rarest days, a large one on days that are often
# a bit odd. The mean of several e-detectors is one, so none has to be chosen.
POWERS = np.array([0.2, 0.5])
# And a bet of this share on the day's being among the oddest: twice as many of them as have come in
# a row, and one more, for the days since a change are ranked among each other too.
STAKE, ODDEST = 0.8, 2


def p_values(scores: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The share of known scores, with the score itself, that are at least as large: (2, streams).

    The first row is of the scores, the second of their opposites. Equal scores count against the
    odd one, so that nothing is drawn by lot; the chance of p or less is then at most p.

    Parameters
    ----------
    scores : (streams,), of one day.
    known : (days, streams), of the days that they are compared with.

    >>> p_values(np.array([3.0]), np.array([[1.0], [2.0], [3.0]])).tolist()
    [[0.5], [1.0]]
    """
    above = 1 + (known >= scores).sum(axis=0)
    below = 1 + (known <= scores).sum(axis=0)
    return np.stack([above, below]) / (1 + len(known))


class EDetector:
    """The mean of the e-detectors of several streams, in both directions, under several bets.

    Parameters
    ----------
    streams : their number.

    Attributes
    ----------
    evidence_ : (2, streams, bets), what was won since any day.
    gain_ : (2, streams, bets), logarithm of what was won since the day that makes it most.
    since_ : (2, streams, bets), that day, the likeliest to have been the first changed one.
    row_ : (2, streams), days in a row that were among the oddest.
    """

    def __init__(self, streams: int) -> None:
        """Begin without evidence."""
        self.streams = streams
        self.restart()

    def restart(self) -> None:
        """Forget what was won."""
        self.evidence_ = np.zeros((2, self.streams, len(POWERS) + 1))
        self.gain_ = np.zeros_like(self.evidence_)
        self.since_ = np.zeros(self.evidence_.shape, dtype=np.int64)
        self.row_ = np.zeros((2, self.streams), dtype=np.int64)

    def learn(self, day: int, p: np.ndarray, days: int, bet_on: np.ndarray | None = None) -> None:
        """Add a day.

        Parameters
        ----------
        p : (2, streams), its p-values.
        days : among which they are ranks.
        bet_on : (streams,), whether anything is bet on a stream; all by default.
        """
        among = np.minimum(1.0, ODDEST * (self.row_ + 1) / days)
        is_odd = p <= among
        won = np.empty_like(self.evidence_)
        won[..., :-1] = POWERS * p[..., None] ** (POWERS - 1)
        won[..., -1] = 1 - STAKE + STAKE * is_odd / among
        if bet_on is not None:
            won[:, ~bet_on] = 1.0
        self.row_ = np.where(is_odd, self.row_ + 1, 0)
        self.evidence_ = (self.evidence_ + 1) * won
        self.since_ = np.where(self.gain_ > 0, self.since_, day)
        self.gain_ = np.maximum(0, self.gain_ + np.log(won))

    @property
    def statistic(self) -> float:
        """The mean evidence: on average it grows by 1 a day where nothing changes."""
        return float(self.evidence_.mean())

    @property
    def since(self) -> int:
        """The day from which on the strongest evidence was won; 0 before the first."""
        return int(self.since_.flat[self.evidence_.argmax()])
