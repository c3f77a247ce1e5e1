"""How far the services are with what was published: work in progress, arrivals, and what
timesheets became.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from decimal import Decimal

from services.console.queries.amounts import at_minor_unit
from services.console.queries.snapshot import SQL, ReadConnection, fetch
from services.console.queries.source_revisions import in_chunks

STORED_SOURCE = (
    "SELECT source_id AS id, max(revision) AS revision"
    " FROM fee_realizer.console_source_revision WHERE document_kind = '{kind}'"
    " AND document_id = ANY(CAST(:ids AS text[])) AND source_id = document_id"
    " GROUP BY 1"
)
STORED = {
    "billto": "SELECT node_id AS id, revision FROM invoicer.console_billto_node"
    " WHERE node_id = ANY(CAST(:ids AS text[]))",
    "requirement": "SELECT requirement_id AS id, revision FROM fee_realizer.console_requirement"
    " WHERE requirement_id = ANY(CAST(:ids AS text[]))",
    "timesheet": STORED_SOURCE.format(kind="timesheet"),
    "placement": STORED_SOURCE.format(kind="placement"),
}


@dataclass(frozen=True, slots=True)
class WorkInProgress:
    """What the services still have to do: documents to price (again), realizations to settle."""

    pricing_queue: int
    in_flight: int

    @property
    def total(self) -> int:
        """How many documents are in progress."""
        return self.pricing_queue + self.in_flight


@dataclass(slots=True)
class TimesheetTotals:
    """What timesheets became: lines that are not replaced, hours, amount per currency, and holds
    by code.
    """

    timesheets: int = 0
    lines: int = 0
    hours: Decimal = Decimal(0)
    amounts: dict[str, Decimal] = field(default_factory=dict)
    held: Counter[str] = field(default_factory=Counter)
    hold_messages: dict[str, str] = field(default_factory=dict)


async def work_in_progress(connection: ReadConnection) -> WorkInProgress:
    """What is in progress now."""
    (row,) = await fetch(connection, SQL["work_in_progress"])
    return WorkInProgress(**row)


async def stored_revisions(
    connection: ReadConnection, kind: str, ids: Collection[str]
) -> dict[str, int]:
    """The newest stored revision of each of these documents, all of one kind."""
    revisions: dict[str, int] = {}
    for chunk in in_chunks(ids):
        rows = await fetch(connection, STORED[kind], ids=chunk)
        revisions |= {row["id"]: int(row["revision"]) for row in rows}
    return revisions


async def count_rejected_records(connection: ReadConnection, keys: Collection[str]) -> int:
    """How many open dead letters have one of these keys."""
    number = 0
    for chunk in in_chunks(keys):
        rows = await fetch(
            connection,
            "SELECT count(*) AS number FROM (SELECT record_key, state FROM"
            " fee_realizer.console_dead_letter"
            " UNION ALL SELECT record_key, state FROM invoicer.console_dead_letter) d"
            " WHERE d.state = 'open' AND d.record_key = ANY(CAST(:keys AS bytea[]))",
            keys=[key.encode() for key in chunk],
        )
        number += int(rows[0]["number"])
    return number


async def timesheet_totals(
    connection: ReadConnection, timesheet_ids: Collection[str]
) -> TimesheetTotals:
    """What these timesheets became, and which of them wait."""
    totals = TimesheetTotals(timesheets=len(timesheet_ids))
    amounts: Counter[str] = Counter()
    for chunk in in_chunks(timesheet_ids):
        for row in await fetch(
            connection,
            "SELECT p.currency, count(*) AS lines, sum(p.amount) AS amount,"
            " coalesce(sum(p.quantity) FILTER (WHERE p.unit = 'HUR'), 0) AS hours"
            " FROM invoicer.console_pay_line p"
            " WHERE p.document_kind = 'timesheet' AND p.document_id = ANY(CAST(:ids AS text[]))"
            " AND NOT EXISTS (SELECT FROM invoicer.console_replaced_line r WHERE r.pay_line_id ="
            " p.pay_line_id)"
            " GROUP BY p.currency",
            ids=chunk,
        ):
            totals.lines += row["lines"]
            totals.hours += row["hours"]
            amounts[row["currency"]] += row["amount"]
        for row in await fetch(
            connection,
            "SELECT hold_code, count(*) AS number, min(hold_message) AS message FROM"
            " fee_realizer.console_document"
            " WHERE document_kind = 'timesheet' AND document_id = ANY(CAST(:ids AS text[]))"
            " AND hold_code IS NOT NULL GROUP BY hold_code",
            ids=chunk,
        ):
            totals.held[row["hold_code"]] += row["number"]
            totals.hold_messages.setdefault(row["hold_code"], row["message"])
    totals.amounts = {
        currency: at_minor_unit(Decimal(amount), currency) for currency, amount in amounts.items()
    }
    return totals
