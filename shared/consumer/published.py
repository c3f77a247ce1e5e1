"""Counts published messages under the names of FastStream's Prometheus middleware.

Messages are published by the producer of `shared.broker`, which no middleware of FastStream sees.
Dashboards made for FastStream find the same names and labels here.
"""

from faststream.prometheus.container import MetricsContainer
from faststream.prometheus.manager import MetricsManager
from faststream.prometheus.types import PublishingStatus

from shared import telemetry

BROKER = "kafka"


class PublishedMessages:
    """The metrics of what one service publishes."""

    def __init__(self, service: str) -> None:
        container = MetricsContainer(telemetry.REGISTRY, custom_label_names=())
        self._metrics = MetricsManager(container, app_name=service)

    def __call__(
        self, destination: str, messages: int, seconds: float, error: BaseException | None
    ) -> None:
        """Record one call of the producer for one topic; `error` is the reason if it failed."""
        status = PublishingStatus.error if error else PublishingStatus.success
        labels = {"broker": BROKER, "destination": destination}
        self._metrics.add_published_message(amount=messages, status=status, **labels)
        self._metrics.observe_published_message_duration(duration=seconds, **labels)
        if error is not None:
            kind = type(error).__name__
            self._metrics.add_published_message_exception(exception_type=kind, **labels)
