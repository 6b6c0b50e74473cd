"""The door of replay: policies side by side as an asset, for a run that names them."""

import base64

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from pydantic import Field

from ops_platform.failures import told_plainly
from ops_platform.features.assets import PUBLISHED_FEATURES
from ops_platform.replay.backtest import replay
from ops_platform.replay.figures import TASKS, as_markdown, figures
from ops_platform.replay.period import day_of
from ops_platform.replay.picture import picture
from ops_platform.replay.request import request_of
from ops_platform.settings import Settings

KEY = dg.AssetKey(["replay", "policies"])
JOB, STEP = "replay", "replay__policies"
# What the job replays where its run names no others.
SIDE_BY_SIDE = ["every:28", "cusum", "worth_it"]


class Replaying(dg.Config):
    """Which policies, on which days."""

    policies: list[str] = Field([], description="Say every:28; without any nothing is replayed.")
    first: str = Field("", description="YYYY-MM-DD; half-way through the history if empty.")
    last: str = Field("", description="YYYY-MM-DD; the newest published day if empty.")
    model: str = Field("recommender", description="A recommender of models/zoo/.")


@dg.asset(
    key=KEY,
    deps=[PUBLISHED_FEATURES],
    group_name="replay",
    owners=["team:data-science"],
    kinds={"duckdb", "pandas"},
    tags={"ops": "mlops"},
    description="What each retraining policy would have cost and earned on the history, beside "
    "never and daily retraining. It takes minutes, so it replays what a run's config names, and "
    f"nothing where it names none; the job {JOB} names some.",
)
@told_plainly()
def policies(
    context: dg.AssetExecutionContext, config: Replaying, settings: dg.ResourceParam[Settings]
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """The asset `replay/policies`."""
    if not config.policies:
        context.log.info(f"nothing is replayed: the config names no policies; the job {JOB} does")
        return dg.MaterializeResult(metadata={"policies": 0})
    days = day_of(config.first, "first"), day_of(config.last, "last")
    request = request_of(settings, config.model, config.policies, *days)
    found = replay(request, context.log.info)
    told = figures(found, settings.seed)
    drawn = base64.b64encode(picture(found)).decode()
    return dg.MaterializeResult(
        metadata={
            "policies": len(found.walks),
            "from": str(found.first),
            "to": str(found.last),
            **{task: dg.MetadataValue.md(as_markdown(found, told, task)) for task in TASKS},
            "picture": dg.MetadataValue.md(f"![gain](data:image/png;base64,{drawn})"),
        }
    )


def replay_job() -> UnresolvedAssetJobDefinition:
    """Replays SIDE_BY_SIDE, or what a run's config names."""
    return dg.define_asset_job(
        JOB,
        selection=dg.AssetSelection.assets(KEY),
        config={"ops": {STEP: {"config": {"policies": SIDE_BY_SIDE}}}},
        tags={"ops": "mlops"},
        description="Retraining policies on the history: what they would have cost and earned.",
    )
