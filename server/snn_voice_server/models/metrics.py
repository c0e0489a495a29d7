"""What Prometheus sees. Each application has a registry of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from torch import Tensor

from snn_voice_server.queue.places import Queue

# When a counter began is of no use where the process' start is known, and it doubles the page.
disable_created_metrics()  # type: ignore[no-untyped-call]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SHORT = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
_WINDOWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """All metrics of one application, and the observers that fill them."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)

        def histogram(name: str, text: str, label: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"snn_voice_{name}", text, [label], buckets=buckets, registry=registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"snn_voice_{name}", text, labels, registry=registry)

        self.requests = counter("requests", "Answers, by route and status.", "route", "code")
        self.duration = histogram(
            "request_duration_seconds", "From a request's head to its answer.", "route", _SECONDS
        )
        self.in_flight = Gauge(
            "snn_voice_requests_in_flight", "Requests without an answer.", registry=registry
        )
        self.refused = counter("refused", "Requests that were refused or given up, by reason.", "reason")
        self.abandoned = counter("abandoned", "Requests whose client hung up before the answer.")
        self._connections = Gauge("snn_voice_connections", "Open connections.", registry=registry)
        self._turned_away = counter(
            "connections_turned_away", "Connections that were refused or cut, by reason.", "reason"
        )
        self.queue = Gauge(
            "snn_voice_queue_windows", "Windows that wait or are decoded.", ["model"], registry=registry
        )
        self.wait = histogram("queue_wait_seconds", "Time in the queue.", "model", _SECONDS)
        self.decode = histogram("decode_seconds", "Sound file to windows.", "model", _SHORT)
        self.batch = histogram("batch_windows", "Windows in a batch.", "model", _WINDOWS)
        self.compute = histogram("compute_seconds", "Run of a batch.", "model", _SECONDS)
        self.windows = counter("windows", "Windows that were run.", "model")
        self.streams = Gauge("snn_voice_streams", "Open streams.", registry=registry)
        self._stream_seconds = counter("stream_seconds", "Sound that streams have brought.", "model")
        self._stream_events = counter("stream_events", "Words that were heard in streams.", "model")
        self._stream_delay = histogram(
            "stream_delay_seconds",
            "From a message for which the network runs to what it brings.",
            "model",
            _SECONDS,
        )
        self.streams_closed = counter("streams_closed", "Streams that have ended, by reason.", "reason")
        self.failures = counter("batch_failures", "Runs that failed.", "model", "kind")
        self.loaded_models = Gauge("snn_voice_model_loaded", "In memory.", ["model"], registry=registry)
        self.ready = Gauge("snn_voice_ready", "What /ready says.", registry=registry)
        self.training = Gauge(
            "snn_voice_training", "Whether a training of new words runs.", registry=registry
        )
        self._trainings = counter(
            "trainings", "Trainings of new words that are over, by what became of them.", "state"
        )
        self._training_seconds = counter("training_seconds", "How long those took.", "state")
        self._add_memory()

    def _add_memory(self) -> None:
        if not torch.cuda.is_available():
            return
        memory = Gauge(
            "snn_voice_device_memory_bytes", "PyTorch's memory.", ["device", "kind"], registry=self.registry
        )
        for index in range(torch.cuda.device_count()):
            readers: dict[str, Callable[[int], int]] = {
                "allocated": torch.cuda.memory_allocated,
                "reserved": torch.cuda.memory_reserved,
            }
            for kind, read in readers.items():
                gauge = memory.labels(f"cuda:{index}", kind)
                gauge.set_function(lambda read=read, index=index: read(index))  # type: ignore[misc]

    def watch(self, count: Callable[[], int]) -> None:
        """See `door.Watcher`."""
        self._connections.set_function(count)

    def turned_away(self, reason: str) -> None:
        """See `door.Watcher`."""
        self._turned_away.labels(reason).inc()

    def trained(self, state: str, seconds: float) -> None:
        """A training of new words is over."""
        self._trainings.labels(state).inc()
        self._training_seconds.labels(state).inc(seconds)

    def page(self) -> bytes:
        """The answer of `/metrics`."""
        return generate_latest(self.registry)

    def of_streams(self, name: str) -> StreamMetrics:
        """For streams by the model of that name."""
        seconds, events = self._stream_seconds.labels(name), self._stream_events.labels(name)
        return StreamMetrics(seconds, events, self._stream_delay.labels(name))

    # --- what a library tells ---------------------------------------------------------------------

    def observer(self, name: str) -> ModelMetrics:
        """For the queue of the model of that name."""
        return ModelMetrics(self, name)

    def loaded(self, name: str, queue: Queue[Tensor, Any]) -> None:
        """A model answers from now on."""
        self.loaded_models.labels(name).set(1)
        self.queue.labels(name).set_function(lambda: queue.held)

    def gone(self, name: str) -> None:
        """A model was taken out of memory."""
        self.loaded_models.labels(name).set(0)
        self.queue.labels(name).set_function(lambda: 0)


@dataclass(frozen=True)
class StreamMetrics:
    """The metrics of the streams by one model; looking a label up takes longer than counting.

    Attributes:
        seconds: Of sound.
        events: Words.
        delay: From a message to what it brings, in seconds.
    """

    seconds: Counter
    events: Counter
    delay: Histogram


class ModelMetrics:
    """The metrics of one model's queue."""

    def __init__(self, metrics: Metrics, name: str) -> None:
        # Looking a label up takes longer than counting.
        self._wait = metrics.wait.labels(name)
        self._batch = metrics.batch.labels(name)
        self._compute = metrics.compute.labels(name)
        self._windows = metrics.windows.labels(name)
        self._failures = {kind: metrics.failures.labels(name, kind) for kind in ("error", "out_of_memory")}

    def waited(self, seconds: float) -> None:
        """See `Observer.waited`."""
        self._wait.observe(seconds)

    def ran(self, windows: int, seconds: float) -> None:
        """See `Observer.ran`."""
        self._batch.observe(windows)
        self._compute.observe(seconds)
        self._windows.inc(windows)

    def failed(self, kind: str) -> None:
        """See `Observer.failed`."""
        self._failures[kind].inc()
