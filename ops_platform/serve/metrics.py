"""What Prometheus is told: requests, answers, lost lines, and how old what answers is."""

import os
from collections.abc import Iterator
from datetime import date, datetime
from functools import cache

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import REGISTRY, Collector

from ops_platform.serve.release import Manifest

# Where workers count together; set before this module is imported.
SHARED = "PROMETHEUS_MULTIPROC_DIR"
BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
disable_created_metrics()  # type: ignore[no-untyped-call]
REQUESTS = Counter(
    "ops_requests", "Requests by route, status and version.", ["route", "status", "version"]
)
SECONDS = Histogram(
    "ops_request_seconds",
    "From the request's headers to the end of its answer.",
    ["route", "version"],
    buckets=BUCKETS,
)
ANSWERS = Counter(
    "ops_answers",
    "Lists of recommendations; of customers that the release does not know, known is false.",
    ["known", "version"],
)
CHALLENGER = Counter(
    "ops_challenger_answers", "Answers of a challenger that is tried.", ["mode", "outcome"]
)
LINES = Counter("ops_log_lines", "Lines of a log, written or lost.", ["log", "outcome"])


@cache
def requests_of(route: str, status: int, version: str) -> Counter:
    """The counter of these requests; to find it among the others takes longer than to count."""
    return REQUESTS.labels(route, str(status), version)


@cache
def seconds_of(route: str, version: str) -> Histogram:
    """The histogram of these requests' times."""
    return SECONDS.labels(route, version)


@cache
def answers_of(known: bool, version: int) -> Counter:
    """The counter of these lists."""
    return ANSWERS.labels(str(known).lower(), str(version))


class Staleness(Collector):
    """How old the model and the features are that answer, by the platform's clock.

    Parameters
    ----------
    manifest : of the release that serves, None without one.
    now : the platform's present.
    """

    def __init__(self, manifest: Manifest | None, now: datetime) -> None:
        """Keep them."""
        self._manifest, self._now = manifest, now

    def collect(self) -> Iterator[Metric]:
        """Whether a release serves, and its ages in seconds where one does."""
        manifest = self._manifest
        ready = GaugeMetricFamily("ops_ready", "1 where a release serves.", labels=["model"])
        ready.add_metric([manifest.model if manifest else ""], float(manifest is not None))
        yield ready
        if manifest is None:
            return
        labels = [manifest.model, str(manifest.version), manifest.release]
        begun = datetime.combine(date.fromisoformat(manifest.as_of), datetime.min.time())
        for what in ("model", "features"):
            age = GaugeMetricFamily(
                f"ops_{what}_age_seconds",
                f"Since the day up to which the {what} that answer have seen the shop.",
                labels=["model", "version", "release"],
            )
            age.add_metric(labels, (self._now - begun).total_seconds())
            yield age


def exposition(manifest: Manifest | None, now: datetime) -> bytes:
    """All metrics in Prometheus' text format, of all workers where there are several."""
    registry = CollectorRegistry()
    if SHARED in os.environ:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        counted = generate_latest(registry)
    else:
        counted = generate_latest(REGISTRY)
    present = CollectorRegistry()
    present.register(Staleness(manifest, now))
    return counted + generate_latest(present)
