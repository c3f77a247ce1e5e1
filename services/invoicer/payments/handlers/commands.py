"""Commands about payments: record, apply, unapply, reverse, apply credit, refund.

Each runs under the exclusive lock of the billing company, as what credits documents does, so that
the balances that it reads are those that it changes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.store.ledgers import ledgers_of
from services.invoicer.debtors.handlers.companies import company_of
from services.invoicer.disputes.handlers import with_reduced
from services.invoicer.disputes.store import reduce_paid
from services.invoicer.invoices.rules.amounts import require_amount
from services.invoicer.payments.handlers.answers import (
    AppliedPart,
    answer_of,
    refunded_before,
    repeat_answer,
)
from services.invoicer.payments.rules.applying import (
    PayableDocument,
    amount_to_apply,
    require_applied,
    require_payable,
    shares_of,
)
from services.invoicer.payments.rules.received import (
    ReceivedPayment,
    payment_meant,
    repeated,
    require_received,
    take_unapplied,
)
from services.invoicer.payments.rules.sharing import PaidByPayment
from services.invoicer.payments.store import received as store
from services.invoicer.payments.store.received import Return
from shared import clock, faults
from shared.consumer.commands import Answer, CommandHandler
from shared.database import lock_companies
from shared.errors import Refused
from shared.events.commands import (
    AppliedTo,
    ApplyCredit,
    ApplyPayment,
    RecordPayment,
    RecordRefund,
    ReversePayment,
    UnapplyPayment,
)
from shared.events.commands.payments import NamedPayment, PaymentCommand
from shared.money import ZERO, written


async def on_record_payment(connection: AsyncConnection, command: RecordPayment) -> Answer:
    """Record money received and apply it to the documents that are named; a repeat does nothing."""
    today = await _begin(connection, command)
    company, check, payer = command.billing_company, command.check_id, command.account_name
    require_received(command.received_on, today)
    require_amount(command.amount, command.currency, f"check {check}")
    await _require_payer(connection, command, payer)
    known = await store.payments_for(
        connection,
        company,
        check_id=check,
        account_name=payer,
        received_on=command.received_on,
    )
    repeat = repeated(known, command.amount, command.currency, command.bank)
    if repeat is not None:
        return repeat_answer(repeat)
    await store.add_payment(connection, command)
    payment = ReceivedPayment(
        command.command_id,
        payer,
        check,
        command.received_on,
        command.bank,
        command.amount,
        command.currency,
    )
    parts = await _apply(connection, command, payment, command.apply_to) if command.apply_to else []
    amount = f"{written(payment.amount, payment.currency)} {payment.currency}"
    return answer_of(f"{payment.words}, of {amount} recorded", [_after(payment, parts)], parts)


async def on_apply_payment(connection: AsyncConnection, command: ApplyPayment) -> Answer:
    """Apply what is unapplied of a payment to documents."""
    await _begin(connection, command)
    payment = payment_meant(command.check_id, await _named(connection, command))
    parts = await _apply(connection, command, payment, command.apply_to)
    return answer_of(payment.words, [_after(payment, parts)], parts)


async def on_unapply_payment(connection: AsyncConnection, command: UnapplyPayment) -> Answer:
    """Take what a payment pays of a document off it; it is an unapplied credit again."""
    today = await _begin(connection, command)
    payment = payment_meant(command.check_id, await _named(connection, command))
    (document,) = await _documents(connection, command, [command.invoice_number])
    paid = document.paid_by(payment.payment_id)
    if not paid:
        raise Refused(
            "not_applied",
            f"{payment.words}, is not applied to {document.invoice_number}",
            f"see `backoffice payments show {payment.check_id}`",
        )
    parts = [_taken_off(payment, document)]
    await store.add_entries(connection, [parts[0].entry(payment.entry_day(today))])
    return answer_of(payment.words, [_after(payment, parts)], parts)


async def on_reverse_payment(connection: AsyncConnection, command: ReversePayment) -> Answer:
    """Take a payment back whole: off its documents, and what is unapplied of it.

    What was refunded stays refunded, and the answer says so.
    """
    today = await _begin(connection, command)
    found = await _named(connection, command)
    payment = payment_meant(command.check_id, found, may_be_reversed=True)
    if payment.reversed:
        raise Refused(
            "payment_reversed", f"{payment.words}, was reversed before", "nothing is to be done"
        )
    invoice_ids = await store.invoices_paid_by(connection, payment.payment_id)
    documents = await store.documents_for(
        connection, command.billing_company, invoice_ids=invoice_ids
    )
    parts = [
        _taken_off(payment, document)
        for document in sorted(documents.values(), key=lambda each: each.invoice_id)
        if document.paid_by(payment.payment_id)
    ]
    day = payment.entry_day(today)
    await store.add_entries(connection, [each.entry(day) for each in parts])
    back = payment.amount - payment.returned
    await _add_returns(connection, command, [Return(payment.payment_id, "reversal", -back, day)])
    after = replace(payment, applied=ZERO, returned=payment.amount, reversed=True)
    answer = answer_of(
        f"{payment.words}: {written(back, payment.currency)} {payment.currency} reversed",
        [after],
        parts,
    )
    if payment.returned:
        answer.findings = [refunded_before(payment)]
    return answer


async def on_apply_credit(connection: AsyncConnection, command: ApplyCredit) -> Answer:
    """Apply unapplied money of a payer to a document, the oldest deposit first."""
    await _begin(connection, command)
    target = command.apply_to
    (document,) = await _documents(connection, command, [target.invoice_number])
    require_payable(document, command.account_name, document.currency, target.line_nos)
    payments = await _unapplied(connection, command, command.account_name, document.currency)
    unapplied = sum((each.unapplied for each in payments), ZERO)
    amount = amount_to_apply(document, unapplied, target.amount, target.line_nos)
    require_applied(amount, [document])
    parts: list[AppliedPart] = []
    for payment, part in take_unapplied(payments, amount):
        lines = shares_of(document, part, target.line_nos)
        parts.append(AppliedPart(payment, document, lines))
        document = _with(document, payment, lines)
    await store.add_entries(connection, [each.entry(each.payment.entry_day()) for each in parts])
    return answer_of(
        f"unapplied credit of {command.account_name}",
        [_after(each.payment, [each]) for each in parts],
        parts,
    )


async def on_record_refund(connection: AsyncConnection, command: RecordRefund) -> Answer:
    """Record that unapplied money was paid back, the oldest deposit first."""
    today = await _begin(connection, command)
    payer = command.account_name
    await _require_payer(connection, command, payer)
    payments = await _unapplied(connection, command, payer, command.currency)
    currencies = sorted({each.currency for each in payments})
    if len(currencies) > 1:
        raise Refused(
            "ambiguous_currency",
            f"money of {payer} is unapplied in {', '.join(currencies)}",
            "name one with --currency",
        )
    currency = currencies[0] if currencies else command.currency or ""
    unapplied = sum((each.unapplied for each in payments), ZERO)
    if command.amount > unapplied:
        raise Refused(
            "more_than_unapplied",
            f"{payer}: {command.amount} to refund, {unapplied.normalize():f} {currency}".rstrip()
            + " unapplied",
            f"see `backoffice payments list --payer {payer!r} --unapplied`",
        )
    require_amount(command.amount, currency, f"refund to {payer}")
    taken = take_unapplied(payments, command.amount)
    await _add_returns(
        connection,
        command,
        [
            Return(payment.payment_id, "refund", -part, payment.entry_day(today))
            for payment, part in taken
        ],
    )
    return answer_of(
        f"{written(command.amount, currency)} {currency} refunded to {payer}",
        [replace(payment, returned=payment.returned + part) for payment, part in taken],
        [],
    )


async def _begin(connection: AsyncConnection, command: PaymentCommand) -> date:
    """Lock the billing company and return its day; refuse where a ledger owns the payments."""
    await lock_companies(connection, [command.billing_company], exclusive=True)
    await faults.point("after_locks")
    company = await company_of(connection, command.billing_company)
    if not command.although_ledger:
        ledgers = await ledgers_of(connection, command.billing_company)
        names = [each.ledger for each in ledgers if each.state != "disconnected"]
        if names:
            raise Refused(
                "ledger_owns_payments",
                f"payments of {command.billing_company} are read from {', '.join(names)}",
                "enter the payment there; one that is never entered there takes --although-ledger",
            )
    return clock.today_of(company.time_zone)


async def _named(connection: AsyncConnection, command: NamedPayment) -> list[ReceivedPayment]:
    return await store.payments_for(
        connection,
        command.billing_company,
        check_id=command.check_id,
        account_name=command.account_name,
        received_on=command.received_on,
    )


async def _unapplied(
    connection: AsyncConnection, command: PaymentCommand, payer: str, currency: str | None
) -> list[ReceivedPayment]:
    """Return the payments of a payer of which something is unapplied."""
    found = await store.payments_for(connection, command.billing_company, account_name=payer)
    return [each for each in found if each.unapplied > 0 and currency in (None, each.currency)]


async def _require_payer(
    connection: AsyncConnection, command: PaymentCommand, account_name: str
) -> None:
    if not await store.is_payer(connection, command.billing_company, account_name):
        raise Refused(
            "unknown_payer",
            f"there is no debtor {account_name or 'without an Account Name'}",
            "give the Account Name as `backoffice invoices search` shows it",
        )


async def _documents(
    connection: AsyncConnection, command: PaymentCommand, numbers: Sequence[str]
) -> list[PayableDocument]:
    """Return closed documents in the order in which they are named."""
    found = await store.documents_for(connection, command.billing_company, numbers)
    for number in numbers:
        if number not in found:
            raise Refused(
                "unknown_invoice",
                f"{command.billing_company} has no document {number}",
                "see `backoffice invoices search`, or check the spelling",
            )
    return [found[number] for number in numbers]


async def _apply(
    connection: AsyncConnection,
    command: PaymentCommand,
    payment: ReceivedPayment,
    targets: Sequence[AppliedTo],
) -> list[AppliedPart]:
    """Apply what is unapplied of a payment to documents in their order, and store the entries."""
    numbers = [each.invoice_number for each in targets]
    if len(set(numbers)) < len(numbers):
        twice = next(each for each in numbers if numbers.count(each) > 1)
        raise Refused("document_given_twice", f"{twice} is named twice", "name each document once")
    documents = await _documents(connection, command, numbers)
    parts: list[AppliedPart] = []
    unapplied = payment.unapplied
    for document, target in zip(documents, targets, strict=True):
        require_payable(document, payment.account_name, payment.currency, target.line_nos)
        amount = amount_to_apply(document, unapplied, target.amount, target.line_nos)
        unapplied -= amount
        if amount:
            lines = shares_of(document, amount, target.line_nos)
            parts.append(AppliedPart(payment, document, lines))
    require_applied(payment.unapplied - unapplied, documents)
    await store.add_entries(connection, [each.entry(payment.entry_day()) for each in parts])
    return parts


def _with(
    document: PayableDocument, payment: ReceivedPayment, lines: Mapping[int, Decimal]
) -> PayableDocument:
    """Return the document after an entry."""
    return replace(
        document, payments=[*document.payments, PaidByPayment(payment.payment_id, lines)]
    )


def _taken_off(payment: ReceivedPayment, document: PayableDocument) -> AppliedPart:
    paid = document.paid_by(payment.payment_id)
    return AppliedPart(payment, document, {line_no: -part for line_no, part in paid.items()})


async def _add_returns(
    connection: AsyncConnection, command: PaymentCommand, returns: Sequence[Return]
) -> None:
    await store.add_returns(
        connection,
        returns,
        command_id=command.command_id,
        actor=command.actor,
        reason=command.reason,
    )


def _after(payment: ReceivedPayment, parts: Iterable[AppliedPart]) -> ReceivedPayment:
    """Return the payment after its entries."""
    return replace(payment, applied=payment.applied + sum((each.amount for each in parts), ZERO))


async def _then_reduce(
    handler: CommandHandler, connection: AsyncConnection, command: PaymentCommand
) -> Answer:
    """Carry a command out, and take off disputes what is paid of their lines after all."""
    answer = await handler(connection, command)
    company = await company_of(connection, command.billing_company)
    day = clock.today_of(company.time_zone)
    return with_reduced(
        answer, await reduce_paid(connection, command, company.billing_company, day)
    )


HANDLERS: Mapping[type[Any], CommandHandler] = {
    RecordPayment: partial(_then_reduce, on_record_payment),
    ApplyPayment: partial(_then_reduce, on_apply_payment),
    UnapplyPayment: on_unapply_payment,
    ReversePayment: on_reverse_payment,
    ApplyCredit: partial(_then_reduce, on_apply_credit),
    RecordRefund: on_record_refund,
}
