"""Drafts with their lines and their history."""

from typing import Any

from services.console.queries.amounts import with_money
from services.console.queries.snapshot import ReadConnection, Row, fetch
from shared.errors import Refused
from shared.stored import as_json

HEAD = (
    "draft, draft_id, billing_company, status, version, made_by, made_by_id, cut_off, option_name,"
    " workflow, needs_transfer, transfer_in_flight, document_type, account_name, currency,"
    " payment_terms, po_number, tax_regime, net, tax, total, hours, line_count, service_from,"
    " service_to, tax_totals, allowances, created_by, created_at, invoice_number, batch_id"
)


async def drafts(
    connection: ReadConnection,
    *,
    billing_company: str | None = None,
    status: str | None = None,
    limit: int = 200,
) -> list[Row]:
    """The drafts of a company, or of all, newest first; without a status those not ended."""
    rows = await fetch(
        connection,
        f"SELECT {HEAD} FROM invoicer.console_draft"
        " WHERE (CAST(:company AS text) IS NULL OR billing_company = :company)"
        " AND CASE WHEN CAST(:status AS text) IS NULL"
        " THEN status NOT IN ('processed', 'cancelled') ELSE status = :status END"
        " ORDER BY draft_id DESC LIMIT :most",
        company=billing_company,
        status=status,
        most=limit,
    )
    return [_head(row) for row in rows]


async def draft(connection: ReadConnection, name: str) -> Row:
    """A draft with its lines and its history. Refused if there is none of that id."""
    found = await fetch(
        connection, f"SELECT {HEAD} FROM invoicer.console_draft WHERE draft = :name", name=name
    )
    if not found:
        raise Refused("unknown_draft", f"there is no draft {name}", "see `backoffice drafts list`")
    head = _head(found[0])
    lines = await fetch(
        connection,
        "SELECT * FROM invoicer.console_draft_item WHERE draft_id = :id ORDER BY line_no",
        id=head["draft_id"],
    )
    events = await fetch(
        connection,
        "SELECT * FROM invoicer.console_draft_event WHERE draft_id = :id ORDER BY event_no",
        id=head["draft_id"],
    )
    return head | {
        "lines": [with_money(line, "amount", "tax_amount", "allowance_amount") for line in lines],
        "history": [event | {"details": as_json(event["details"])} for event in events],
    }


async def companies_of(connection: ReadConnection, names: list[str]) -> dict[str, tuple[str, int]]:
    """The billing company and the version of drafts, by name; of unknown ones nothing."""
    rows = await fetch(
        connection,
        "SELECT draft, billing_company, version FROM invoicer.console_draft"
        " WHERE draft = ANY(CAST(:names AS text[]))",
        names=names,
    )
    return {row["draft"]: (row["billing_company"], row["version"]) for row in rows}


def _head(row: Row) -> dict[str, Any]:
    stored = {name: as_json(row[name]) for name in ("tax_totals", "allowances")}
    return with_money(row, "net", "tax", "total") | stored
