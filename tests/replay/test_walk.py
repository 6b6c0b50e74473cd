"""The walk: production's own figures and decisions, from what was known on each day alone."""

from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from ops_platform.models.zoo.recommender import Recommender
from ops_platform.monitor.policy import Reason, policy
from ops_platform.monitor.profile import NDCG, profile
from ops_platform.monitor.retraining import Rules
from ops_platform.monitor.standing import standing
from ops_platform.replay.backtest import UNBOUND
from ops_platform.replay.history import visits_of
from ops_platform.replay.walk import Then
from tests.monitor.conftest import AS_OF, NAME, NEWEST
from tests.replay.conftest import RECIPE, known_of

RULES = Rules(cooldown_days=7, shortest_days=7, retry_seconds=60, a_month=8)


def test_a_champion_is_judged_as_production_judges_it(orders, new_home, walker, lines):
    home = new_home("home")
    home.publish(orders(0.7))
    home.crown(AS_OF)
    kept = home.watch().drift.query(f"feature == '{NDCG}'").reset_index(drop=True)
    assert kept["alarm"].any()

    one = walker(lines)
    found = one.judged(AS_OF)

    columns = ["period", "feature", "reference", "value", "statistic", "bound", "alarm"]
    pd.testing.assert_frame_equal(found[columns], kept[columns], check_dtype=False)
    # And what else a policy may ask for.
    champion = home.registry.champion(NAME)
    asked = standing(home.lake, home.registry, champion, NEWEST)
    then = Then(one, NEWEST, (AS_OF,))
    assert (asked.as_of, asked.age) == (AS_OF, (NEWEST - AS_OF).days)
    pd.testing.assert_frame_equal(then.traffic(), asked.evidence.traffic(), check_dtype=False)
    assert len(then.past()) == len(asked.evidence.past()) == 0
    told = [(one.id, one.headline) for one in asked.evidence.alarms()]
    assert [(one.id, one.headline) for one in then.alarms()] == told

    home.crown(date(2024, 4, 10))
    home.watch()
    champion = home.registry.champion(NAME)
    asked = standing(home.lake, home.registry, champion, NEWEST).evidence
    lives = asked.past()
    assert set(lives["version"]) == {1}
    pd.testing.assert_series_equal(lives["value"], kept["value"])
    assert lives["age"].tolist() == [(day.date() - AS_OF).days for day in kept["period"]]
    assert asked.judged()["period"].min() == pd.Timestamp(2024, 4, 11)


def test_what_is_served_is_the_newest_champion(walker, lines):
    one = walker(lines)
    days = one.period.days

    walk = one.walk(policy("every:10"), UNBOUND)

    as_ofs = [training.as_of for training in walk.trainings]
    assert all((later - earlier).days >= 10 for earlier, later in pairwise(as_ofs))
    assert as_ofs[0] - one.period.start >= timedelta(days=10)
    # By hand, the visits of the day after the first training.
    day = days[days.index(as_ofs[0]) + 1]
    bought = known_of(lines)
    model = Recommender(threads=1).fit(bought(as_ofs[0]), as_ofs[0])
    of_day = lines[lines["day"] == pd.Timestamp(day)]
    rows = profile(model, bought(as_ofs[0]), of_day).set_index("feature").loc[NDCG]
    visits = one.store.visits
    inside = slice(visits.first_after(one.period.start), None)
    known = one.store.at(as_ofs[0]).known[visits.day[visits.first_after(as_ofs[0]) :] == day]
    served = walk.ndcg[visits.day[inside] == day]
    assert len(known) == len(served)
    assert served[known].sum() == pytest.approx(rows["total"])


