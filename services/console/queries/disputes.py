"""Disputes of lines of invoices, and what became of each."""

from services.console.queries.amounts import with_money
from services.console.queries.snapshot import ReadConnection, Row, fetch, fetch_page
from shared.errors import Refused

NAME = "'DP-' || lpad(CAST(dispute_id AS text), 6, '0')"


async def disputes(
    connection: ReadConnection,
    billing_company: str | None = None,
    account_name: str | None = None,
    state: str | None = None,
    *,
    invoice_id: int | None = None,
    limit: int = 100,
) -> tuple[list[Row], int]:
    """Disputes, the newest first, and how many there are in all. None does not limit."""
    rows, total = await fetch_page(
        connection,
        f"{NAME} AS dispute, *",
        "invoicer.console_dispute WHERE (CAST(:company AS text) IS NULL OR billing_company ="
        " :company) AND (CAST(:account AS text) IS NULL OR account_name = :account)"
        " AND (CAST(:state AS text) IS NULL OR state = :state)"
        " AND (CAST(:invoice AS bigint) IS NULL OR invoice_id = :invoice)",
        "dispute_id DESC",
        limit,
        company=billing_company,
        account=account_name,
        state=state,
        invoice=invoice_id,
    )
    return [with_money(row, "amount", "disputed") for row in rows], total


async def dispute(connection: ReadConnection, name: str) -> Row:
    """One dispute with its entries. Refused if there is none."""
    found = await fetch(
        connection,
        f"SELECT {NAME} AS dispute, * FROM invoicer.console_dispute WHERE {NAME} = :name",
        name=name.upper(),
    )
    if not found:
        raise Refused(
            "unknown_dispute", f"there is no dispute {name}", "see `backoffice disputes list`"
        )
    (head,) = found
    entries = await fetch(
        connection,
        "SELECT kind, amount, entered_on, credit_note, actor, reason"
        " FROM invoicer.console_dispute_entry WHERE dispute_id = :id ORDER BY entry_no",
        id=head["dispute_id"],
    )
    currency = {"currency": head["currency"]}
    return with_money(head, "amount", "disputed") | {
        "entries": [with_money(row | currency, "amount") for row in entries]
    }
