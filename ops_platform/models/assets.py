"""The door of models: each model's training set and versions as assets."""

import dagster as dg
from pydantic import Field

from ops_platform.automation import CAUSE_TAG
from ops_platform.errors import TrainingError
from ops_platform.failures import told_plainly
from ops_platform.features.assets import PUBLISHED_FEATURES
from ops_platform.features.known_by import by_delivery_of
from ops_platform.features.view import find_views
from ops_platform.ingest.checks import KEY as PROFILES
from ops_platform.ingest.contract import Contract
from ops_platform.ingest.profiles import judge_sources
from ops_platform.lake.check import check
from ops_platform.lake.location import Lake
from ops_platform.models.kinds import task_of
from ops_platform.models.provenance import made_with
from ops_platform.models.registry import Registry
from ops_platform.models.search import Trial
from ops_platform.models.task import Rules
from ops_platform.models.training import (
    Outcome,
    can_be_judged,
    read_training_set,
    require_fit,
    train,
)
from ops_platform.models.validation import searched
from ops_platform.settings import Settings

DIGEST = "digest"


def training_set_asset(name: str, sources: list[Contract]) -> dg.AssetsDefinition:
    """The asset `models/<model>/training_set`: which rows the next version is fitted on.

    `sources` are those that the marts are made of: none of their days may be unfit.
    """

    @dg.asset(
        key=["models", name, "training_set"],
        deps=[
            PUBLISHED_FEATURES,
            PROFILES,
            *(dg.AssetKey(["features", view.name]) for view in find_views()),
        ],
        group_name="models",
        owners=["team:data-science"],
        kinds={"duckdb"},
        tags={"ops": "mlops"},
        description="The exact rows of the next version: read from the published snapshot as of "
        "a day, and known by their digest. The lake is checked first, and no day's data may be "
        "at fault.",
    )
    @told_plainly()
    def training_set(settings: dg.ResourceParam[Settings]) -> dg.MaterializeResult:  # type: ignore[type-arg]
        lake = Lake.at(settings)
        _require_sound(lake, sources, settings)
        rows = read_training_set(lake, name, by_delivery_of(settings))
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": len(rows.rows),
                "as_of": str(rows.as_of),
                "snapshot": rows.pointer.snapshot,
                "marts_snapshot": rows.pointer.marts,
                DIGEST: rows.digest,
            }
        )

    return training_set


def _require_sound(lake: Lake, sources: list[Contract], settings: Settings) -> None:
    faults = check(lake)
    if faults:
        raise TrainingError(
            "the lake does not hold, nothing is trained on it: " + "; ".join(faults)
        )
    # What came since monitor/profiles was made.
    judge_sources(lake, sources, settings.now())
    require_fit(lake, [source.name for source in sources])


class Training(dg.Config):
    """What may be asked of one training."""

    trials: int = Field(
        0,
        ge=0,
        description="So many trials of a search for hyper-parameters come before it; 0 is none.",
    )


def rules_of(settings: Settings) -> Rules:
    """How versions are judged by these settings."""
    return Rules(
        settings.evaluation_days,
        settings.evaluation_days_min,
        settings.promotion_margin,
        settings.segment_margin,
    )


def model_asset(name: str, sources: list[Contract]) -> dg.AssetsDefinition:
    """The asset `models/<model>`: trained, judged by the gate, and registered.

    `sources` as of `training_set_asset`: they are checked here where that asset was never made.
    """
    key, task = dg.AssetKey(["models", name]), task_of(name)
    beaten = " and ".join(one.replace("_", " ") for one in task.baselines)

    @dg.asset(
        key=key,
        deps=[dg.AssetKey(["models", name, "training_set"])],
        group_name="models",
        owners=["team:data-science"],
        kinds={"sklearn", "mlflow"},
        tags={"ops": "mlops"},
        description="The registered versions. A version is judged on days that neither it nor the "
        "champion has seen; one that is better, or no worse and newer, is to be released.",
        check_specs=[
            dg.AssetCheckSpec(
                "beats_baselines",
                asset=key,
                description=f"The newest version beats {beaten} by {task.title}.",
            )
        ],
    )
    @told_plainly()
    def model(
        context: dg.AssetExecutionContext, config: Training, settings: dg.ResourceParam[Settings]
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        registry = Registry(settings.mlflow_tracking_uri, settings.mlflow_artifact_root)
        lake = Lake.at(settings)
        rows = read_training_set(lake, name, by_delivery_of(settings))
        if not _is_checked(context, name, rows.digest):
            _require_sound(lake, sources, settings)
        made, rules = made_with(settings), rules_of(settings)
        trials = list[Trial]()
        if config.trials and can_be_judged(registry, rows, name, rules):
            trials = searched(
                lake,
                rows,
                name,
                trials=config.trials,
                seed=settings.seed,
                rules=rules,
                threads=made.threads,
                journal=settings.home / "search.journal",
                say=context.log.info,
            )
        outcome = train(
            lake,
            registry,
            rows,
            name,
            seed=settings.seed,
            rules=rules,
            cause=context.run_tags.get(CAUSE_TAG, "by hand"),
            made=made,
            now=settings.now(),
            trials=trials,
            say=context.log.info,
        )
        context.log.info(outcome.reason)
        return _report(registry, name, outcome)

    return model


def _is_checked(context: dg.AssetExecutionContext, name: str, digest: str) -> bool:
    """Whether the asset `training_set` has checked these rows; False where it was never made.

    Raises TrainingError where it has checked others.
    """
    key = dg.AssetKey(["models", name, "training_set"])
    event = context.instance.get_latest_materialization_event(key)
    recorded = event and event.asset_materialization and event.asset_materialization.metadata
    if not recorded:
        return False
    if recorded[DIGEST].value != digest:
        raise TrainingError(
            f"another snapshot was published since {key.to_user_string()} was made: "
            "materialize it again, with this model"
        )
    return True


def _report(registry: Registry, name: str, outcome: Outcome) -> dg.MaterializeResult:  # type: ignore[type-arg]
    newest, champion = registry.newest(name), registry.champion(name)
    metrics = dict(newest.metrics) if newest else {}
    task = task_of(name)
    baselines = [metrics[f"{one}_{task.metric}"] for one in task.baselines] if newest else []
    return dg.MaterializeResult(
        metadata={
            "registered": outcome.version is not None,
            "newest_version": newest.version if newest else 0,
            "champion_version": champion.version if champion else 0,
            "reason": outcome.reason,
            "decision": outcome.verdict.decision if outcome.verdict else "unchanged",
            **metrics,
            **({"card": dg.MetadataValue.md(outcome.card)} if outcome.card else {}),
        },
        check_results=[
            dg.AssetCheckResult(
                check_name="beats_baselines",
                passed=bool(baselines) and metrics[task.metric] > max(baselines),
                severity=dg.AssetCheckSeverity.WARN,
                metadata=metrics,
            )
        ],
    )
