"""The door of features: each view's table as an asset, its schema as a blocking asset check."""

import dagster as dg

from ops_platform.automation import WHEN_DATA_CHANGES
from ops_platform.errors import BlockedError
from ops_platform.failures import told_plainly
from ops_platform.features.build import build, newest_day, stamps_of, validate
from ops_platform.features.remarks import remarks
from ops_platform.features.view import FeatureView
from ops_platform.lake import catalog
from ops_platform.lake.connect import connect
from ops_platform.lake.location import Lake
from ops_platform.lake.lock import POOL
from ops_platform.lake.published import (
    BlockingCheck,
    Published,
    changed_since,
    features_changed_since,
    publish,
    published,
    require,
)
from ops_platform.lake.session import has_table
from ops_platform.settings import Settings
from ops_platform.transform.assets import PUBLISHED_MARTS

PUBLISHED_FEATURES = dg.AssetKey(["lake", "published_features"])
SCHEMA_CHECK = "schema"


def feature_asset(view: FeatureView) -> dg.AssetsDefinition:
    """The asset `features/<view>`."""

    @dg.asset(
        key=["features", view.name],
        deps=[dg.AssetKey(["marts", view.mart]), PUBLISHED_MARTS],
        group_name="features",
        description=view.description,
        owners=[view.owner],
        kinds={"duckdb", "ibis", "pandera"},
        tags={"ops": "mlops"},
        pool=POOL,
        automation_condition=WHEN_DATA_CHANGES,
        code_version=view.version[:12],
        metadata={
            "dagster/column_schema": _column_schema(view),
            "dagster/table_name": f"lake.{view.table}",
            "ttl_days": view.ttl.days,
        },
    )
    @told_plainly()
    def features(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        lake = Lake.at(settings)
        as_of = settings.as_of or newest_day(lake)
        changed = build(lake, view, as_of)
        with connect(lake) as connection:
            count = connection.execute(f"SELECT count(*) FROM {view.table}").fetchone()
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": count[0] if count else 0,
                "as_of": str(as_of),
                "changed": changed,
            }
        )

    return features


def _column_schema(view: FeatureView) -> dg.TableSchema:
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name,
                str(column.dtype),
                description=column.description,
                constraints=dg.TableColumnConstraints(
                    nullable=column.nullable,
                    unique=column.unique,
                    other=[str(check) for check in column.checks],
                ),
            )
            for name, column in view.schema.columns.items()
        ]
    )


def schema_check(view: FeatureView) -> dg.AssetChecksDefinition:
    """The view's pandera schema as a blocking asset check, with the failing rows shown."""

    @dg.asset_check(
        asset=dg.AssetKey(["features", view.name]),
        name=SCHEMA_CHECK,
        blocking=True,
        description="The table satisfies the view's pandera schema.",
    )
    @told_plainly()
    def schema_holds(settings: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
        lake = Lake.at(settings)
        with connect(lake, snapshot=catalog.head(lake)) as connection:
            found = validate(connection, view)
            said = remarks(connection, view.table, view.features_named)
        return dg.AssetCheckResult(
            passed=found.failures.empty,
            metadata={
                "rows": found.rows,
                "failures": len(found.failures),
                "broken": found.broken,
                "remarks": list(said),
                "failing_rows": dg.MetadataValue.md(
                    f"```\n{found.failing.to_string(index=False)}\n```"
                ),
            },
        )

    return schema_holds


def published_features(
    views: list[FeatureView], beside: list[BlockingCheck]
) -> dg.AssetsDefinition:
    """The step that moves the published snapshot on to the features built from it.

    `beside` are the checks of raw tables that no mart is made from: they may change meanwhile.
    """

    @dg.asset(
        key=PUBLISHED_FEATURES,
        deps=[dg.AssetKey(["features", view.name]) for view in views],
        group_name="lake",
        owners=["team:platform"],
        kinds={"ducklake"},
        tags={"ops": "devops"},
        pool=POOL,
        automation_condition=WHEN_DATA_CHANGES,
        description="The published snapshot, moved on when the features that were built from it "
        "satisfy their schemas.",
    )
    @told_plainly()
    def publish_features(settings: dg.ResourceParam[Settings]) -> dg.MaterializeResult:  # type: ignore[type-arg]
        lake = Lake.at(settings)
        pointer, snapshot = published(lake), catalog.head(lake)
        if not features_changed_since(lake, pointer.snapshot):
            return dg.MaterializeResult(metadata={"snapshot": pointer.snapshot, "moved": False})
        _require_publishable(lake, views, beside, pointer, snapshot)
        publish(lake, Published(snapshot, pointer.marts), seen=pointer)
        return dg.MaterializeResult(metadata={"snapshot": snapshot, "moved": True})

    return publish_features


def _require_publishable(
    lake: Lake,
    views: list[FeatureView],
    beside: list[BlockingCheck],
    pointer: Published,
    snapshot: int,
) -> None:
    changed = changed_since(lake, pointer.marts)
    moved_on = [table for table in changed if table not in {check.table for check in beside}]
    if moved_on:
        raise BlockedError(
            f"{', '.join(moved_on)} changed while the features were computed: the published "
            "snapshot stays; materialize the dbt models and all that follows"
        )
    with connect(lake, snapshot=snapshot) as connection:
        require(connection, [check for check in beside if check.table in changed])
        missing = [view.table for view in views if not has_table(connection, view.table)]
        if missing:
            raise BlockedError(f"{', '.join(missing)} not made yet: materialize all features")
        stamps = stamps_of(connection, views)
        if len(stamps) > 1 or any(marts != pointer.marts for marts, _ in stamps):
            raise BlockedError(
                f"features are of (marts snapshot, as-of) {sorted(stamps)}, not all of one day and "
                f"of the published marts, {pointer.marts}: materialize all features"
            )
        failing = [view.name for view in views if not validate(connection, view).failures.empty]
    if failing:
        raise BlockedError(
            f"the published snapshot stays where it was, because features break their schema: "
            f"{', '.join(failing)}; see the failing rows on their asset check"
        )
