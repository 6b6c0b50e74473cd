"""The online store at a size: `python -m benchmarks.online_store [ENTITIES]`.

Writes a store of a million entities with the columns of customer_activity and customer_taste, and
prints how long it takes to write, to open and to read at random, and to verify its SHA-256.
"""

import hashlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ops_platform.features.online_store import Column, OnlineStore, Rows, write

ENTITIES, READS = 1_000_000, 100_000
# What the platform promises, in seconds.
LOAD_MAX, READ_MEDIAN_MAX = 1.0, 0.0001


def main(entities: int = ENTITIES) -> bool:
    """Measure and print; whether the promises hold."""
    rng = np.random.default_rng(0)
    rows = _rows(entities, rng)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "customers.features"
        written, _ = _timed(lambda: write(path, rows))
        verified, _ = _timed(lambda: _sha256(path))
        loaded, store = _timed(lambda: OnlineStore(path))
        asked = [rows.keys[n] for n in rng.integers(entities, size=READS)]
        times = [_timed(lambda key=key: store.get(*key))[0] for key in asked]
        lacking = [_timed(lambda n=n: store.get(f"nobody-{n}"))[0] for n in range(READS // 10)]
        size = path.stat().st_size
    median, p99 = statistics.median(times), float(np.quantile(times, 0.99))
    holds = loaded + verified <= LOAD_MAX and median <= READ_MEDIAN_MAX
    sys.stdout.write(
        f"{entities} entities, {len(rows.features)} features, {size / 2**20:.0f} MiB\n"
        f"write {written:.1f} s, verify {verified:.3f} s, open {loaded * 1e3:.2f} ms\n"
        f"read, of {READS}: median {median * 1e6:.1f} us, p99 {p99 * 1e6:.1f} us, "
        f"longest {max(times) * 1e6:.0f} us\n"
        f"read of who is not there: median {statistics.median(lacking) * 1e6:.1f} us\n"
        f"to verify and open takes at most {LOAD_MAX} s and a read at most "
        f"{READ_MEDIAN_MAX * 1e6:.0f} us at the median: {'holds' if holds else 'MISSED'}\n"
    )
    return holds


def _rows(entities: int, rng: np.random.Generator) -> Rows:
    keys = [(f"{number:x}-{number % 1000}",) for number in rng.permutation(entities).tolist()]
    whole = {
        name: Column("int", rng.integers(1, 1000, entities), np.zeros(entities, bool))
        for name in ("recency_days", "tenure_days", "frequency", "products", "categories")
    }
    shares = {
        name: Column("float", rng.random(entities), rng.random(entities) < 0.2)
        for name in ("interval_days", "interval_variation", "top_share", "piece_price")
    }
    names = np.array([f"category {number}" for number in range(50)], dtype=object)
    features = {
        **whole,
        **shares,
        "monetary": Column("decimal3", rng.integers(0, 10**8, entities), np.zeros(entities, bool)),
        "top_category": Column(
            "text", names[rng.integers(50, size=entities)], rng.random(entities) < 0.1
        ),
    }
    return Rows(("customer_id",), "2024-01-01", keys, features)


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.perf_counter()
    found = work()
    return time.perf_counter() - begin, found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    sys.exit(not main(*map(int, sys.argv[1:])))
