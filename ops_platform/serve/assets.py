"""The door of serve: the release that serves of each model, as one asset."""

import dagster as dg

from ops_platform.errors import OpsError, ReleaseError
from ops_platform.failures import told_plainly
from ops_platform.ingest.contract import customer_key
from ops_platform.ingest.contract_file import read_contracts
from ops_platform.lake.location import Lake
from ops_platform.models.estimators import names
from ops_platform.models.registry import Registry
from ops_platform.serve.old_releases import remove_old
from ops_platform.serve.promotion import Served, put_in_service
from ops_platform.serve.release import folder_of
from ops_platform.settings import Settings

RELEASE = dg.AssetKey(["serve", "release"])


def release_asset() -> dg.AssetsDefinition:
    """The asset `serve/release`: versions that the gate let pass are released and serve."""

    @dg.asset(
        key=RELEASE,
        deps=[dg.AssetKey(["models", name]) for name in names()],
        group_name="serve",
        owners=["team:platform"],
        kinds={"fastapi", "numpy"},
        tags={"ops": "mlops"},
        description="The immutable folder that the service loads. Where a version is to be "
        "promoted its release is written, the pointer moves to it, and the alias champion follows; "
        "the service takes it up without a restart.",
    )
    @told_plainly()
    def release(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        registry = Registry(settings.mlflow_tracking_uri, settings.mlflow_artifact_root)
        lake, served, faults = Lake.at(settings), list[Served](), list[str]()
        key = customer_key(read_contracts(settings.contracts, settings.hash_key))
        for name in names():
            try:
                found = put_in_service(lake, registry, settings.releases, name, settings.now(), key)
            except OpsError as error:
                # The other models are released all the same.
                faults.append(f"{name}: {error}")
                continue
            if found is None:
                context.log.info(f"{name}: no version is to serve yet")
                continue
            served.append(found)
            if not found.release:
                continue
            folder = folder_of(settings.releases, name)
            for gone in remove_old(lake, folder, settings.releases_kept):
                context.log.info(f"{name}: the old release {gone} was removed")
        if faults:
            raise ReleaseError("\n".join(faults))
        return dg.MaterializeResult(metadata=_metadata(served))

    return release


def _metadata(served: list[Served]) -> dict[str, dict[str, object]]:
    return {
        one.model: {"version": one.version, "release": one.release, "moved": one.moved}
        for one in served
    }
