"""What a server counts, in the format of Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""The upper ends of the bins of the histograms."""


class Metrics:
    """The counters of one server.

    Example:
        >>> metrics = Metrics()
        >>> metrics.done("/health", 200, 0.001)
        >>> 'reparam_requests_total{route="/health",status="200"} 1.0' in metrics.text()
        True
    """

    def __init__(self) -> None:
        # The registry of the library is shared by all servers of a process.
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "reparam_requests",
            "Requests that were answered.",
            ("route", "status"),
            registry=registry,
        )
        self._errors = Counter(
            "reparam_errors", "Answers with a status of 400 or more.", ("route",), registry=registry
        )
        self._seconds = Histogram(
            "reparam_request_seconds",
            "Seconds from the head of a request to the end of its answer.",
            ("route",),
            buckets=SECONDS,
            registry=registry,
        )
        self.batch_size = Histogram(
            "reparam_batch_size",
            "Rows that were computed together.",
            ("operation",),
            buckets=ROWS,
            registry=registry,
        )
        self._queue = Gauge("reparam_queue_length", "Requests that wait.", registry=registry)

    def watch_queue(self, length: Callable[[], int]) -> None:
        """Read the length of the queue from a function, whenever the metrics are read."""
        self._queue.set_function(length)

    def done(self, route: str, status: int, seconds: float) -> None:
        """Count an answer.

        Arguments:
            route: The path of the route, with the names of its parameters.
            status: The status of the answer.
            seconds: The time that it took.
        """
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
        if status >= 400:
            self._errors.labels(route).inc()

    def text(self) -> str:
        """Return all counters as text."""
        return generate_latest(self._registry).decode()
