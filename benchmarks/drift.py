"""False alarms and detection of the alarm rule, on simulated shops whose truth is known.

`python -m benchmarks.drift` exits with 1 when a bound is missed. The monitor's functions decide, on
the orders as the shop writes them; cancellations are left out. Beside the alarm of the NDCG is
that of the recommender's inputs on the same days.
"""

import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from statistics import median

import duckdb
import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks.input_drift import rate, share
from benchmarks.trade import AS_OF, SHOP, Trade, purchases
from ops_platform.lake.profile import Kind, Profile, profile_query, read_profiles
from ops_platform.monitor.alarm_rule import AlarmRule, alarm_rule
from ops_platform.monitor.input_drift import InputDrift
from ops_platform.monitor.judgement import judge
from ops_platform.monitor.profile import NDCG, K, profile
from ops_platform.monitor.reference import SPAN_DAYS
from ops_platform.settings import Settings
from ops_platform.simulate.change import (
    Drift,
    NewAssortment,
    NewCategory,
    PriceShift,
    TasteShift,
)
from ops_platform.simulate.shop import Shop

# None of the seeds 0 to 19, on which the rule and its bound were chosen, nor of 100 to 119, which
# had shown that a bound of 6 finds too little.
SEEDS = range(200, 220)
# So that the fallback's retraining is not due within 21 days more.
SHIFT = AS_OF + timedelta(days=8)

# The inputs are learned from 90 days of 500 rows before anything is raised: these shops are larger.
INPUT_SEEDS = range(200, 210)
INPUT_SHOP = replace(SHOP, customers=800)

STRENGTH_TRIED = 0.12
LOSS = 0.10
# The strength is of whole percents.
LOSS_MAX = LOSS + 0.005
LOSS_DAYS = 30
DETECTION_DAYS = 14
DETECTED_MIN = 0.9
FALSE_ALARMS_A_YEAR = 1.0
SUNDAY = 6
# Of what known customers buy, the share that they take from what the champion recommends to them.
FED_BACK = 0.3

INPUTS: dict[str, Kind] = {
    "unit_price": "number",
    "quantity": "number",
    "country": "text",
    "category": "text",
}


@dataclass(frozen=True)
class Scenario:
    """What happens from SHIFT on, and what is expected of the monitor."""

    name: str
    drift: Drift | None
    expected: str
    feeds_back: bool = False


def scenarios(strength: float) -> list[Scenario]:
    """All of them; a strength of the taste shift that costs LOSS."""
    return [
        Scenario("none", None, "neither"),
        Scenario("taste shift", TasteShift(SHIFT, strength), "the NDCG's"),
        Scenario("new category", NewCategory(SHIFT), "the NDCG's"),
        Scenario("new assortment", NewAssortment(SHIFT), "the NDCG's"),
        Scenario("prices times 1.5", PriceShift(SHIFT, 1.5), "the inputs'"),
        Scenario("feedback loop", None, "neither: it gains", feeds_back=True),
    ]


@dataclass(frozen=True)
class Measured:
    """What a shop's scenario came to.

    Attributes
    ----------
    lost : share of the champion's NDCG in LOSS_DAYS days.
    days : from the shift to the first alarm of the NDCG, its own counted; None without one in
        LOSS_DAYS days.
    """

    lost: float
    days: int | None


def alarms(rows: pd.DataFrame) -> list[date]:
    """The days of the alarms among judged rows."""
    return [day.date() for day in rows.loc[rows["alarm"], "period"]]


def false_alarms(trade: Trade, rule: AlarmRule) -> Iterator[date]:
    """The alarms of a year without drift: the champion is refitted at each, or by the fallback."""
    as_of, end = AS_OF, AS_OF + timedelta(days=365)
    while as_of < end:
        due = as_of + timedelta(days=SPAN_DAYS)
        # The fallback looks on Mondays, when the day before is published.
        until = min(due + timedelta(days=SUNDAY - due.weekday()), end)
        days = profile(*trade.fit(as_of), trade.between(as_of, until))
        found = alarms(judge(days, trade.reference(as_of), rule))
        if found:
            yield found[0]
        as_of = found[0] if found else until


