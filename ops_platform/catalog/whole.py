"""The whole lineage graph of a home, from its contracts to its releases."""

from ops_platform.catalog.by_column import by_column
from ops_platform.catalog.by_version import happened
from ops_platform.catalog.lineage import Edge, Graph, Node
from ops_platform.features.view import find_views
from ops_platform.ingest.contract_file import read_contracts
from ops_platform.lake.location import Lake
from ops_platform.models.estimators import names
from ops_platform.models.registry import Registry
from ops_platform.settings import Settings
from ops_platform.transform.project import read_manifest


def lineage_graph(settings: Settings) -> Graph:
    """The graph of the code as it is now, with the deliveries, versions and releases of the home.

    Raises OpsError when a contract or the dbt project has a fault, or the registry can't be
    reached.
    """
    contracts, models = read_contracts(settings.contracts), names()
    past = happened(
        Lake.at(settings),
        _registry(settings),
        settings.releases,
        [contract.name for contract in contracts],
        models,
    )
    parts = [*by_column(contracts, read_manifest(settings), find_views(), models), *past.parts]
    nodes = {part.id: part for part in parts if isinstance(part, Node)}
    edges = dict.fromkeys(part for part in parts if isinstance(part, Edge))
    return Graph(
        nodes, tuple(e for e in edges if {e.source, e.target} <= nodes.keys()), past.fitted_on
    )


def _registry(settings: Settings) -> Registry | None:
    """The registry; None where there is none yet, since asking it would make it."""
    if settings.mlflow_uri is None and not (settings.home / "mlflow").exists():
        return None
    return Registry(settings.mlflow_tracking_uri, settings.mlflow_artifact_root)
