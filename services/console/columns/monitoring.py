"""Columns of what those who watch the system look at."""

from services.console.columns import Column

WORKERS = [
    Column("name"),
    Column("state"),
    Column("uptime", "runs for"),
    Column("restarts", figures=True),
    Column("last_progress", "last progress, ago"),
    Column("reason", most=160),
]
SERVICES = [
    Column("service"),
    Column("outbox", "messages to publish", figures=True),
    Column("dead_letters", "dead letters", figures=True),
    Column("stopped", "partitions not read on", figures=True),
]
STOPPED = [
    Column("service"),
    Column("topic"),
    Column("partition", "part", figures=True),
    Column("offset", figures=True),
    Column("following", "skip to", figures=True),
    Column("code"),
    Column("stopped_at", "stopped"),
    Column("message", most=600),
]
UNDELIVERED = [
    Column("kind", ""),
    Column("channel", "ledger or company"),
    Column("waiting", "not delivered", figures=True),
    Column("invoice_number", "oldest"),
    Column("age", "waits for"),
    Column("state"),
    Column("message", most=160),
]
WATERMARKS = [
    Column("billing_company"),
    Column("watermark", "announced up to"),
    Column("today"),
    Column("behind", "days behind", figures=True),
]
OFFENDERS = [Column("id", most=80), Column("detail", most=600)]
