"""Self-billing agreements, and the documents that are issued for suppliers."""

from services.console.queries.amounts import with_money
from services.console.queries.snapshot import ReadConnection, Row, fetch, fetch_page
from shared.errors import Refused
from shared.money import plain
from shared.terms import agreement_id

DOCUMENT = (
    "billing_company, invoice_number, document_type, d.account_name, supplier_number, invoice_date,"
    " due_date, currency, net, tax, total, paid, balance, state"
)
AMOUNTS = ("net", "tax", "total", "paid", "balance")


async def agreements(connection: ReadConnection, buyer: str | None = None) -> list[Row]:
    """The agreements with the settings of their sellers, each with its tax rates."""
    found = await fetch(
        connection,
        "SELECT * FROM fee_realizer.console_self_billing"
        " WHERE CAST(:buyer AS text) IS NULL OR buyer = :buyer ORDER BY buyer, supplier_id",
        buyer=buyer,
    )
    taxes = await fetch(
        connection,
        "SELECT billing_company, tax_code, percent, from_date FROM fee_realizer.console_tax_rate"
        " WHERE billing_company = ANY(CAST(:ids AS text[])) ORDER BY 1, 2, 4",
        ids=[row["billing_company"] for row in found],
    )
    return [
        row
        | {
            "taxes": [
                {
                    "tax_code": tax["tax_code"],
                    "percent": plain(tax["percent"]),
                    "from_date": str(tax["from_date"]),
                }
                for tax in taxes
                if tax["billing_company"] == row["billing_company"]
            ]
        }
        for row in found
    ]


async def account_of(connection: ReadConnection, supplier_id: str, buyer: str) -> str:
    """The Account Name of a supplier under its agreement. Refused without either."""
    an_id = agreement_id(supplier_id, buyer)
    found = await fetch(
        connection,
        "SELECT account_name FROM fee_realizer.console_self_billing WHERE billing_company = :id",
        id=an_id,
    )
    if not found:
        raise Refused(
            "no_self_billing",
            f"{buyer} has no self-billing agreement with supplier {supplier_id}",
            "see `backoffice suppliers agreement list`",
        )
    if not found[0]["account_name"]:
        raise Refused(
            "no_account_name",
            f"supplier {supplier_id} has no Account Name",
            f"`backoffice suppliers agreement set {supplier_id} --billing-company {buyer}"
            " --account-name NAME`",
        )
    return str(found[0]["account_name"])


async def self_billed(
    connection: ReadConnection, buyer: str | None, supplier_id: str | None, limit: int
) -> tuple[list[Row], int]:
    """Self-billed documents, the newest first, and how many there are in all.

    `balance`: what is still to pay.
    """
    rows, total = await fetch_page(
        connection,
        DOCUMENT,
        "invoicer.console_self_billed d JOIN fee_realizer.console_self_billing g"
        " USING (billing_company)"
        " WHERE (CAST(:buyer AS text) IS NULL OR g.buyer = :buyer)"
        " AND (CAST(:supplier AS text) IS NULL OR g.supplier_id = :supplier)",
        "invoice_id DESC",
        limit,
        buyer=buyer,
        supplier=supplier_id,
    )
    return [with_money(row, *AMOUNTS) for row in rows], total
