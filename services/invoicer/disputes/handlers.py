"""Commands about disputes: open, resolve by upholding or by a credit.

Each runs under the exclusive lock of the billing company, as payments and credits do, so that what
is left to pay of a line is what the dispute is about.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.credits import store as credits
from services.invoicer.credits.handlers import lock_to_credit, on_credit_invoice
from services.invoicer.debtors.handlers.companies import company_of
from services.invoicer.disputes import rules, store
from services.invoicer.disputes.rules import Dispute
from services.invoicer.disputes.store import Reduction
from shared import clock, faults
from shared.consumer.commands import Answer, CommandHandler
from shared.database import lock_companies
from shared.errors import Refused
from shared.events.commands import CreditedLine, CreditInvoice, OpenDispute, ResolveDispute
from shared.money import rounded, written


async def on_open_dispute(connection: AsyncConnection, command: OpenDispute) -> Answer:
    """Dispute a part of what is left to pay of a line."""
    billing_company, number = command.billing_company, command.invoice_number
    await lock_companies(connection, [billing_company], exclusive=True)
    await faults.point("after_locks")
    today = clock.today_of((await company_of(connection, billing_company)).time_zone)
    line = await store.line_for(connection, billing_company, number, command.line_no)
    if line is None:
        raise Refused(
            "unknown_line",
            f"{billing_company} has no line {command.line_no} of a document {number}",
            "see `backoffice invoices search` and `backoffice invoices show NUMBER`",
        )
    rules.require_disputable(number, command.line_no, line, command.amount)
    dispute_id = await store.add_dispute(
        connection, command, billing_company, line, command.line_no, command.amount, today
    )
    name = rules.dispute_name(dispute_id)
    due = line.left_of_document - line.disputed_on_document - command.amount
    amount, rest = (written(each, line.currency) for each in (command.amount, due))
    return Answer(
        f"{name}: {amount} {line.currency} of line {command.line_no} of {number} is disputed;"
        f" {rest} of {number} is due",
        details={
            "dispute": name,
            "invoice_number": number,
            "line_no": command.line_no,
            "disputed": str(rounded(command.amount, line.currency)),
            "due": str(rounded(due, line.currency)),
            "currency": line.currency,
        },
        subjects=[name, number, line.account_name, f"pay-line {line.pay_line_id}"],
    )


async def on_resolve_dispute(connection: AsyncConnection, command: ResolveDispute) -> Answer:
    """Uphold what is disputed, or credit it; what a credit leaves of it is upheld."""
    if command.resolution == "credit":
        return await _credit(connection, command)
    await lock_companies(connection, [command.billing_company], exclusive=True)
    await faults.point("after_locks")
    company = await company_of(connection, command.billing_company)
    dispute = await _open(connection, command)
    await store.uphold(
        connection,
        command,
        dispute.dispute_id,
        dispute.disputed,
        clock.today_of(company.time_zone),
    )
    return Answer(
        f"{dispute.name}: {_words(dispute)} is upheld; it is due again",
        details=_details(dispute, "uphold"),
        before={dispute.name: {"disputed": str(rounded(dispute.disputed, dispute.currency))}},
        after={dispute.name: {"disputed": str(rounded(dispute.disputed * 0, dispute.currency))}},
        subjects=_subjects(dispute),
    )


async def _credit(connection: AsyncConnection, command: ResolveDispute) -> Answer:
    """Credit the quantity whose value is disputed; closing the credit note ends the dispute.

    The locks are those of a credit by hand, in its order.
    """
    dispute = await _named(connection, command)
    company = await company_of(connection, command.billing_company)
    number = dispute.invoice_number
    issued = (await credits.issued_for(connection, command.billing_company, [number]))[number]
    await lock_to_credit(connection, command.billing_company, issued)
    dispute = await _open(connection, command)
    lines = (await credits.issued_lines(connection, [issued.invoice_id]))[issued.invoice_id]
    credit = rules.credit_of_dispute(dispute, issued, lines, command.quantity)
    upheld = dispute.disputed - rules.gross(credit)
    if upheld:
        today = clock.today_of(company.time_zone)
        await store.uphold(connection, command, dispute.dispute_id, upheld, today)
    answer = await on_credit_invoice(
        connection,
        CreditInvoice(
            command_id=command.command_id,
            actor=command.actor,
            reason=command.reason,
            billing_company=command.billing_company,
            invoice_number=number,
            lines=(CreditedLine(line_no=dispute.line_no, quantity=abs(credit.value.quantity)),),
            to=command.to,
        ),
    )
    rest = f"; {written(upheld, dispute.currency)} of it is upheld" if upheld else ""
    answer.message = f"{dispute.name}: {_words(dispute)}: {answer.message}{rest}"
    answer.details |= _details(dispute, "credit")
    answer.subjects = [*answer.subjects, *_subjects(dispute)]
    return answer


async def _named(connection: AsyncConnection, command: ResolveDispute) -> Dispute:
    number = rules.dispute_number(command.dispute)
    dispute = await store.dispute_for(connection, command.billing_company, number)
    if dispute is None:
        raise Refused(
            "unknown_dispute",
            f"{command.billing_company} has no dispute {command.dispute}",
            "see `backoffice disputes list`",
        )
    return dispute


async def _open(connection: AsyncConnection, command: ResolveDispute) -> Dispute:
    dispute = await _named(connection, command)
    rules.require_open(dispute)
    return dispute


def _words(dispute: Dispute) -> str:
    amount = written(dispute.disputed, dispute.currency)
    where = f"line {dispute.line_no} of {dispute.invoice_number}"
    return f"{amount} {dispute.currency} disputed of {where}"


def _details(dispute: Dispute, resolution: str) -> dict[str, Any]:
    return {
        "dispute": dispute.name,
        "resolution": resolution,
        "disputed": str(rounded(dispute.disputed, dispute.currency)),
        "currency": dispute.currency,
    }


def _subjects(dispute: Dispute) -> list[str]:
    return [dispute.name, dispute.invoice_number, dispute.account_name]


def with_reduced(answer: Answer, reduced: Sequence[Reduction]) -> Answer:
    """Add to an answer what was taken off disputes by what it did."""
    for each in reduced:
        name = rules.dispute_name(each.dispute_id)
        left = written(each.disputed, each.currency)
        answer.message += f"; {name} has {left} {each.currency} left in dispute"
    names = {rules.dispute_name(each.dispute_id) for each in reduced}
    answer.subjects = sorted({*answer.subjects, *names})
    return answer


HANDLERS: Mapping[type[Any], CommandHandler] = {
    OpenDispute: on_open_dispute,
    ResolveDispute: on_resolve_dispute,
}
