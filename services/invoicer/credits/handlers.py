"""Credits by hand: a credit note that closes at once, and the settlement of its source documents.

It runs under the company's exclusive lock and the locks of the documents. It closes one document as
a batch closes many. Then every source document is settled again from its settled realization, so
that what is open afterwards is its value less what is settled.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.credits import rules
from services.invoicer.credits import store as credits
from services.invoicer.credits.rules import IssuedDocument, LineCredit, ReturnedFee
from services.invoicer.debtors.handlers.companies import company_of, enabled_company_of
from services.invoicer.fees import store as fee_store
from services.invoicer.invoices.handlers.closing import (
    ClosedDocuments,
    close_documents,
    plan_numbering,
    take_numbers,
)
from services.invoicer.invoices.store import closing, numbers
from services.invoicer.lines.rules import DocKey, NewLine
from services.invoicer.lines.store import lines
from services.invoicer.lines.store.lines import OpenedLine
from services.invoicer.settlement import store as settlement
from services.invoicer.settlement.handlers.realizations import (
    SettlementChanges,
    require_locked,
    settle_again,
)
from services.invoicer.settlement.rules.realizations import SettledDocument
from shared import clock, faults
from shared.consumer.commands import Answer, CommandHandler
from shared.database import lock_billto, lock_companies
from shared.errors import Refused
from shared.events.billing import Finding
from shared.events.commands import CreditInvoice
from shared.money import ZERO, plain, rounded, written
from shared.terms import counted

MOST_LISTED = 100
MOST_NAMED = 20


async def on_credit_invoice(connection: AsyncConnection, command: CreditInvoice) -> Answer:
    """Credit a closed document or some of its lines, and settle its source documents again."""
    await company_of(connection, command.billing_company)  # read again under the lock
    number = command.invoice_number
    issued = (await credits.issued_for(connection, command.billing_company, [number])).get(number)
    if issued is None:
        raise Refused(
            "unknown_invoice",
            f"{command.billing_company} has no document {number}",
            "see `backoffice invoices search`, or check the spelling",
        )
    heads = await lock_to_credit(connection, command.billing_company, issued)
    issued_lines = (await credits.issued_lines(connection, [issued.invoice_id]))[issued.invoice_id]
    who = {"actor": command.actor, "reason": command.reason}
    undone: dict[DocKey, Decimal] = {}
    if command.to == "reissue":
        undone = await credits.undo_write_offs(connection, issued.invoice_id, **who)
    requested = [(line.line_no, line.quantity) for line in command.lines]
    decided = rules.decide(issued, issued_lines, requested, may_be_nothing=bool(undone))
    await faults.point("batch_selected")
    fees = await _returned_fees(connection, issued, issued_lines, decided)
    of_fees = [each.credit for each in fees if each.credit is not None]
    note = (
        await _close(connection, command, issued, [*decided, *of_fees], heads) if decided else None
    )
    if note is not None:
        await _keep_fees(connection, note.invoice_ids[0], issued, decided, fees)
    if command.to == "write-off":
        written_off = rules.written_off(
            (each.of.document, each.of.realized.line_key, each.value) for each in decided
        )
        await credits.add_write_offs(connection, written_off, command_id=command.command_id, **who)
    await faults.point("batch_numbered")
    documents = {each.of.document for each in decided} | undone.keys()
    changes, withheld = await settle_again(connection, {key: heads[key] for key in documents})
    await settlement.note_ended_citations(connection, documents)
    if note is not None:
        await take_numbers(connection, note)
    return _answer(command, issued, decided, of_fees, note, changes, withheld, undone)


async def _returned_fees(
    connection: AsyncConnection,
    issued: IssuedDocument,
    lines: Sequence[rules.IssuedLine],
    decided: Sequence[LineCredit],
) -> list[ReturnedFee]:
    """Return what the credits return of the MSP fees of the document; most documents have none."""
    if issued.option is None:
        return []
    fees = await fee_store.issued_fees(connection, issued.invoice_id)
    line_fees = await fee_store.issued_line_fees(connection, issued.invoice_id)
    return rules.returned_fees(lines, decided, fees, line_fees, issued.currency)


async def _keep_fees(
    connection: AsyncConnection,
    invoice_id: int,
    issued: IssuedDocument,
    decided: Sequence[LineCredit],
    fees: Sequence[ReturnedFee],
) -> None:
    """Keep what the lines of a credit note return of fees: the lines of fees come last on it."""
    line_nos = {each.of.line_no: number for number, each in enumerate(decided, start=1)}
    last = len(decided)
    noted, of_lines = [], []
    for each in fees:
        last += each.credit is not None
        noted.append((each.fee, each.base, each.amount, last if each.credit else None))
        of_lines += [
            (line_nos[number], each.fee.fee_no, *part) for number, part in each.lines.items()
        ]
    await fee_store.add_returned_fees(connection, invoice_id, issued.invoice_id, noted, of_lines)


async def lock_to_credit(
    connection: AsyncConnection, billing_company: str, issued: IssuedDocument
) -> dict[DocKey, SettledDocument]:
    """Lock the source documents of the invoice and their companies, and return the documents.

    Which documents these are never changes.
    """
    documents = await credits.documents_of(connection, issued.invoice_id)
    companies = {billing_company} | await lines.companies_of(connection, documents)
    await lock_billto(connection)
    await lock_companies(connection, companies, exclusive=True)
    heads = await settlement.settled_documents_for(connection, documents, lock=True)
    await faults.point("after_locks")
    require_locked(companies, await lines.companies_of(connection, documents))
    return heads


async def _close(
    connection: AsyncConnection,
    command: CreditInvoice,
    issued: IssuedDocument,
    decided: Sequence[LineCredit],
    heads: Mapping[DocKey, SettledDocument],
) -> ClosedDocuments:
    """Open the credit lines, then number and close them as a batch of one document."""
    company = await enabled_company_of(connection, command.billing_company)
    series = await numbers.series_for(connection, company)
    today = clock.today_of(company.time_zone)
    numbering = plan_numbering(series, today, command.invoice_date)
    rules.check_date(issued, numbering.invoice_date)
    opened = [
        OpenedLine(
            each.of.document,
            1 if each.of.is_fee else heads[each.of.document].realization_no,
            NewLine(
                rules.credit_line(issued, each, command.to, command.command_id),
                (issued.invoice_id, each.of.line_no),
                correction=True,
            ),
        )
        for each in decided
    ]
    days = {company.billing_company: today}
    await lines.add_lines(connection, opened, lambda line: False, days)
    await credits.select_credit_lines(connection, issued, decided, command.command_id)
    buyers = await closing.corrected_buyers(connection, [issued.invoice_id])
    document, buyer = rules.document_of(issued, decided), buyers[issued.invoice_id]
    return await close_documents(
        connection, command, company, issued.cut_off, numbering, [document], [buyer]
    )


def _answer(
    command: CreditInvoice,
    issued: IssuedDocument,
    decided: Sequence[LineCredit],
    of_fees: Sequence[LineCredit],
    note: ClosedDocuments | None,
    changes: SettlementChanges,
    withheld: Sequence[DocKey],
    taken_back: Mapping[DocKey, Decimal],
) -> Answer:
    currency, listed = issued.currency, decided[:MOST_LISTED]
    net, allowance, tax, undone = _sums(decided, taken_back)
    opened = sum((each.new.realized.amount for each in changes.opened), ZERO)
    replaced = sum((each.pay_line.realized.amount for each in changes.replaced), ZERO)
    message: list[str] = []
    made: dict[str, Any] = {"batch_id": None, "invoice_number": None}
    if note is not None:
        number = note.documents[0].invoice_number
        message.append(_in_words(number, issued, net + allowance, tax, of_fees))
        made = {
            "batch_id": note.batch.batch_id,
            "invoice_number": number,
            "invoice_date": str(note.batch.invoice_date),
            "totals": list(note.batch.totals),
        }
    if command.to == "write-off":
        message.append("written off")
    else:
        instead = f", instead of {written(replaced, currency)} that was open"
        message.append(
            f"open again: {written(opened, currency)} in {counted(len(changes.opened), 'line')}"
            + (instead if changes.replaced else "")
        )
    if undone:
        message.append(f"written off before and taken back: {written(undone, currency)}")
    changed = {each.of.document for each in decided} | taken_back.keys()
    documents = sorted({document_id for _, document_id in changed})
    expected = command.to == "write-off" or opened - replaced == net + undone
    findings = _withheld(withheld)
    if not (findings or expected):
        findings = _unexpected(opened - replaced, net + undone, currency, documents)
    return Answer(
        "; ".join(message),
        details=made
        | {
            "credits": issued.invoice_number,
            "to": command.to,
            "lines": len(decided),
            "listed": [_listed(each, currency) for each in listed],
            **({"fees": _money(_sums(of_fees, {})[0], currency)} if of_fees else {}),
            "open_again": {
                "lines": len(changes.opened),
                "net": _money(opened, currency),
                "was_open": _money(replaced, currency),
                "currency": currency,
            },
            "written_off_taken_back": _money(undone, currency),
        },
        findings=findings,
        before={str(each.of.line_no): each.of.remaining.as_strings() for each in listed},
        after={str(each.of.line_no): each.left.as_strings() for each in listed},
        subjects=[
            *([] if note is None else [made["batch_id"], made["invoice_number"]]),
            issued.invoice_number,
            issued.account_name,
            *documents[:MOST_LISTED],
        ],
        publish_after=[] if note is None else note.outbox_ids,
    )


def _in_words(
    number: str,
    issued: IssuedDocument,
    net: Decimal,
    tax: Decimal,
    of_fees: Sequence[LineCredit],
) -> str:
    """Say what a credit note comes to with the MSP fees that it returns."""
    fees, _, fee_tax, _ = _sums(of_fees, {})
    currency = issued.currency
    included = f", an MSP fee of {written(fees, currency)} included" if of_fees else ""
    return (
        f"credit note {number} for {issued.invoice_number}: {written(net + fees, currency)} net,"
        f" {written(tax + fee_tax, currency)} tax{included}"
    )


def _sums(
    decided: Sequence[LineCredit], taken_back: Mapping[DocKey, Decimal]
) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    """Return what is credited of the lines, their allowances and tax, and what was written off."""
    net = -sum((each.value.amount for each in decided), ZERO)
    allowance = -sum((each.allowance for each in decided), ZERO)
    tax = -sum((each.tax for each in decided), ZERO)
    return net, allowance, tax, sum(taken_back.values(), ZERO)


def _withheld(documents: Sequence[DocKey]) -> list[Finding]:
    """Return a finding if withheld documents could not be settled again."""
    if not documents:
        return []
    return [
        Finding(
            severity="warning",
            code="withheld",
            about="document",
            message=f"{counted(len(documents), 'document')} withheld: what was credited of it is"
            " opened when it is released",
            fix="see `backoffice documents held`",
            count=len(documents),
            ids=tuple(document_id for _, document_id in documents[:MOST_NAMED]),
        )
    ]


def _unexpected(
    opened: Decimal, credited: Decimal, currency: str, documents: Sequence[str]
) -> list[Finding]:
    """Return the finding that another amount is open than was credited.

    More or less of an earlier write-off is forgiven now.
    """
    return [
        Finding(
            severity="info",
            code="other_than_credited",
            about="document",
            message=f"{written(opened, currency)} more is open for {written(credited, currency)}"
            " credited or taken back: earlier write-offs of the same hours make the difference",
            fix="run `backoffice why LINE` for the open lines to see the sum",
            ids=tuple(documents[:MOST_NAMED]),
        )
    ]


def _listed(each: LineCredit, currency: str) -> dict[str, Any]:
    return {
        "line_no": each.of.line_no,
        "document_id": each.of.document[1],
        "quantity": plain(-each.value.quantity),
        "net": _money(-each.value.amount, currency),
        "tax": _money(-each.tax, currency),
        **({"allowance": _money(-each.allowance, currency)} if each.allowance else {}),
        "left": plain(each.left.quantity),
        "left_net": _money(each.left.amount, currency),
    }


def _money(amount: Decimal, currency: str) -> str:
    return str(rounded(amount, currency))


HANDLERS: dict[type, CommandHandler] = {CreditInvoice: on_credit_invoice}
