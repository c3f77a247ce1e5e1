"""Received payments: what became of the money, and what a remittance file is checked against."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from services.console.queries.amounts import with_money
from services.console.queries.snapshot import ReadConnection, Row, fetch, fetch_page
from shared.errors import Refused

AMOUNTS = ("amount", "applied", "refunded", "taken_back", "unapplied")
CONDITIONS = (
    "(CAST(:company AS text) IS NULL OR billing_company = :company)"
    " AND (CAST(:account AS text) IS NULL OR account_name = :account)"
)


async def payments(
    connection: ReadConnection,
    billing_company: str | None,
    account_name: str | None,
    unapplied: bool,
    limit: int,
) -> tuple[list[Row], int]:
    """Received payments, the newest deposit first, and how many there are in all.

    `unapplied`: only those of which something is neither applied nor returned.
    """
    rows, total = await fetch_page(
        connection,
        "*",
        f"invoicer.console_received_payment WHERE {CONDITIONS}"
        + (" AND unapplied <> 0" if unapplied else ""),
        "received_on DESC, billing_company, check_id, recorded_at",
        limit,
        company=billing_company,
        account=account_name,
    )
    return [_shown(row) for row in rows], total


async def payments_with(
    connection: ReadConnection,
    check_id: str,
    billing_company: str | None,
    account_name: str | None,
    limit: int,
) -> list[Row]:
    """The payments with a check, the oldest deposit first, each with the documents and lines that
    it pays, at most `limit` of each, and its refunds and reversals. Refused if there is none.
    """
    found = await fetch(
        connection,
        f"SELECT * FROM invoicer.console_received_payment WHERE {CONDITIONS}"
        " AND check_id = :check_id ORDER BY received_on, recorded_at",
        company=billing_company,
        account=account_name,
        check_id=check_id,
    )
    if not found:
        raise Refused(
            "unknown_payment",
            f"there is no payment with the check {check_id}",
            "see `backoffice payments list`",
        )
    return [_shown(row) | await _entries(connection, row["payment_id"], limit) for row in found]


async def _entries(connection: ReadConnection, payment_id: str, limit: int) -> Row:
    documents = await fetch(
        connection,
        "SELECT i.invoice_number, m.entry_no, m.paid_on, m.amount, m.currency"
        " FROM invoicer.console_payment m JOIN invoicer.console_invoice i USING (invoice_id)"
        " WHERE m.ledger = 'hand' AND m.payment_id = :id"
        " ORDER BY m.paid_on, i.invoice_number, m.entry_no LIMIT :most",
        id=payment_id,
        most=limit,
    )
    lines = await fetch(
        connection,
        "SELECT i.invoice_number, k.line_no, sum(k.amount) AS amount, i.currency"
        " FROM invoicer.console_payment_line k JOIN invoicer.console_invoice i USING (invoice_id)"
        " WHERE k.payment_id = :id GROUP BY i.invoice_number, k.line_no, i.currency"
        " HAVING sum(k.amount) <> 0 ORDER BY 1, 2 LIMIT :most",
        id=payment_id,
        most=limit,
    )
    returns = await fetch(
        connection,
        "SELECT b.kind, b.returned_on, b.amount, r.currency, b.actor, b.reason"
        " FROM invoicer.console_payment_return b"
        " JOIN invoicer.console_received_payment r USING (payment_id)"
        " WHERE payment_id = :id ORDER BY b.entry_no LIMIT :most",
        id=payment_id,
        most=limit,
    )
    return {
        "entries": [with_money(row, "amount") for row in documents],
        "lines": [with_money(row, "amount") for row in lines],
        "returns": [with_money(row, "amount") for row in returns],
    }


def _shown(row: Row) -> Row:
    state = (
        "reversed"
        if row["is_reversed"]
        else "unapplied"
        if row["unapplied"] == row["amount"]
        else "part applied"
        if row["unapplied"]
        else "applied"
        if row["applied"]
        else "refunded"
    )
    return with_money(row, *AMOUNTS) | {"state": state}


async def company_of_payer(
    connection: ReadConnection, account_name: str, billing_company: str | None
) -> str:
    """The billing company that is named, else the one that has documents of the payer."""
    found = await _companies(connection, [account_name])
    return _one(billing_company, found.get(account_name, []), f"documents of {account_name}")


async def company_of_check(
    connection: ReadConnection, check_id: str, billing_company: str | None
) -> str:
    """The billing company that is named, else the one that has a payment with the check."""
    found = await fetch(
        connection,
        "SELECT DISTINCT billing_company FROM invoicer.console_received_payment"
        " WHERE check_id = :check_id ORDER BY 1",
        check_id=check_id,
    )
    companies = [row["billing_company"] for row in found]
    return _one(billing_company, companies, f"a payment with the check {check_id}")


def _one(named: str | None, found: list[str], what: str) -> str:
    if named is not None:
        return named
    if len(found) != 1:
        have = f"{', '.join(found)} have" if found else "no billing company has"
        raise Refused(
            "ambiguous_company" if found else "unknown_company",
            f"{have} {what}",
            "name one with --billing-company",
        )
    return found[0]


async def _companies(
    connection: ReadConnection, account_names: Iterable[str]
) -> dict[str, list[str]]:
    """The billing companies that have documents of each Account Name."""
    found = await fetch(
        connection,
        "SELECT DISTINCT account_name, billing_company FROM invoicer.console_invoice"
        " WHERE account_name = ANY(CAST(:names AS text[])) ORDER BY 1, 2",
        names=sorted(set(account_names)),
    )
    companies: dict[str, list[str]] = {}
    for row in found:
        companies.setdefault(row["account_name"], []).append(row["billing_company"])
    return companies


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """What a remittance file is checked against of a closed document."""

    account_name: str
    document_type: str
    currency: str
    lines: int
    balance: Decimal


@dataclass(frozen=True, slots=True)
class RemittanceFacts:
    """The companies of payers; documents by company and number; payments by company and identity
    (payer, check, date of deposit), those that are not reversed.
    """

    companies: dict[str, list[str]]
    documents: dict[tuple[str, str], StoredDocument]
    payments: dict[tuple[str, str, str, date], tuple[Decimal, str, str]]


async def remittance_facts(
    connection: ReadConnection,
    account_names: Iterable[str],
    numbers: Iterable[str],
    check_ids: Iterable[str],
) -> RemittanceFacts:
    """What is stored of the payers, documents and checks of a remittance file."""
    documents = await fetch(
        connection,
        "SELECT i.billing_company, i.invoice_number, i.account_name, i.document_type, i.currency,"
        " i.line_count, b.balance FROM invoicer.console_invoice i CROSS JOIN LATERAL ("
        " SELECT s.balance FROM invoicer.console_invoice_balance s"
        " WHERE s.invoice_id = i.invoice_id) b"
        " WHERE i.invoice_number = ANY(CAST(:numbers AS text[]))",
        numbers=sorted(set(numbers)),
    )
    received = await fetch(
        connection,
        "SELECT billing_company, account_name, check_id, received_on, amount, currency, bank"
        " FROM invoicer.console_received_payment"
        " WHERE check_id = ANY(CAST(:checks AS text[])) AND NOT is_reversed",
        checks=sorted(set(check_ids)),
    )
    return RemittanceFacts(
        await _companies(connection, account_names),
        {
            (row["billing_company"], row["invoice_number"]): StoredDocument(
                row["account_name"],
                row["document_type"],
                row["currency"],
                row["line_count"],
                row["balance"],
            )
            for row in documents
        },
        {
            (row["billing_company"], row["account_name"], row["check_id"], row["received_on"]): (
                row["amount"],
                row["currency"],
                row["bank"],
            )
            for row in received
        },
    )