def ndcg_after_shift(trade: Trade, champion: Trade) -> float:
    """The champion's mean NDCG of a visit in the days after the shift."""
    before = SHIFT - timedelta(days=1)
    lines = trade.between(before, before + timedelta(days=LOSS_DAYS))
    days = profile(*champion.fit(AS_OF), lines)
    total = days[days["feature"] == NDCG][["total", "units"]].sum()
    return float(total["total"] / total["units"])


def looked_at(shop: Shop, *drifts: Drift) -> Trade:
    """The shop in which something drifts or nothing, as long as it is looked at."""
    days = (SHIFT - shop.start).days + LOSS_DAYS
    return Trade(purchases(replace(shop, days=days, drifts=drifts)))


def fed_back(trade: Trade, champion: Trade, rng: np.random.Generator) -> Trade:
    """The trade in which customers take a share of their purchases from the champion's lists."""
    lines, model = trade.lines.copy(), champion.fit(AS_OF)[0]
    late = (lines["day"] >= pd.Timestamp(SHIFT)) & lines["customer_id"].isin(model.customers_)
    taken = np.flatnonzero(late & (rng.random(len(lines)) < FED_BACK))
    who, row = np.unique(lines.loc[taken, "customer_id"].to_numpy(dtype=str), return_inverse=True)
    shown = model.recommend(who, K).product_id[row, rng.integers(0, K, len(taken))]
    of_product = ["unit_price", "category"]
    known = lines[~late].drop_duplicates("product_id", keep="last").set_index("product_id")
    lines.loc[taken, "product_id"] = shown
    lines.loc[taken, of_product] = known.loc[shown, of_product].to_numpy()
    return Trade(lines)


def happens(scenario: Scenario, shop: Shop, champion: Trade) -> Trade:
    """The trade of a shop in which something happens; the champion's is that without it."""
    if scenario.feeds_back:
        return fed_back(champion, champion, np.random.default_rng(shop.seed))
    return looked_at(shop, scenario.drift) if scenario.drift else champion


def losses_of(strength: float, plain: dict[int, Trade]) -> list[float]:
    """Which share of the NDCG a shift of tastes costs, for each seed."""
    drift = TasteShift(SHIFT, strength)
    return [
        1
        - ndcg_after_shift(looked_at(replace(SHOP, seed=seed), drift), champion)
        / ndcg_after_shift(champion, champion)
        for seed, champion in plain.items()
    ]


def first_from_shift(days: Iterable[date]) -> int | None:
    """Days from the shift to the first of these, its own counted; None where all are before."""
    return next(((day - SHIFT).days + 1 for day in days if day >= SHIFT), None)


def days_to_alarm(trade: Trade, champion: Trade, rule: AlarmRule) -> int | None:
    """Until the NDCG alarms."""
    days = profile(*champion.fit(AS_OF), trade.between(AS_OF, SHIFT + timedelta(days=LOSS_DAYS)))
    return first_from_shift(alarms(judge(days, champion.reference(AS_OF), rule)))


def days_to_input_alarm(trade: Trade) -> int | None:
    """Until the inputs alarm, which begin anew with the champion."""
    drift, found = InputDrift(), list[date]()
    for day, profiles in input_profiles(trade.lines).items():
        if day > AS_OF >= (drift.day_ or AS_OF):
            drift.restart()
        if drift.judge(day, profiles).alarm:
            found.append(day)
    return first_from_shift(found)


def input_profiles(lines: pd.DataFrame) -> dict[date, dict[str, Profile]]:
    """What the recommender sees of each day that is looked at, by feature, in order."""
    end = pd.Timestamp(SHIFT + timedelta(days=LOSS_DAYS))
    seen = lines[lines["customer_id"].notna() & (lines["day"] < end)]
    days = [day.date() for day in seen["day"].drop_duplicates()]
    with duckdb.connect() as connection:
        connection.register("seen", seen)
        found = read_profiles(connection, profile_query("seen", "day", INPUTS, days))
    return {day: {f"interactions/{name}": one for name, one in found[day].items()} for day in days}


def measure(scenario: Scenario, plain: dict[int, Trade], rule: AlarmRule) -> list[Measured]:
    """What a scenario comes to, by shop."""
    found = []
    for seed, champion in plain.items():
        trade = happens(scenario, replace(SHOP, seed=seed), champion)
        lost = 1 - ndcg_after_shift(trade, champion) / ndcg_after_shift(champion, champion)
        found.append(Measured(lost, days_to_alarm(trade, champion, rule)))
    return found