def test_nothing_is_decided_by_what_comes_later(walker, lines):
    cut = date(2024, 4, 5)
    later = lines["day"] > pd.Timestamp(cut)
    assert later.any()
    altered = lines.copy()
    # After the cut all is another shop: each buys what another bought, and half the days are gone.
    altered.loc[later, "product_id"] = altered.loc[later, "product_id"].to_numpy()[::-1]
    altered = altered[~later | (altered["day"].dt.day % 2 == 0)].reset_index(drop=True)
    for spec in ("cusum", "worth_it:0.5", "on_performance:0.05,3"):
        walks = [
            one.walk(policy(spec), RULES)
            for one in (walker(lines, "true", 2.0), walker(altered, "altered", 2.0))
        ]
        decided = [
            [(one.as_of, one.why) for one in walk.trainings if one.as_of <= cut] for walk in walks
        ]
        assert decided[0], spec
        assert decided[0] == decided[1]
        visits = visits_of(lines)
        count = visits.first_after(cut) - visits.first_after(date(2024, 3, 20))
        for name in ("ndcg", "discovery"):
            np.testing.assert_array_equal(*(getattr(walk, name)[:count] for walk in walks))


def test_cool_down_and_budget_hold_a_policy_back(walker, lines):
    class Always:
        def reason(self, standing):
            return Reason("x", "always")

    def days(rules: Rules) -> list[date]:
        return [one.as_of for one in walker(lines).walk(Always(), rules).trainings]

    free = days(UNBOUND)
    assert free == list(walker(lines).period.days[:-1])
    cooled = days(RULES)
    assert min(b - a for a, b in pairwise(cooled)) >= timedelta(days=7)
    budget = days(Rules(0, 1, 0, a_month=2))
    assert [(day.month, day in free[:2]) for day in budget[:2]] == [(3, True)] * 2
    assert [day.month for day in budget] == [3, 3, 4, 4]


def test_a_policy_sees_its_own_champions_and_no_more(walker, lines):
    seen = []

    class Spy:
        def reason(self, standing):
            past = standing.evidence.past()
            seen.append((standing.day, standing.as_of, standing.evidence.judged(), past))
            return Reason("x", "old") if standing.age >= 10 else None

    walker(lines).walk(Spy(), UNBOUND)

    for day, as_of, judged, past in seen:
        assert judged["period"].min() > pd.Timestamp(as_of)
        assert judged["period"].max() == pd.Timestamp(day)
        assert past.empty or past["period"].max() <= pd.Timestamp(as_of)
        assert past.empty or past["age"].min() >= 1
    assert set(seen[-1][3]["version"]) == set(range(1, len({as_of for _, as_of, *_ in seen})))


def test_a_champion_without_a_history_to_calibrate_on_raises_no_alarm(walker, lines):
    short = lines[lines["day"] >= "2024-03-10"].reset_index(drop=True)

    one = walker(short, bound=0.01)

    assert one.judged(one.period.start).empty
    assert one.walk(policy("cusum"), RULES).trainings[:1] == ()


def test_the_recipe_is_fitted_day_by_day_as_from_scratch(lines):
    rows = known_of(lines)(date(2024, 4, 19))
    # Purchases that were cancelled later, all of one product among them.
    cancelled = rows["product_id"] == rows["product_id"].iloc[0]
    days = [date(2024, 2, 20), date(2024, 2, 21), date(2024, 3, 20), date(2024, 3, 21)]
    histories = [rows[rows["day"] <= pd.Timestamp(day)] for day in days]
    histories[3] = histories[3][~cancelled[histories[3].index]].iloc[5:]

    moved = list(RECIPE.fits(zip(histories, days, strict=True)))

    for model, history, day in zip(moved, histories, days, strict=True):
        whole = Recommender(threads=1).fit(history, day)
        for discovery in (False, True):
            shown, expected = (
                one.recommend(whole.customers_, 20, discovery) for one in (model, whole)
            )
            np.testing.assert_array_equal(shown.product_id, expected.product_id)
            np.testing.assert_allclose(shown.scores, expected.scores, rtol=1e-5)
        for name, array in whole.state().items():
            if array.dtype.kind == "f":
                np.testing.assert_allclose(model.state()[name], array, rtol=1e-5, atol=1e-12)
            else:
                np.testing.assert_array_equal(model.state()[name], array)
