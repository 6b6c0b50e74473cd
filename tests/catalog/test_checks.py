"""The last results of checks, as Dagster's storage holds them."""

import dagster as dg

from ops_platform.catalog.checks import dagster_instance, known_assets

KEY = dg.AssetKey(["marts", "sales"])


@dg.asset(
    key=KEY,
    owners=["team:analytics"],
    description="Sales by day.",
    check_specs=[
        dg.AssetCheckSpec("no_gaps", asset=KEY, description="Every day is there.", blocking=True),
        dg.AssetCheckSpec("size", asset=KEY),
    ],
)
def sales(): ...


def test_description_owner_and_last_results_are_known(tmp_path, monkeypatch):
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    definitions = dg.Definitions(assets=[sales])
    with dagster_instance(tmp_path) as instance:
        before = known_assets(definitions, instance)["marts.sales"]
        for name, passed, metadata in [
            ("no_gaps", True, {}),
            ("no_gaps", False, {"failing_rows": dg.MetadataValue.int(3)}),
            ("size", False, {"failing_rows": dg.MetadataValue.md("| a |"), "failures": 2}),
        ]:
            instance.report_runless_asset_event(
                dg.AssetCheckEvaluation(KEY, name, passed, metadata=metadata)
            )
        known = known_assets(definitions, instance)["marts.sales"]

    assert [check.result for check in before.checks] == ["not run yet", "not run yet"]
    assert (known.owner, known.description) == ("analytics", "Sales by day.")
    gaps, size = known.checks
    assert (gaps.name, gaps.description) == ("no_gaps", "Every day is there.")
    assert (gaps.blocking, size.blocking) == (True, False)
    assert (gaps.result, gaps.failing, size.result, size.failing) == ("failed", 3, "failed", 2)
    assert gaps.at is not None


@dg.multi_asset(
    specs=[dg.AssetSpec(KEY, skippable=True)],
    check_specs=[dg.AssetCheckSpec("no_gaps", asset=KEY)],
    can_subset=True,
)
def nothing_new():
    yield from ()


def test_a_check_that_a_later_run_planned_and_left_keeps_its_result(tmp_path, monkeypatch):
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with dagster_instance(tmp_path) as instance:
        instance.report_runless_asset_event(dg.AssetCheckEvaluation(KEY, "no_gaps", True))
        assert dg.materialize([nothing_new], instance=instance).success
        (check,) = known_assets(dg.Definitions(assets=[nothing_new]), instance)[
            "marts.sales"
        ].checks
    assert check.result == "passed"
