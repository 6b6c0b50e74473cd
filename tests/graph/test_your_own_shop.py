"""The tutorial docs/your-own-shop.md, run as it stands, on another shop's files."""

import csv
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ops_platform.settings import PROJECT, TELEMETRY_OFF
from ops_platform.simulate.shop import Shop, write_orders

pytestmark = [pytest.mark.graph, pytest.mark.long]
SHOP = Shop(seed=4, days=45, customers=60, products=50, dirty_rate=0.002)


def blocks(language: str) -> list[str]:
    text = (PROJECT / "docs" / "your-own-shop.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def other_shops_files(folder: Path, scratch: Path) -> int:
    """The simulated orders as the other shop would export them; the number of lines."""
    folder.mkdir()
    count = 0
    for path in write_orders(SHOP, scratch):
        with path.open(encoding="utf-8", newline="") as file:
            lines = [
                "\t".join([
                    f"{row['InvoiceNo'].lstrip('C')}", f"P-{row['StockCode']}", row["Quantity"],
                    seconds(row["InvoiceDate"]), "c/" + row["CustomerID"].removesuffix(".0"),
                ])
                for row in csv.DictReader(file)
                if row["StockCode"] != "POST"
            ]  # fmt: skip
        (folder / f"{path.stem}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        count += len(lines)
    return count


def seconds(text: str) -> str:
    try:
        return str(int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()))
    except ValueError:
        return text


def test_one_contract_brings_another_shop_to_recommendations(tmp_path):
    # The graph takes some 20 s; nothing less shows that features and model cope with such orders.
    delivered = other_shops_files(tmp_path / "my-orders", tmp_path / "scratch")
    shutil.copytree(PROJECT / "contracts", tmp_path / "contracts")
    copy, run = blocks("sh")
    (contract,) = blocks("yaml")
    own = {"PYTHONPATH": str(PROJECT), "COLUMNS": "200"}
    environment = {**os.environ, **TELEMETRY_OFF, **own}

    def shell(script: str) -> str:
        done = subprocess.run(
            ["bash", "-euc", script], cwd=tmp_path, env=environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout

    shell(copy)
    (tmp_path / "my-contracts" / "orders.odcs.yaml").write_text(contract, encoding="utf-8")
    told = shell(run.replace(".venv/bin/", f"{shlex.quote(str(Path(sys.executable).parent))}/"))
    exports = "".join(line + "\n" for line in run.splitlines() if line.startswith("export "))
    ops = shlex.quote(str(Path(sys.executable).with_name("ops")))
    state = json.loads(shell(f"{exports}{ops} status --json"))
    orders = state["sources"]["orders"]
    assert orders["rows_raw"] + orders["rows_quarantined"] == delivered
    assert 0 < orders["rows_quarantined"] < delivered / 100
    assert {n for n, one in state["sources"].items() if one["connected"]} == {"orders"}
    assert "products (not connected)" in told
    champion = state["models"]["recommender"]
    assert champion["ndcg_at_20"] > champion["popularity_ndcg_at_20"]
    assert told.count("recommender version 1") == 3
