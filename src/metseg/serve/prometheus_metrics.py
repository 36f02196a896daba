"""Prometheus metrics of `/metrics`. Labels are routes, codes and states, never ids or names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from metseg.serve.storage.study_service import Studies
from metseg.serve.storage.worker_registry import Workers

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 120.0, 600.0)


class MetricDefinition(Protocol):
    """Provides the number of uploads in progress."""

    inside: int


class _Records(Collector):
    """Collects the numbers of studies and workers from the database at each scrape."""

    def __init__(self, studies: Studies, workers: Workers) -> None:
        self._studies = studies
        self._workers = workers

    def collect(self) -> Iterator[Metric]:
        states = GaugeMetricFamily("metseg_studies", "Studies by state.", labels=["state"])
        for state, count in self._studies.counts().items():
            states.add_metric([state.value], count)
        yield states
        yield GaugeMetricFamily("metseg_workers", "Workers with a recent heartbeat.", value=len(self._workers.alive()))


class ServiceMetrics:
    """Metrics of one API process.

    Args:
        studies, workers: queried at each scrape.
        gate: provides the number of uploads in progress.
    """

    def __init__(self, studies: Studies, workers: Workers, gate: MetricDefinition) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "metseg_requests", "Answered requests.", ["method", "route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "metseg_request_seconds",
            "Time to the answer.",
            ["method", "route"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._problems = Counter("metseg_problems", "Problems answered, by code.", ["code"], registry=self._registry)
        self._bytes = Counter("metseg_upload_bytes", "Bytes of accepted uploads.", registry=self._registry)
        self.predict_seconds = Histogram(
            "metseg_predict_seconds",
            "Time of POST /predict/ in its process.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        uploads = Gauge("metseg_uploads_active", "Uploads being received.", registry=self._registry)
        uploads.set_function(lambda: gate.inside)
        self._registry.register(_Records(studies, workers))
        ProcessCollector(registry=self._registry)

    def answered(self, method: str, route: str, status: int, elapsed_s: float) -> None:
        """Count a request."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(elapsed_s)

    def problem(self, code: str) -> None:
        """Count a problem."""
        self._problems.labels(code).inc()

    def uploaded(self, size: int) -> None:
        """Count the bytes of an upload."""
        self._bytes.inc(size)

    def text(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        return generate_latest(self._registry)
