"""Log, metrics and health of a worker. All metric names are listed here.

Health is progress, not a running process: `/readyz` answers 503 when the last progress is too old.
"""

import json
import logging
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from shared.settings import settings

REGISTRY = CollectorRegistry()
DEAD_LETTERS = Gauge("backoffice_dead_letters", "Open dead letters", ["service"], registry=REGISTRY)
OUTBOX = Gauge(
    "backoffice_outbox",
    "Entries of the outbox: not published, or published and not deleted yet; a chunk counts as one",
    ["service"],
    registry=REGISTRY,
)
HELD_DOCUMENTS = Gauge(
    "backoffice_held_documents", "Documents that wait, by reason", ["code"], registry=REGISTRY
)
TO_PRICE = Gauge(
    "backoffice_documents_to_price", "Documents that wait to be priced again", registry=REGISTRY
)
TO_PRICE_AGE = Gauge(
    "backoffice_documents_to_price_age_seconds",
    "Seconds since the oldest of the documents that wait to be priced again was queued",
    registry=REGISTRY,
)
PAY_LINES = Gauge(
    "backoffice_pay_lines",
    "Open pay lines by derived status",
    ["billing_company", "status"],
    registry=REGISTRY,
)
PENDING_AMOUNT = Gauge(
    "backoffice_pending_amount",
    "Net of pending lines",
    ["billing_company", "kind", "currency"],
    registry=REGISTRY,
)
INVOICES = Gauge(
    "backoffice_invoices",
    "Closed documents",
    ["billing_company", "document_type"],
    registry=REGISTRY,
)
STARTED = Gauge(
    "backoffice_start_time_seconds",
    "When this process started, in seconds since 1970",
    ["service"],
    registry=REGISTRY,
)
LAST_PROGRESS = Gauge(
    "backoffice_last_progress_age_seconds",
    "Seconds since this worker last made progress",
    ["service"],
    registry=REGISTRY,
)
WATERMARK_BEHIND = Gauge(
    "backoffice_watermark_behind_days",
    "Days between the watermark of due lines and the company's today",
    ["billing_company"],
    registry=REGISTRY,
)
DELIVERIES = Gauge(
    "backoffice_deliveries", "Deliveries by state", ["ledger", "state"], registry=REGISTRY
)
DELIVERIES_ENDED = Counter(
    "backoffice_sync_attempts_total",
    "Attempts to deliver by outcome",
    ["kind", "outcome"],
    registry=REGISTRY,
)
OLDEST_UNSYNCED = Gauge(
    "backoffice_sync_oldest_unsynced_seconds",
    "Age of the oldest delivery that is neither posted nor refused",
    registry=REGISTRY,
)
MAILS = Gauge(
    "backoffice_mails",
    "Documents sent by e-mail, by state; one for each address",
    ["billing_company", "state"],
    registry=REGISTRY,
)
MAILS_ENDED = Counter(
    "backoffice_mail_attempts_total",
    "Attempts to send an e-mail by outcome",
    ["outcome"],
    registry=REGISTRY,
)
OLDEST_UNSENT = Gauge(
    "backoffice_mail_oldest_unsent_seconds",
    "Age of the oldest e-mail that waits to be sent",
    registry=REGISTRY,
)
LAG = Gauge(
    "kafka_consumergroup_lag",
    "Records that the group has still to read: all up to the last stable offset of the partition"
    " when it committed nothing",
    ["consumergroup", "topic", "partition"],
    registry=REGISTRY,
)
LAG_SECONDS = Gauge(
    "kafka_consumergroup_lag_seconds",
    "Age of the oldest record that the group has still to read; 0 when there is none",
    ["consumergroup", "topic", "partition"],
    registry=REGISTRY,
)
STOPPED_PARTITIONS = Gauge(
    "backoffice_stopped_partitions",
    "Partitions that a consumer does not read on: undecodable, or too_many_unreadable records",
    ["service", "topic", "code"],
    registry=REGISTRY,
)
BATCH_SECONDS = Histogram(
    "backoffice_batch_duration_seconds",
    "Time to generate a batch",
    registry=REGISTRY,
    buckets=(0.1, 0.5, 1, 2, 5, 10, 30, 60, 120),
)
LOG_LINES_LOST = Counter(
    "backoffice_log_lines_lost",
    "Log lines that could not be written, for example because the disk is full",
    registry=REGISTRY,
)
TRANSACTIONS = Counter(
    "backoffice_transactions_total",
    "Transactions of messages by outcome",
    ["service", "topic", "outcome"],
    registry=REGISTRY,
)
COMMANDS_REFUSED = Counter(
    "backoffice_commands_refused_total",
    "Commands refused because of signature, key, age or permission, by code",
    ["service", "code"],
    registry=REGISTRY,
)
RECORDS = Counter(
    "backoffice_records_total",
    "Records by outcome",
    ["service", "topic", "outcome"],
    registry=REGISTRY,
)


class SafeLogger(structlog.make_filtering_bound_logger(logging.NOTSET)):  # type: ignore[misc]
    """A logger that never raises into the work, whatever prevents it from writing a line.

    A full disk that stops a background loop would do more harm than a line that is lost; lost lines
    are counted.
    """

    def _proxy_to_logger(self, *event: Any, **values: Any) -> Any:
        try:
            return super()._proxy_to_logger(*event, **values)
        except Exception:
            LOG_LINES_LOST.inc()
            return None


def log_setup(service: str) -> None:
    """Log to stderr: readable lines on a terminal, JSON elsewhere. Ids only, no secrets."""
    logging.raiseExceptions = False  # the standard library's handlers ignore errors then, too
    as_json = settings().log_format == "json" or (
        settings().log_format == "auto" and not sys.stderr.isatty()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=json.dumps)
            if as_json
            else structlog.dev.ConsoleRenderer(),
        ],
        wrapper_class=SafeLogger,
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    structlog.contextvars.bind_contextvars(service=service, replica=settings().replica)
    STARTED.labels(service).set_to_current_time()
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s %(message)s"
    )


def log() -> structlog.stdlib.BoundLogger:
    """Return the logger."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger()
    return logger


@dataclass
class Progress:
    """When each loop of this worker last made progress, and why consumers are paused."""

    service: str
    last: dict[str, float] = field(default_factory=dict)
    paused: dict[str, str] = field(default_factory=dict)

    def mark(self, loop: str) -> None:
        """Record progress of a loop: it committed a transaction, or found nothing to do."""
        self.last[loop] = time.monotonic()

    def age(self) -> float:
        """Return the seconds since the slowest loop made progress."""
        return max((time.monotonic() - at for at in self.last.values()), default=float("inf"))

    def ready(self) -> tuple[bool, str]:
        """Return whether work flows, with a message."""
        if self.paused:
            return False, "; ".join(
                f"{topic} is paused: {why}" for topic, why in sorted(self.paused.items())
            )
        if self.age() > settings().progress_limit_seconds:
            slow = (
                max(self.last, key=lambda loop: time.monotonic() - self.last[loop])
                if self.last
                else "start"
            )
            return False, f"{slow} made no progress for {self.age():.0f} s: see the worker's log"
        return True, "work flows"
