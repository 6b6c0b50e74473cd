"""What each policy makes of what is known at the end of a day, and how a policy is named."""

from dataclasses import dataclass, field
from datetime import date, timedelta

import pandas as pd
import pytest

from ops_platform.errors import OpsError
from ops_platform.monitor import policies
from ops_platform.monitor.alarms import Alarm
from ops_platform.monitor.policies.worth_it import DECAY, LOST_ON_STRANGERS, decay
from ops_platform.monitor.policy import Standing, policy
from ops_platform.monitor.profile import NDCG
from ops_platform.monitor.standing import of_past, traffic
from ops_platform.plug_ins import names

AS_OF = date(2024, 3, 1)


def judged(*values: float, reference: float = 0.4, as_of: date = AS_OF) -> pd.DataFrame:
    days = [pd.Timestamp(as_of) + pd.Timedelta(days=1 + n) for n in range(len(values))]
    return pd.DataFrame({"period": days, "value": values, "reference": reference})


def trade(*days: tuple[int, int]) -> pd.DataFrame:
    """Visits and those of known customers, from the day after the as-of on."""
    rows = [(pd.Timestamp(AS_OF + timedelta(days=1 + n)), *one) for n, one in enumerate(days)]
    return pd.DataFrame(rows, columns=["period", "visits", "known"])


@dataclass
class Found:
    """The evidence, as a test states it."""

    days: pd.DataFrame = field(default_factory=judged)
    raised: tuple[Alarm, ...] = ()
    drifted: tuple[Alarm, ...] = ()
    before: pd.DataFrame = field(default_factory=lambda: of_past([]))
    visits: pd.DataFrame = field(default_factory=trade)

    def judged(self):
        return self.days

    def alarms(self):
        return self.raised

    def input_alarms(self):
        return self.drifted

    def past(self):
        return self.before

    def traffic(self):
        return self.visits


def ask(spec: str, age: int = 10, **evidence) -> tuple[str, str] | None:
    reason = policy(spec).reason(Standing(AS_OF + timedelta(days=age), AS_OF, Found(**evidence)))
    return reason and (reason.key, reason.text)


def alarm(day: int) -> Alarm:
    return Alarm("recommender", 3, date(2024, 3, day), (NDCG,), f"seen on {day}; and more")


def test_never_is_never():
    assert ask("never", age=10_000, raised=(alarm(5),)) is None


def test_a_schedule_is_due_by_age_alone_and_again_after_as_many_days():
    assert ask("every:28", age=27, raised=(alarm(5),)) is None
    assert ask("every:28", age=28) == (
        "28-days",
        "the champion is 28 days old, retrained every 28",
    )
    assert ask("every:28", age=55)[0] == "28-days"
    assert ask("every:28", age=56)[0] == "56-days"
    assert ask("every:1", age=1)[0] == "1-days"


def test_of_two_alarms_the_newest_is_the_one_cause():
    assert ask("cusum") is None
    assert ask("cusum", raised=(alarm(5), alarm(8))) == (
        "2024-03-08",
        "alarm recommender-v3-2024-03-08: seen on 8",
    )


def test_drift_of_the_inputs_is_a_cause_of_its_own():
    assert ask("on_drift", raised=(alarm(5),)) is None
    assert ask("on_drift", drifted=(alarm(5), alarm(8)))[0] == "inputs-2024-03-08"
    # Two alarms at once are one cause, that of the policy that is asked first.
    both = {"raised": (alarm(8),), "drifted": (alarm(8),)}
    assert ask("cusum+on_drift", **both)[0] == "2024-03-08"
    assert ask("on_drift+cusum", **both)[0] == "inputs-2024-03-08"


def test_a_bound_on_the_performance_needs_all_its_days():
    low = [0.35, 0.35, 0.36]
    assert ask("on_performance:0.1,3", days=judged(0.4, *low))[0].startswith("loss-2024-W")
    assert ask("on_performance:0.1,3", days=judged(*low[1:])) is None
    assert ask("on_performance:0.12,3", days=judged(*low)) is None
    assert ask("on_performance:loss=0.12,days=1", days=judged(0.4, 0.35))


