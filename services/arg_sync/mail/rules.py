"""What becomes of an e-mail after an attempt, and the words of its subject and text.

A failure has the class of a ledger's failure (`services.arg_sync.ledgers.failures`): `transient` is
tried again, `permanent` refuses this e-mail, `unknown` waits for a person, and one that concerns
the whole account (`everywhere`) leaves the e-mail queued.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from services.arg_sync.connections.rules import Jitter, backoff
from services.arg_sync.ledgers.failures import Failure
from shared.mail_text import fill_in
from shared.money import written
from shared.reminders import OpenInvoice
from shared.terms import ClosedDocument, counted

FIRST_SECONDS, LONGEST_SECONDS = 60.0, 3_600.0
"""Waits after an answer such as 451: a server that greylists takes the second attempt."""
GIVE_UP_SECONDS = 2 * 86_400.0
"""How long temporary refusals of one e-mail are retried. RFC 5321 asks for days, not weeks."""
SUBJECT = "{document} {number} from {company}"
TEXT = """Dear customer,

please find attached {document} {number} of {invoice_date}: {total} {currency}.

{company}
"""
REMINDER_SUBJECT = "Payment reminder from {company}: {total} {currency} overdue"
REMINDER_TEXT = """Dear customer,

we have no payment yet for what follows, which is overdue by {days} days or more:

{invoices}

Together: {total} {currency}

If you have paid in the meantime, please take no notice of this message. If something is wrong with
an invoice, please tell us.

{company}
"""
FROM_HOUR = 8
"""The hour of the billing company's day from which reminders are queued."""
INVOICES_AT_MOST = 500
"""In one reminder; more are in further ones."""
SENT = "sent"
NOT_DUE = "no_longer_due"
"""The code of a reminder of which nothing was due any more when its turn came."""
UNKNOWN_FIX = (
    "ask the recipient or look in the log of the mail server (`backoffice send show` has the"
    " message id), then `backoffice send decide NUMBER --address A --sent` or `--not-sent`"
)


@dataclass(frozen=True, slots=True)
class MailOutcome:
    """The next state of an e-mail, and after how many seconds it is tried again."""

    state: str
    code: str
    message: str
    fix: str = ""
    wait_seconds: float = 0.0
    tries: int = 0


def sent(answer: str) -> MailOutcome:
    """Return the state after the server took the whole message. `answer`: what it said."""
    return MailOutcome(SENT, "accepted", answer)


def after_failure(
    failed: Failure, tries: int, failing_seconds: float, jitter: Jitter
) -> MailOutcome:
    """Return the state after a failed attempt; `tries` failed in a row before this one."""
    if failed.failure == "unknown":
        return MailOutcome("unknown", failed.code, failed.message, UNKNOWN_FIX, tries=tries)
    if failed.everywhere:
        wait = failed.retry_after or 0.0
        return MailOutcome("queued", failed.code, failed.message, wait_seconds=wait, tries=tries)
    if failed.failure == "transient" and failing_seconds < GIVE_UP_SECONDS:
        wait = backoff(tries + 1, jitter, FIRST_SECONDS, LONGEST_SECONDS)
        tries += 1
        return MailOutcome("queued", failed.code, failed.message, wait_seconds=wait, tries=tries)
    fix = "correct what the message names, then `backoffice send invoice NUMBER`"
    return MailOutcome("refused", failed.code, failed.message, fix, tries=tries)


def fields_of(document: ClosedDocument) -> Mapping[str, str]:
    """Return the fields of a template for a document; signs of a credit note are turned.

    A document that the buyer issues for a supplier goes from the buyer to the supplier.
    """
    credit = document.document_type == "credit-note"
    sender, receiver = document.seller, document.buyer
    if document.is_self_billed:
        sender, receiver = receiver, sender
    return {
        "document": document.title,
        "number": document.invoice_number,
        "invoice_date": document.invoice_date.isoformat(),
        "due_date": "" if credit else document.due_date.isoformat(),
        "total": f"{document.total * document.sign:,f}",
        "currency": document.currency,
        "debtor": receiver.name,
        "company": sender.name,
        "po_number": document.po_number,
        "service_from": document.service_from.isoformat(),
        "service_to": document.service_to.isoformat(),
    }


def subject_and_text(
    document: ClosedDocument, subject: str, text: str, account: Mapping[str, str]
) -> tuple[str, str]:
    """Return subject and text of the e-mail about a document.

    Templates of the debtor come first, then those of the account, then ours. A subject is one line.
    """
    values = fields_of(document)
    lines = fill_in(subject or account.get("subject") or SUBJECT, values)
    return " ".join(lines.split()), fill_in(text or account.get("text") or TEXT, values)


def reminder_words(
    invoices: Sequence[OpenInvoice], stage: int, subject: str, text: str, today: date
) -> tuple[str, str]:
    """Return subject and text of a reminder of invoices (at least one) in one currency.

    Empty templates are ours. A subject is one line.
    """
    ordered = sorted(invoices, key=lambda one: (one.due_date, one.invoice_number))
    newest, currency = ordered[-1], ordered[0].currency
    values = {
        "invoices": "\n".join(_in_words(each, today) for each in ordered),
        "count": str(len(ordered)),
        "total": written(sum((each.due for each in ordered), Decimal(0)), currency),
        "currency": currency,
        "days": str(stage),
        "debtor": newest.debtor_name,
        "company": newest.company_name,
    }
    line = fill_in(subject or REMINDER_SUBJECT, values)
    return " ".join(line.split()), fill_in(text or REMINDER_TEXT, values)


def _in_words(invoice: OpenInvoice, today: date) -> str:
    """Return the line of an invoice in a reminder."""
    return (
        f"{invoice.invoice_number} of {invoice.invoice_date}, due {invoice.due_date},"
        f" {counted(invoice.overdue(today), 'day')} overdue:"
        f" {written(invoice.due, invoice.currency)} {invoice.currency}"
    )
