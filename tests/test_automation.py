"""The condition of tables and features, across runs, on a small graph in a real instance."""

import dagster as dg
import pytest

from ops_platform.automation import WHEN_DATA_CHANGES, when_any_changes

SOUND = {"is": True, "fails": False}


@dg.asset
def raw() -> None:
    if SOUND["fails"]:
        raise dg.Failure("its source can't be read")


@dg.asset_check(asset=raw, blocking=True)
def holds() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=SOUND["is"])


@dg.asset(deps=[raw], automation_condition=WHEN_DATA_CHANGES)
def mart() -> None:
    pass


@dg.asset(deps=[mart], automation_condition=WHEN_DATA_CHANGES)
def feature() -> None:
    pass


DEFINITIONS = dg.Definitions([raw, mart, feature], asset_checks=[holds])


@pytest.fixture
def platform():
    """Runs, and ticks of the automation that go on from the one before."""
    with dg.instance_for_test() as instance:
        yield Platform(instance)


class Platform:
    def __init__(self, instance):
        self.instance, self.cursor = instance, None
        self.tick()

    def tick(self):
        found = dg.evaluate_automation_conditions(
            DEFINITIONS, instance=self.instance, cursor=self.cursor
        )
        self.cursor = found.cursor
        return {name for name in ("mart", "feature") if found.get_num_requested(dg.AssetKey(name))}

    def run(self, selection, sound=True):
        SOUND["is"] = sound
        graph = DEFINITIONS.resolve_implicit_global_asset_job_def()
        return graph.execute_in_process(
            instance=self.instance, asset_selection=selection, raise_on_error=False
        )


def test_all_that_follows_a_change_is_asked_for_at_once(platform):
    platform.run([raw.key])

    assert platform.tick() == {"mart", "feature"}
    assert platform.tick() == set()


def test_a_check_that_failed_in_an_earlier_run_is_not_walked_past(platform):
    platform.run([raw.key], sound=False)

    assert platform.tick() == set()
    assert platform.tick() == set()
    platform.run([raw.key])
    assert platform.tick() == {"mart", "feature"}


@dg.asset
def other() -> None:
    pass


MADE = when_any_changes([raw.key, other.key])


@dg.asset(deps=[raw], automation_condition=MADE)
def of_raw() -> None:
    pass


@dg.asset(deps=[other], automation_condition=MADE)
def of_other() -> None:
    pass


def test_marts_of_several_sources_are_asked_for_together_whichever_of_them_fails_later():
    graph = dg.Definitions([raw, other, of_raw, of_other], asset_checks=[holds])
    job = graph.resolve_implicit_global_asset_job_def()

    def tick(cursor):
        found = dg.evaluate_automation_conditions(graph, instance=instance, cursor=cursor)
        asked = {
            name for name in ("of_raw", "of_other") if found.get_num_requested(dg.AssetKey(name))
        }
        return found.cursor, asked

    with dg.instance_for_test() as instance:
        cursor, _ = tick(None)
        SOUND["is"] = True
        job.execute_in_process(instance=instance, asset_selection=[raw.key])
        cursor, asked = tick(cursor)
        assert asked == set()
        job.execute_in_process(instance=instance, asset_selection=[other.key])
        cursor, asked = tick(cursor)
        assert asked == {"of_raw", "of_other"}
        cursor, asked = tick(cursor)
        assert asked == set()
        job.execute_in_process(instance=instance, asset_selection=[other.key])
        cursor, asked = tick(cursor)
        assert asked == {"of_raw", "of_other"}
        cursor, asked = tick(cursor)
        assert asked == set()

        # A source that fails leaves its table as it was, and holds nothing back.
        SOUND["fails"] = True
        both = [raw.key, other.key]
        job.execute_in_process(instance=instance, asset_selection=both, raise_on_error=False)
        SOUND["fails"] = False
        assert tick(cursor)[1] == {"of_raw", "of_other"}
