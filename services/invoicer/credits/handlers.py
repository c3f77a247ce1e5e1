"""Credits by hand: a credit note that closes at once, and the settlement of the documents whose lines it credits.

Under the company's exclusive lock and the documents' heads. What a batch does for many documents happens here for one; then every
document concerned is settled again from its settled statement, so that what is open afterwards is its worth less what is settled.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.credits import rules
from services.invoicer.credits import store as credits
from services.invoicer.credits.rules import IssuedDocument, LineCredit
from services.invoicer.debtors.handlers.companies import company_of
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
    save_changes,
    settle_document,
)
from services.invoicer.settlement.rules.realizations import SettledDocument
from services.invoicer.settlement.store import OperatorChanges
from shared import clock, faults
from shared.consumer.commands import Answer, CommandHandler
from shared.database import lock_billto, lock_companies
from shared.errors import Refused
from shared.events.billing import Finding
from shared.events.commands import CreditInvoice
from shared.events.realizations import PayLinesRealized
from shared.money import ZERO, plain, rounded
from shared.terms import counted

MOST_LISTED = 100
MOST_NAMED = 20


async def on_credit_invoice(connection: AsyncConnection, command: CreditInvoice) -> Answer:
    """Credits lines of a closed document, or all of it, closes the credit note, and settles what stands behind its lines."""
    issued = await _issued(connection, command)
    heads = await _locked(connection, command, issued)
    issued_lines = await credits.issued_lines(connection, issued.invoice_id)
    undone = {}
    if command.to == "reissue":
        undone = await credits.undo_write_offs(
            connection, issued.invoice_id, actor=command.actor, reason=command.reason
        )
    asked = [(one.line_no, one.quantity) for one in command.lines]
    decided = rules.decide(issued, issued_lines, asked, may_be_nothing=bool(undone))
    await faults.point("batch_selected")
    note = await _close(connection, command, issued, decided, heads) if decided else None
    if command.to == "write-off":
        await credits.add_write_offs(
            connection,
            decided,
            command_id=command.command_id,
            actor=command.actor,
            reason=command.reason,
        )
    await faults.point("batch_numbered")
    changes, withheld = await _settle(
        connection, {each.of.document for each in decided} | undone.keys(), heads
    )
    if note is not None:
        await take_numbers(connection, note)
    return _answer(command, issued, decided, note, changes, withheld, sum(undone.values(), ZERO))


async def _issued(connection: AsyncConnection, command: CreditInvoice) -> IssuedDocument:
    await company_of(connection, command.billing_company)
    issued = await credits.issued_for(connection, command.billing_company, command.invoice_number)
    if issued is None:
        raise Refused(
            "unknown_invoice",
            f"{command.billing_company} has no document {command.invoice_number}",
            "see `backoffice invoices search`, look at its spelling",
        )
    return issued


async def _locked(
    connection: AsyncConnection, command: CreditInvoice, issued: IssuedDocument
) -> dict[DocKey, SettledDocument]:
    """The heads of the documents behind the invoice, with every company and document locked. Which documents those are never changes."""
    documents = await credits.documents_of(connection, issued.invoice_id)
    concerned = {command.billing_company} | await lines.companies_of(connection, documents)
    await lock_billto(connection)
    await lock_companies(connection, concerned, exclusive=True)
    heads = await settlement.settled_documents_for(connection, documents, lock=True)
    await faults.point("after_locks")
    require_locked(concerned, await lines.companies_of(connection, documents))
    return heads


async def _close(
    connection: AsyncConnection,
    command: CreditInvoice,
    issued: IssuedDocument,
    decided: Sequence[LineCredit],
    heads: Mapping[DocKey, SettledDocument],
) -> ClosedDocuments:
    """A batch of one: the credit lines are opened, numbered and closed like any other."""
    company = await company_of(connection, command.billing_company)
    if not company.enabled:
        fix = f"enable it: `backoffice billing-company set {company.billing_company} --enabled`"
        raise Refused(
            "company_disabled",
            f"billing company {company.billing_company} is disabled: nothing is billed or credited for it",
            fix,
        )
    numbering = plan_numbering(
        await numbers.series_for(connection, company),
        clock.today_of(company.time_zone),
        command.invoice_date,
    )
    rules.check_date(issued, numbering.invoice_date)
    opened = [
        OpenedLine(
            each.of.document,
            heads[each.of.document].realization_no,
            NewLine(
                rules.credit_line(issued, each, command.to, command.command_id),
                (issued.invoice_id, each.of.line_no),
                correction=True,
            ),
        )
        for each in decided
    ]
    await lines.add_lines(connection, opened, lambda line: False)
    await credits.select_credit_lines(connection, issued, decided, command.command_id)
    buyers = await closing.corrected_buyers(connection, [issued.invoice_id])
    return await close_documents(
        connection,
        command,
        company,
        issued.cut_off,
        numbering,
        [rules.document_of(issued, decided)],
        [buyers[issued.invoice_id]],
    )


async def _settle(
    connection: AsyncConnection, documents: set[DocKey], heads: Mapping[DocKey, SettledDocument]
) -> tuple[SettlementChanges, list[str]]:
    """Settles documents again from their settled statement: what was credited to rebill is opened, an open credit that the one by hand
    took the place of goes. A withheld document stays as it is until its next statement; those are named."""
    pay_lines = await lines.pay_lines_for(connection, documents)
    operator_changes = await settlement.operator_changes_for(connection, documents)
    changes, withheld, at = SettlementChanges(), [], clock.now()
    for document in sorted(documents):
        head = heads[document]
        realization = PayLinesRealized.model_validate_json(head.body)
        if realization.realization_kind == "withheld":
            withheld.append(document[1])
            continue
        settle_document(
            changes,
            document,
            head,
            [realization],
            head.body,
            pay_lines.get(document, ()),
            operator_changes.get(document, OperatorChanges()),
            at,
        )
    changes.heads.clear()  # the settled statement is the same; a statement that waits for a fresh price goes on waiting
    await save_changes(connection, changes)
    return changes, withheld


def _answer(
    command: CreditInvoice,
    issued: IssuedDocument,
    decided: Sequence[LineCredit],
    note: ClosedDocuments | None,
    changes: SettlementChanges,
    withheld: Sequence[str],
    undone: Decimal,
) -> Answer:
    currency = issued.currency
    net, tax = (
        sum((each.value.amount for each in decided), ZERO),
        sum((each.tax for each in decided), ZERO),
    )
    opened, gone = (
        sum((one.line.line.amount for one in changes.opened), ZERO),
        sum((one.pay_line.line.amount for one in changes.replaced), ZERO),
    )
    words = (
        [
            f"credit note {note.documents[0].invoice_number} for {issued.invoice_number}: {_money(-net, currency)} net, {_money(-tax, currency)} tax"
        ]
        if note
        else []
    )
    if command.to == "write-off":
        words.append("written off")
    else:
        place = (
            f", in the place of {_money(gone, currency)} that was open" if changes.replaced else ""
        )
        words.append(
            f"open again: {_money(opened, currency)} in {counted(len(changes.opened), 'line')}{place}"
        )
    if undone:
        words.append(f"written off before and taken back: {_money(undone, currency)}")
    made = {"batch_id": None, "invoice_number": None} if note is None else {
        "batch_id": note.batch.batch_id, "invoice_number": note.documents[0].invoice_number, "invoice_date": str(note.batch.invoice_date),
        "totals": list(note.batch.totals),
    }  # fmt: skip
    details = made | {
        "credits": issued.invoice_number,
        "to": command.to,
        "lines": len(decided),
        "listed": [_listed(each, currency) for each in decided[:MOST_LISTED]],
        "open_again": {
            "lines": len(changes.opened),
            "net": _money(opened, currency),
            "was_open": _money(gone, currency),
            "currency": currency,
        },
        "written_off_taken_back": _money(undone, currency),
    }
    named = [] if note is None else [note.batch.batch_id, note.documents[0].invoice_number]
    return Answer(
        "; ".join(words),
        details=details,
        findings=_findings(command, decided, opened - gone, net, undone, withheld, currency),
        before={
            str(each.of.line_no): each.of.remaining.as_strings() for each in decided[:MOST_LISTED]
        },
        after={str(each.of.line_no): each.left.as_strings() for each in decided[:MOST_LISTED]},
        subjects=[
            *named,
            issued.invoice_number,
            issued.account_name,
            *sorted({each.of.document[1] for each in decided})[:MOST_LISTED],
        ],
        publish_after=[] if note is None else note.outbox_ids,
    )


def _findings(
    command: CreditInvoice,
    decided: Sequence[LineCredit],
    again: Decimal,
    net: Decimal,
    undone: Decimal,
    withheld: Sequence[str],
    currency: str,
) -> list[Finding]:
    """What an operator would not expect: that another amount is open again than was credited, because more or less of it is forgiven now."""
    found = []
    if withheld:
        found.append(
            Finding(
                severity="warning",
                code="withheld",
                about="document",
                message=f"{counted(len(withheld), 'document')} waits: what was credited of it is opened when it is released",
                fix="see `backoffice documents held`",
                count=len(withheld),
                ids=tuple(withheld[:MOST_NAMED]),
            )
        )
    elif command.to != "write-off" and again != undone - net:
        found.append(
            Finding(
                severity="info",
                code="other_than_credited",
                about="document",
                message=f"{_money(again, currency)} more is open for {_money(undone - net, currency)} credited or taken back:"
                " earlier write-offs of the same hours make the difference",
                fix="`backoffice why LINE` of the open lines tells the sum",
                ids=tuple(sorted({each.of.document[1] for each in decided})[:MOST_NAMED]),
            )
        )
    return found


def _listed(each: LineCredit, currency: str) -> dict[str, Any]:
    return {
        "line_no": each.of.line_no,
        "document_id": each.of.document[1],
        "quantity": plain(-each.value.quantity),
        "net": _money(-each.value.amount, currency),
        "tax": _money(-each.tax, currency),
        "left": plain(each.left.quantity),
        "left_net": _money(each.left.amount, currency),
    }


def _money(amount: Decimal, currency: str) -> str:
    return str(rounded(amount, currency))


HANDLERS: dict[type, CommandHandler] = {CreditInvoice: on_credit_invoice}
