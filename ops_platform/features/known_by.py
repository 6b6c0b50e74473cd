"""Whose records are known by their delivery: what contracts say, and when deliveries came."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ops_platform.errors import ContractError
from ops_platform.ingest.contract import Contract
from ops_platform.ingest.contract_file import read_contracts
from ops_platform.lake.check import LEDGER
from ops_platform.lake.session import literal
from ops_platform.settings import Settings
from ops_platform.transform.project import read_manifest

# A property of the contract's own: by when a record of the source counts as known.
PROPERTY, EVENT, DELIVERY = "knownBy", "event", "delivery"
# By mart, those of its sources whose records are known by their delivery.
ByDelivery = Mapping[str, Collection[str]]


def by_delivery_of(settings: Settings) -> dict[str, frozenset[str]]:
    """As `known_by_delivery`, by the contracts and the dbt project of these settings."""
    contracts = read_contracts(settings.contracts, settings.hash_key)
    return known_by_delivery(contracts, read_manifest(settings)) if _late(contracts) else {}


def known_by_delivery(
    contracts: Iterable[Contract], manifest: Mapping[str, Any]
) -> dict[str, frozenset[str]]:
    """By mart, those of its sources whose contract has the custom property `knownBy: delivery`.

    Marts without such a source are left out: their rows are known from their event on. `manifest`
    is dbt's. Raises ContractError where the property has another value.
    """
    late = _late(contracts)
    found = {
        node["name"]: frozenset(late & _sources_of(unique_id, manifest))
        for unique_id, node in manifest["nodes"].items()
        if node["resource_type"] == "model"
    }
    return {name: sources for name, sources in found.items() if sources}


def _late(contracts: Iterable[Contract]) -> set[str]:
    """The sources whose contract says so; raises as `known_by_delivery`."""
    said = {
        contract.name: custom.value
        for contract in contracts
        for custom in contract.document.customProperties or []
        if custom.property == PROPERTY
    }
    wrong = {name: value for name, value in said.items() if value not in (EVENT, DELIVERY)}
    if wrong:
        raise ContractError(
            "; ".join(
                f"contracts/{name}.odcs.yaml: {PROPERTY} is {EVENT!r} or {DELIVERY!r}, "
                f"not {value!r}"
                for name, value in wrong.items()
            )
        )
    return {name for name, value in said.items() if value == DELIVERY}


def _sources_of(unique_id: str, manifest: Mapping[str, Any]) -> set[str]:
    if unique_id in manifest["sources"]:
        return {manifest["sources"][unique_id]["name"]}
    parents = manifest["nodes"][unique_id]["depends_on"]["nodes"]
    return {source for parent in parents for source in _sources_of(parent, manifest)}


def arrivals_sql(database: str, sources: Collection[str]) -> str:
    """A query of each `delivery` of these sources and when its content first came."""
    named = ", ".join(literal(source) for source in sorted(sources))
    return (
        f"SELECT sha256 AS delivery, min(delivered_at) AS delivered_at FROM {database}.{LEDGER} "
        f"WHERE source IN ({named}) AND status <> 'refused' GROUP BY sha256"
    )
