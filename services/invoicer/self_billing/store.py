"""The suppliers' own numbers of self-billed documents: each is used once by a supplier."""

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import rows, run
from shared.events.commands import RecordSupplierNumber


async def is_document(connection: AsyncConnection, agreement: str, invoice_number: str) -> bool:
    """Return whether an agreement has a closed document of that number."""
    query = """
        SELECT 1 FROM invoicer.invoice
        WHERE billing_company = :agreement AND invoice_number = :number AND is_self_billed"""
    return bool(await rows(connection, query, agreement=agreement, number=invoice_number))


async def number_of(connection: AsyncConnection, agreement: str, invoice_number: str) -> str | None:
    """Return the supplier's own number of a document; None: it has none."""
    query = """
        SELECT supplier_number FROM invoicer.supplier_number
        WHERE billing_company = :agreement AND invoice_number = :number"""
    found = await rows(connection, query, agreement=agreement, number=invoice_number)
    return found[0].supplier_number if found else None


async def document_with(
    connection: AsyncConnection, supplier_id: str, supplier_number: str
) -> str | None:
    """Return the document for which a supplier used a number; None: it has not."""
    query = """
        SELECT invoice_number FROM invoicer.supplier_number
        WHERE supplier_id = :supplier AND supplier_number = :number"""
    found = await rows(connection, query, supplier=supplier_id, number=supplier_number)
    return found[0].invoice_number if found else None


async def add_number(
    connection: AsyncConnection, command: RecordSupplierNumber, supplier_id: str
) -> bool:
    """Add a number; return False if the supplier used it for another document meanwhile."""
    return bool(
        await run(
            connection,
            "INSERT INTO invoicer.supplier_number (billing_company, invoice_number, supplier_id,"
            " supplier_number, actor, reason) VALUES (:agreement, :invoice, :supplier, :number,"
            " :actor, :reason) ON CONFLICT (supplier_id, supplier_number) DO NOTHING",
            agreement=command.billing_company,
            invoice=command.invoice_number,
            supplier=supplier_id,
            number=command.supplier_number,
            actor=command.actor,
            reason=command.reason,
        )
    )
