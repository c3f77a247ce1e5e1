"""How far the services are with what was published: documents that still move, holds, and what a set of timesheets came to."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from decimal import Decimal

from services.console.client.books import ReadConnection, Row, found
from services.console.client.figures import at_minor_unit
from services.console.client.revisions import in_chunks

_MOVING = (
    "SELECT (SELECT count(*) FROM fee_realizer.pricing_queue) AS pricing_queue,"
    " (SELECT count(*) FROM fee_realizer.latest_realization l LEFT JOIN invoicer.settled_document s USING (document_kind, document_id)"
    "  WHERE coalesce(s.realization_no, 0) < l.realization_no) AS in_flight"
)
_ARRIVED = {
    "billto": "SELECT node_id AS id, revision FROM invoicer.billto_node WHERE node_id = ANY(CAST(:ids AS text[]))",
    "requirement": "SELECT requirement_id AS id, revision FROM fee_realizer.known_requirement WHERE requirement_id = ANY(CAST(:ids AS text[]))",
    "timesheet": "SELECT source_id AS id, max(revision) AS revision FROM fee_realizer.document_revision"
    " WHERE document_kind = 'timesheet' AND document_id = ANY(CAST(:ids AS text[])) AND source_id = document_id GROUP BY 1",
}


@dataclass(frozen=True, slots=True)
class Moving:
    """What is under way between the services: documents to be priced again, statements not settled yet."""

    pricing_queue: int
    in_flight: int

    @property
    def still(self) -> bool:
        """Whether nothing moves."""
        return not (self.pricing_queue or self.in_flight)


@dataclass(slots=True)
class Worth:
    """What a set of timesheets came to: lines that stand (open, on a draft or on a document), hours, amount per currency, holds."""

    timesheets: int = 0
    lines: int = 0
    hours: Decimal = Decimal(0)
    amounts: dict[str, Decimal] = field(default_factory=dict)
    held: Counter[str] = field(default_factory=Counter)
    hold_sentences: dict[str, str] = field(default_factory=dict)


async def moving(connection: ReadConnection) -> Moving:
    """What is under way now."""
    (row,) = await found(connection, _MOVING)
    return Moving(**row)


async def arrived(connection: ReadConnection, kind: str, ids: Collection[str]) -> dict[str, int]:
    """The newest revision in the books of each of these documents (billto, requirement, timesheet)."""
    revisions: dict[str, int] = {}
    for chunk in in_chunks(ids):
        revisions |= {
            row["id"]: int(row["revision"])
            for row in await found(connection, _ARRIVED[kind], ids=chunk)
        }
    return revisions


async def refused_records(connection: ReadConnection, keys: Collection[str]) -> int:
    """How many open dead letters carry one of these keys: records that nobody could read."""
    number = 0
    for chunk in in_chunks(keys):
        rows = await found(
            connection,
            "SELECT count(*) AS number FROM (SELECT record_key, state FROM fee_realizer.dead_letter"
            " UNION ALL SELECT record_key, state FROM invoicer.dead_letter) d"
            " WHERE d.state = 'open' AND d.record_key = ANY(CAST(:keys AS bytea[]))",
            keys=[key.encode() for key in chunk],
        )
        number += int(rows[0]["number"])
    return number


async def worth_of(connection: ReadConnection, timesheet_ids: Collection[str]) -> Worth:
    """What these timesheets came to, and which of them wait."""
    worth = Worth(timesheets=len(timesheet_ids))
    for chunk in in_chunks(timesheet_ids):
        for row in await _standing(connection, chunk):
            worth.lines += row["lines"]
            worth.hours += row["hours"]
            worth.amounts[row["currency"]] = (
                worth.amounts.get(row["currency"], Decimal(0)) + row["amount"]
            )
        for row in await _holds(connection, chunk):
            worth.held[row["hold_code"]] += row["number"]
            worth.hold_sentences.setdefault(row["hold_code"], row["message"])
    worth.amounts = {
        currency: at_minor_unit(amount, currency) for currency, amount in worth.amounts.items()
    }
    return worth


async def _standing(connection: ReadConnection, ids: list[str]) -> list[Row]:
    return await found(
        connection,
        "SELECT p.currency, count(*) AS lines, coalesce(sum(p.quantity) FILTER (WHERE p.unit = 'HUR'), 0) AS hours, sum(p.amount) AS amount"
        " FROM invoicer.pay_line p"
        " WHERE p.document_kind = 'timesheet' AND p.document_id = ANY(CAST(:ids AS text[]))"
        " AND NOT EXISTS (SELECT FROM invoicer.replaced_line r WHERE r.pay_line_id = p.pay_line_id)"
        " GROUP BY p.currency",
        ids=ids,
    )


async def _holds(connection: ReadConnection, ids: list[str]) -> list[Row]:
    return await found(
        connection,
        "SELECT hold_code, count(*) AS number, min(hold_message) AS message FROM fee_realizer.document_state"
        " WHERE document_kind = 'timesheet' AND document_id = ANY(CAST(:ids AS text[])) AND hold_code IS NOT NULL GROUP BY hold_code",
        ids=ids,
    )
