import pytest

from ops_platform.errors import OpsError
from ops_platform.monitor import alarm_rules
from ops_platform.monitor.alarm_rule import Judgement, alarm_rule
from ops_platform.monitor.alarm_rules.cusum import Cusum
from ops_platform.plug_ins import names


def test_evidence_adds_up_and_never_falls_below_zero():
    judged = Cusum(bound=10).judge([-3.0, 1.0, 2.0, -0.5, -4.0, 1.5])
    assert [one.statistic for one in judged] == [0, 1, 3, 2.5, 0, 1.5]
    assert not any(one.alarm for one in judged)


def test_an_alarm_is_beyond_the_bound_and_the_statistic_begins_anew_after_it():
    judged = Cusum(bound=3).judge([2.0, 1.0, 0.5, 1.0])
    assert judged == [
        Judgement(2.0, False),
        Judgement(3.0, False),
        Judgement(3.5, True),
        Judgement(1.0, False),
    ]


def test_judging_goes_on_from_the_statistic_that_was_left():
    evidence = [1.0, -0.25, 2.0, 0.5, 1.0]
    at_once = Cusum(bound=9).judge(evidence)
    first = Cusum(bound=9).judge(evidence[:2])
    assert first + Cusum(bound=9).judge(evidence[2:], first[-1].statistic) == at_once


def test_a_rule_is_found_by_its_files_name(tmp_path, monkeypatch):
    (tmp_path / "never_again.py").write_text(
        "from ops_platform.monitor.alarm_rules.cusum import Cusum\n\n\nclass NeverAgain(Cusum):\n    pass\n"
    )
    (tmp_path / "misnamed.py").write_text("class Other:\n    pass\n")
    monkeypatch.setattr(alarm_rules, "__path__", [*alarm_rules.__path__, str(tmp_path)])
    assert names(alarm_rules) == ["cusum", "misnamed", "never_again"]
    assert alarm_rule("never_again", 2.0).judge([3.0]) == [Judgement(3.0, True)]
    with pytest.raises(OpsError, match="class Misnamed"):
        alarm_rule("misnamed", 2.0)


def test_a_rule_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(OpsError, match=r"OPS_ALARM_RULE=cumsum.*only cusum"):
        alarm_rule("cumsum", 1.0)
