"""Makes the message of an e-mail: headers, text and attachments.

The same document gives the same attachments as a download. A long document takes seconds of
processor time: compose in a thread.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from services.arg_sync.mail.store.content import PrintedDocument
from services.arg_sync.mail.store.mails import ClaimedMail
from shared.errors import Refused
from shared.render import PRINTABLE_LINES, EInvoice, pdf_document, ubl_file
from shared.render.pdf import appended, timesheets_pdf

MESSAGE_POLICY = policy.SMTP.clone(max_line_length=78)
TIMESHEETS = "timesheets"
UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def compose(
    claimed: ClaimedMail,
    printed: PrintedDocument,
    settings: Mapping[str, str],
    at: datetime,
) -> bytes:
    """Return the message as it is sent. Refused if the document does not fit an attachment."""
    document = printed.document
    message = _message(claimed, document.seller.name, settings, at)
    stem = UNSAFE.sub("-", document.invoice_number).strip(".-") or str(document.invoice_id)
    for form in _forms(claimed.attach, printed):
        attachment = ATTACHMENTS[form]
        content = attachment.content(printed, settings.get("country", ""))
        main, sub = attachment.media_type
        message.add_attachment(content, main, sub, filename=f"{stem}{attachment.suffix}")
    return message.as_bytes()


def compose_reminder(
    claimed: ClaimedMail, company_name: str, settings: Mapping[str, str], at: datetime
) -> bytes:
    """Return the message of a reminder, which has no attachment."""
    return _message(claimed, company_name, settings, at).as_bytes()


def _message(
    claimed: ClaimedMail, company_name: str, settings: Mapping[str, str], at: datetime
) -> EmailMessage:
    """Return a message with headers and text."""
    message = EmailMessage(MESSAGE_POLICY)
    name = settings.get("sender_name") or company_name
    message["From"] = Address(display_name=_one_line(name), addr_spec=settings["sender"])
    message["To"] = Address(addr_spec=claimed.address)
    if settings.get("reply_to"):
        message["Reply-To"] = Address(addr_spec=settings["reply_to"])
    message["Subject"] = _one_line(claimed.subject)
    message["Date"] = format_datetime(at)
    message["Message-ID"] = f"<{claimed.message_id}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answer of a robot is asked for
    message.set_content(claimed.content)
    return message


def _forms(wanted: Sequence[str], printed: PrintedDocument) -> list[str]:
    """Return the kinds of attachments. Timesheets that a PDF does not show are a file."""
    document, timesheets = printed.document, printed.timesheets
    forms = [each for each in wanted if each != TIMESHEETS]
    separate = document.buyer.timesheets and "pdf" in forms and not appended(document, timesheets)
    return [*forms, TIMESHEETS] if timesheets and (TIMESHEETS in wanted or separate) else forms


def _one_line(text: str) -> str:
    """A text for a header: no line break of a name that came from elsewhere begins another one."""
    return " ".join(text.split())


def _pdf(printed: PrintedDocument, country: str) -> bytes:
    document, timesheets = printed.document, printed.timesheets
    if document.line_count > PRINTABLE_LINES:
        raise Refused(
            "not_in_this_format",
            f"{document.invoice_number} has {document.line_count:,} lines; a PDF is made of at most"
            f" {PRINTABLE_LINES:,}",
            "send the file of `backoffice batch download --format csv` by hand",
        )
    last_pages = timesheets if appended(document, timesheets) else ()
    return pdf_document(document, printed.lines, logo=printed.logo, timesheets=last_pages)


def _timesheets(printed: PrintedDocument, country: str) -> bytes:
    return timesheets_pdf(printed.document, printed.timesheets, printed.logo)


def _ubl(printed: PrintedDocument, country: str) -> bytes:
    invoice = EInvoice(printed.document, country)
    if problems := invoice.problems():
        raise Refused(
            "not_in_this_format",
            "; ".join(problems),
            "for parties whose address names no country: `backoffice send set-account --country"
            " XX`; else send the PDF only: `backoffice debtor-terms set ... --attach pdf`",
        )
    with TemporaryDirectory(prefix="backoffice-mail-") as folder:
        file = Path(folder) / "invoice.xml"
        with ubl_file(file, invoice) as write:
            for line in printed.lines:
                write(line)
        return file.read_bytes()


@dataclass(frozen=True, slots=True)
class Attachment:
    """A kind of attachment: how its content is made, its media type and its suffix."""

    content: Callable[[PrintedDocument, str], bytes]
    media_type: tuple[str, str]
    suffix: str


ATTACHMENTS: Mapping[str, Attachment] = {
    "pdf": Attachment(_pdf, ("application", "pdf"), ".pdf"),
    "ubl": Attachment(_ubl, ("application", "xml"), ".xml"),
    TIMESHEETS: Attachment(_timesheets, ("application", "pdf"), "-timesheets.pdf"),
}
"""The kinds of `--attach`; each is a word of `Attachment` in `shared.events.commands.settings`."""
