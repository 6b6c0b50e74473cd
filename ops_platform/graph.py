"""The whole graph on one page: merges each room's Dagster objects."""

import dagster as dg

from ops_platform.automation import data_automation
from ops_platform.features.assets import feature_asset, published_features, schema_check
from ops_platform.features.view import find_views
from ops_platform.ingest.assets import contract_checks, raw_asset
from ops_platform.ingest.checks import anomaly_checks, profiles_asset
from ops_platform.ingest.contract_file import read_contracts
from ops_platform.ingest.location import require_known_sources
from ops_platform.ingest.rules import raw_checks
from ops_platform.ingest.sensors import landing_sensor
from ops_platform.models.assets import model_asset, training_set_asset
from ops_platform.models.estimators import names
from ops_platform.models.kinds import recommenders
from ops_platform.monitor.assets import drift_asset, inputs_asset, performance_asset, report_asset
from ops_platform.monitor.checks import drift_check, inputs_check
from ops_platform.monitor.schedules import (
    nightly_job,
    nightly_schedule,
    retraining_job,
    weekly_schedule,
)
from ops_platform.monitor.sensors import failed_run_sensor, missing_sensor, retraining_sensor
from ops_platform.replay.assets import policies, replay_job
from ops_platform.run_executor import told_executor
from ops_platform.serve.assets import release_asset
from ops_platform.serve.checks import parity_check
from ops_platform.settings import Settings
from ops_platform.transform.assets import mart_assets, published_marts, unread
from ops_platform.transform.project import read_manifest
from ops_platform.transform.resources import dbt_resource


def build_definitions(settings: Settings) -> dg.Definitions:
    """The graph that these settings describe; raises OpsError when a contract or the dbt project
    has a fault, before anything runs."""
    contracts, models = read_contracts(settings.contracts, settings.hash_key), names()
    require_known_sources(settings, contracts)
    manifest = read_manifest(settings)
    views, watched = find_views(), recommenders()
    beside = unread(manifest, contracts)
    used = [contract for contract in contracts if contract not in beside]
    return dg.Definitions(
        assets=[
            *(raw_asset(contract) for contract in contracts),
            mart_assets(settings, manifest, contracts),
            published_marts(manifest, contracts),
            *(feature_asset(view) for view in views),
            published_features(views, [c for contract in beside for c in raw_checks(contract)]),
            profiles_asset(contracts),
            *(training_set_asset(name, used) for name in models),
            *(model_asset(name, used) for name in models),
            release_asset(),
            drift_asset(watched, used),
            inputs_asset(models, used),
            policies,
            performance_asset(models, used),
            report_asset(models),
        ],
        asset_checks=[
            *(contract_checks(contract) for contract in contracts),
            anomaly_checks(contracts),
            *(schema_check(view) for view in views),
            *(drift_check(name) for name in watched),
            inputs_check(models),
            parity_check(),
        ],
        jobs=[nightly_job(watched), retraining_job(models), replay_job()],
        sensors=[
            landing_sensor(contracts),
            data_automation(),
            retraining_sensor(models),
            failed_run_sensor(),
            missing_sensor(contracts, beside),
        ],
        schedules=[nightly_schedule(), weekly_schedule(models)],
        resources={
            "settings": settings,
            "dbt": dbt_resource(settings),
        },
        executor=told_executor,
    )