def measure_inputs(found: Iterable[Scenario]) -> dict[Scenario, list[int | None]]:
    """Days to the alarm of the inputs by scenario, of each of their shops."""
    days: dict[Scenario, list[int | None]] = {one: [] for one in found}
    for seed in INPUT_SEEDS:
        shop = replace(INPUT_SHOP, seed=seed)
        champion = looked_at(shop)
        for scenario, known in days.items():
            known.append(days_to_input_alarm(happens(scenario, shop, champion)))
        say(f"seed {seed}: the inputs alarm on day {[known[-1] for known in days.values()]}")
    return days


def say(text: str) -> None:
    """Progress, with the time."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Measure, print the table and return the exit code."""
    settings = Settings()
    rule = alarm_rule(settings.alarm_rule, settings.alarm_bound)
    plain: dict[int, Trade] = {}
    raised: dict[int, list[date]] = {}
    for seed in SEEDS:
        plain[seed] = Trade(purchases(replace(SHOP, seed=seed)))
        raised[seed] = list(false_alarms(plain[seed], rule))
        say(f"seed {seed}: false alarms {[str(day) for day in raised[seed]]}")
    loss = float(np.mean(losses_of(STRENGTH_TRIED, plain)))
    say(f"a shift of {STRENGTH_TRIED:.0%} of the customers costs {loss:.1%}")
    # The loss is nearly in proportion to the strength.
    strength = round(STRENGTH_TRIED * LOSS / loss, 2)
    if strength != STRENGTH_TRIED:
        loss = float(np.mean(losses_of(strength, plain)))
        say(f"a shift of {strength:.0%} of the customers costs {loss:.1%}")
    measured: dict[Scenario, list[Measured]] = {}
    for scenario in scenarios(strength):
        measured[scenario] = measure(scenario, plain, rule)
        say(f"{scenario.name}: {measured[scenario]}")
    title = f"{settings.alarm_rule}, bound {rule.bound:g}"
    return report(title, raised, strength, measured, measure_inputs(measured))


def report(
    title: str,
    raised: dict[int, list[date]],
    strength: float,
    measured: dict[Scenario, list[Measured]],
    inputs: dict[Scenario, list[int | None]],
) -> int:
    """Print what was measured; 1 when a bound is missed, else 0."""
    false = sum(map(len, raised.values()))
    console = Console(width=150)
    console.print(
        f"{title}: {rate(false, len(raised))} false alarms a year in {len(raised)} years "
        f"(at most {FALSE_ALARMS_A_YEAR:g}); the taste of {strength:.0%} of the customers shifts"
    )
    late = f"in {LOSS_DAYS} days"
    table = Table(
        *(
            "from the shift on",
            "NDCG lost",
            "alarm expected",
            f"NDCG's within {DETECTION_DAYS} days",
        ),
        *(late, "median, slowest day", f"inputs' {late}", "median, slowest day"),
        title=f"alarms of {len(raised)} shops, and of the inputs of {len(INPUT_SEEDS)} larger ones",
    )
    for scenario, shops in measured.items():
        ndcg = [one.days for one in shops]
        table.add_row(
            scenario.name,
            f"{np.mean([one.lost for one in shops]):+.1%}",
            scenario.expected,
            share(in_time(ndcg), len(ndcg)),
            *(cell for days in (ndcg, inputs[scenario]) for cell in _cells(days)),
        )
    console.print(table)
    taste = next(shops for one, shops in measured.items() if isinstance(one.drift, TasteShift))
    holds = (
        false / len(raised) <= FALSE_ALARMS_A_YEAR
        and float(np.mean([one.lost for one in taste])) <= LOSS_MAX
        and in_time([one.days for one in taste]) >= DETECTED_MIN * len(taste)
    )
    return 0 if holds else 1


def in_time(days: list[int | None]) -> int:
    """How many alarms came soon enough."""
    return sum(day is not None and day <= DETECTION_DAYS for day in days)


def _cells(days: list[int | None]) -> tuple[str, str]:
    found = [day for day in days if day is not None]
    return str(len(found)), f"{median(found):g}, {max(found)}" if found else ""


if __name__ == "__main__":
    sys.exit(main())