def test_it_is_worth_it_when_what_age_costs_reaches_the_cost():
    known = trade((10, 10), (10, 10), (10, 10))
    # 10 visits on days of age 1, 2 and 3, of an NDCG of 0.4.
    lost = 0.4 * DECAY * 10 * (1 + 2 + 3)
    days = judged(0.4)
    assert ask(f"worth_it:{lost * 1.001}", days=days, visits=known) is None
    key, text = ask(f"worth_it:cost={lost * 0.999}", days=days, visits=known)
    assert key == "worth-2024-W11"
    assert f"decay {DECAY:.2%} a day" in text


def test_customers_whom_the_champion_does_not_know_cost_more():
    lost = 0.4 * (LOST_ON_STRANGERS * 4 + DECAY * 6)
    days = judged(0.4)
    assert ask(f"worth_it:{lost * 1.001}", days=days, visits=trade((10, 6))) is None
    assert ask(f"worth_it:{lost * 0.999}", days=days, visits=trade((10, 6)))


def test_a_champion_that_is_not_watched_gives_no_reason():
    assert ask("worth_it:0.001", days=judged(), visits=trade((100, 0))) is None
    assert ask("on_performance:0.1,1", days=judged()) is None


def test_the_decay_is_that_of_past_champions_whatever_the_season():
    def life(version: int, level: float, a_day: float) -> tuple:
        ages = range(1, 200)
        values = [0.4 * (level - a_day * age) for age in ages]
        return version, AS_OF, judged(*values)

    assert decay(of_past([])) == DECAY
    fast = of_past([life(1, 1.0, 0.004), life(2, 1.3, 0.004)])
    assert decay(fast) == pytest.approx(0.004, rel=0.01)
    assert decay(of_past([life(1, 1.0, -0.01)])) == 0.0


def test_what_is_known_of_the_trade():
    visitors = pd.DataFrame(
        [
            (date(2024, 3, 1), 1),
            (date(2024, 3, 2), 1),
            (date(2024, 3, 4), 1),
            (date(2024, 3, 4), 3),
        ],
        columns=["day", "first"],
    )
    visitors["day"] = pd.to_datetime(visitors["day"])
    visitors["first_day"] = [pd.Timestamp(2024, 3, day) for day in visitors["first"]]

    found = traffic(visitors, AS_OF)

    assert found["period"].dt.day.tolist() == [2, 4]
    assert found[["visits", "known"]].to_numpy().tolist() == [[1, 1], [2, 1]]


def test_the_first_of_several_that_has_a_reason_decides():
    assert ask("cusum+every:28", age=27) is None
    assert ask("cusum+every:28", age=28)[0] == "28-days"
    assert ask("cusum+every:28", age=28, raised=(alarm(8),))[0] == "2024-03-08"


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("sometimes", "there is no retraining policy 'sometimes' in monitor/policies/, only cusum"),
        ("cusum+", "there is no retraining policy ''"),
        ("every:0", "days must be at least 1"),
        ("every:often", "could not convert"),
        ("every:1,2", "every takes days"),
        ("every:weeks=1", "every takes days"),
        ("never:1", "every:28"),
        ("worth_it:0", "cost must be above 0"),
        ("worth_it:nan", "cost must be above 0"),
        ("on_performance:1.5", "below 1"),
    ],
)
def test_what_is_no_policy_is_told(spec, told):
    with pytest.raises(OpsError, match=told):
        policy(spec)


def test_a_policy_is_one_new_file(tmp_path, monkeypatch):
    (tmp_path / "on_mondays.py").write_text(
        "from ops_platform.monitor.policy import Reason\n\n\n"
        "class OnMondays:\n"
        "    def reason(self, standing):\n"
        "        return Reason('x', 'monday') if standing.day.weekday() == 0 else None\n"
    )
    monkeypatch.setattr(policies, "__path__", [*policies.__path__, str(tmp_path)])
    assert "on_mondays" in names(policies)
    assert ask("on_mondays", age=3) == ("x", "monday")
    assert ask("on_mondays", age=4) is None
