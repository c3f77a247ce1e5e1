"""The command record-supplier-number: the reference by which a supplier knows a document."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.debtors.handlers.companies import company_of
from services.invoicer.self_billing import store
from services.invoicer.self_billing.rules import check_number
from shared.consumer.commands import Answer, CommandHandler
from shared.database import lock_companies
from shared.errors import Refused, Unavailable
from shared.events.commands import RecordSupplierNumber


async def on_record_supplier_number(
    connection: AsyncConnection, command: RecordSupplierNumber
) -> Answer:
    """Record the supplier's own number of a self-billed document, once and for all.

    A number that the supplier used for another document, of any billing company, is refused. The
    same once more changes nothing.
    """
    agreement, invoice = command.billing_company, command.invoice_number
    await lock_companies(connection, [agreement], exclusive=True)
    company = await company_of(connection, agreement)
    if company.agreement is None or not await store.is_document(connection, agreement, invoice):
        raise Refused(
            "unknown_invoice",
            f"{agreement} has no self-billed document {invoice}",
            "see `backoffice suppliers documents`",
        )
    supplier, number = company.agreement.supplier_id, command.supplier_number
    known = await store.number_of(connection, agreement, invoice)
    check_number(
        invoice, supplier, number, known, await store.document_with(connection, supplier, number)
    )
    if known is None and not await store.add_number(connection, command, supplier):
        raise Unavailable(f"{number} was used at the same time; the message is processed again")
    return Answer(
        f"{invoice} is {number} of supplier {supplier}"
        + ("; nothing was changed" if known else ""),
        details={
            "invoice_number": invoice,
            "supplier_id": supplier,
            "supplier_number": number,
        },
        subjects=[invoice, number],
    )


HANDLERS: Mapping[type[Any], CommandHandler] = {RecordSupplierNumber: on_record_supplier_number}
