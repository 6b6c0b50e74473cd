from datetime import UTC, date, datetime, timedelta

import pytest

from ops_platform.monitor.retraining import MOST_FAILURES, Attempt, Cause, Rules, next_attempt

CAUSE = Cause("recommender-v1-2024-05-01", "alarm")
RULES = Rules(cooldown_days=7, shortest_days=7, retry_seconds=60, a_month=3)
DAY, NOW = date(2024, 5, 20), datetime(2026, 1, 1, 12, tzinfo=UTC)
OLD = date(2024, 5, 1)


def ask(*attempts, as_of=DAY, unfit="", champion_as_of=OLD, trained=0, time=NOW, rules=RULES):
    return next_attempt(
        CAUSE,
        attempts,
        rules,
        as_of=as_of,
        unfit=unfit,
        champion_as_of=champion_as_of,
        trained_this_month=trained,
        system_time=time,
    )


def failed(seconds_ago: float) -> Attempt:
    return Attempt(DAY, "", NOW - timedelta(seconds=seconds_ago), None)


def settled(decision: str, as_of: date = DAY) -> Attempt:
    return Attempt(as_of, "", NOW, decision)


def test_a_new_cause_asks_for_its_first_attempt():
    assert ask() == (1, "alarm")


def test_without_a_champion_there_is_no_cooldown():
    assert ask(champion_as_of=None)[0] == 1


@pytest.mark.parametrize(("days", "number"), [(6, None), (7, 1)])
@pytest.mark.parametrize("rules", [RULES, Rules(0, 7, 60, 3), Rules(7, 1, 60, 3)])
def test_a_young_champion_is_left_alone(days, number, rules):
    found, why = ask(champion_as_of=DAY - timedelta(days=days), rules=rules)

    assert found == number
    assert number or "7 are needed" in why


def test_a_months_budget_is_not_exceeded_unless_there_is_no_champion():
    assert ask(trained=2)[0] == 1
    found, why = ask(trained=3)
    assert found is None
    assert "3 trainings in 2024-05, OPS_RETRAININGS_A_MONTH allows 3" in why
    assert ask(trained=3, champion_as_of=None)[0] == 1


def test_an_alarm_waits_while_a_run_for_it_is_under_way():
    assert ask(Attempt(DAY, "", None, None)) == (None, "alarm: a run for it is under way")


@pytest.mark.parametrize("decision", ["better", "no worse and fresher", "worse", "unchanged"])
def test_what_the_gate_decided_settles_a_cause(decision):
    found, why = ask(settled(decision))

    assert found is None
    assert decision in why


@pytest.mark.parametrize("decision", ["first", "better", "worse", "unchanged"])
def test_where_the_champion_was_deleted_nothing_that_was_decided_settles_the_cause(decision):
    assert ask(settled(decision), champion_as_of=None)[0] == 2


@pytest.mark.parametrize("decision", ["cancelled by hand", "nothing was trained"])
def test_a_run_that_was_cancelled_is_not_asked_for_again_without_a_champion(decision):
    found, why = ask(settled(decision), champion_as_of=None)

    assert found is None
    assert decision in why


def test_too_early_leaves_the_cause_open_until_there_are_newer_days():
    attempt = settled("too early", as_of=DAY)

    assert ask(attempt)[0] is None
    assert ask(attempt, as_of=DAY + timedelta(days=1))[0] == 2


def test_a_failed_attempt_is_tried_again_with_a_back_off_that_doubles():
    assert ask(failed(59))[0] is None
    assert ask(failed(61))[0] == 2
    assert ask(failed(500), failed(119))[0] is None
    assert ask(failed(500), failed(121))[0] == 3


def test_it_gives_up_after_failures_in_a_row_and_says_where_to_look():
    assert ask(*[failed(90000)] * (MOST_FAILURES - 1))[0] == MOST_FAILURES
    found, why = ask(*[failed(90000)] * MOST_FAILURES)
    assert found is None
    assert "see their logs" in why
    early = settled("too early", as_of=OLD)
    assert ask(*[failed(90000)] * 3, early, *[failed(90000)] * 2)[0] == 7


def test_newer_days_begin_the_attempts_anew():
    old = Attempt(OLD, "", NOW, None)

    assert ask(*[old] * MOST_FAILURES)[0] == MOST_FAILURES + 1


def test_unfit_data_that_is_accepted_or_corrected_begins_the_attempts_anew():
    attempts = [failed(90000)] * MOST_FAILURES

    assert ask(*attempts)[0] is None
    assert ask(*attempts, unfit="less")[0] == MOST_FAILURES + 1
