"""The contract's rules as checks of the raw table: what ingest promises is looked at again."""

from ops_platform.ingest.contract import Contract
from ops_platform.ingest.sql import quoted
from ops_platform.ingest.typed_read import rules
from ops_platform.lake.published import BlockingCheck


def raw_checks(contract: Contract) -> list[BlockingCheck]:
    """One blocking check for each column that the contract restricts, and for each key."""
    checks = []
    for column, faults in rules(contract).items():
        if not faults:
            continue
        broken = " OR ".join(f"coalesce({fault.condition}, false)" for fault in faults)
        checks.append(
            BlockingCheck(
                table=f"raw.{contract.name}",
                name=f"contract_{column}",
                failures_sql=f"SELECT count(*) FILTER ({broken}) FROM raw.{quoted(contract.name)}",
                description="No row breaks: " + "; ".join(fault.reason for fault in faults),
            )
        )
    return checks + [_key_check(contract, key) for key in contract.keys]


def _key_check(contract: Contract, key: tuple[str, ...]) -> BlockingCheck:
    names = ", ".join(quoted(name) for name in key)
    there = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in key)
    return BlockingCheck(
        table=f"raw.{contract.name}",
        name=f"contract_key_{'_'.join(key)}",
        failures_sql="SELECT coalesce(sum(rows - 1), 0) FROM (SELECT count(*) AS rows "
        f"FROM raw.{quoted(contract.name)} WHERE {there} GROUP BY {names})",
        description=f"No two rows have the same {', '.join(key)}.",
    )
