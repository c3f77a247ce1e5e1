"""E-mail without a server: templates, addresses, what an answer means, reports of bounces."""

import mailbox
from dataclasses import replace
from email.message import EmailMessage, Message
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from services.arg_sync.ledgers.failures import Failure
from services.arg_sync.mail.rules import (
    FIRST_SECONDS,
    GIVE_UP_SECONDS,
    LONGEST_SECONDS,
    SUBJECT,
    TEXT,
    after_failure,
    fields_of,
)
from services.console.importing import bounces
from services.console.importing.bounces import read_bounces
from shared.errors import Refused
from shared.events.commands import SetDebtorTerms
from shared.events.commands.mail import with_defaults
from shared.events.field_types import EmailAddress, MailSubject
from shared.mail_text import FIELDS, check_template, fill_in
from tests.rules.test_render import BUYER, SELLER, a_document, a_line

ADDRESS: TypeAdapter[str] = TypeAdapter(EmailAddress)
VALUES = {name: f"<{name}>" for name in FIELDS}


def test_a_template_has_named_fields_and_nothing_else() -> None:
    """What is not a plain field of the list is refused when it is set, whatever it would do."""
    assert (
        fill_in("{number}: {{x}} {total} {currency}", VALUES) == "<number>: {x} <total> <currency>"
    )
    for ours in (SUBJECT, TEXT):
        check_template(ours)
    for wrong in (
        "{number.__class__}",
        "{number[0]}",
        "{number!r}",
        "{number:>1000000000}",
        "{0}",
        "{}",
        "{amount}",
        "{",
        "a } b",
        "{number",
    ):
        with pytest.raises(ValueError, match=r"write|field"):
            check_template(wrong)
        with pytest.raises(ValidationError, match=r"brace|field"):
            TypeAdapter(MailSubject).validate_python(wrong)
    with pytest.raises(ValidationError, match="control character"):
        TypeAdapter(MailSubject).validate_python("a\r\nBcc: spy@evil.example")


def test_a_self_billed_document_goes_from_the_buyer_to_the_supplier() -> None:
    """The supplier reads its own name in the greeting, and who issued the document for it."""
    own = a_document([a_line(1)])
    billed = replace(own, seller=replace(SELLER, self_billed_by="magnolia"))
    names = ("document", "company", "debtor")
    assert [fields_of(own)[name] for name in names] == ["Invoice", SELLER.name, BUYER.name]
    assert [fields_of(billed)[name] for name in names] == [
        "Self-billed invoice", BUYER.name, SELLER.name,
    ]  # fmt: skip


def test_a_value_is_no_template() -> None:
    """A name with braces stays as it is."""
    assert fill_in("{debtor}", VALUES | {"debtor": "{number}"}) == "{number}"


def test_an_address_is_one_that_every_server_takes() -> None:
    """One address, ASCII, no comment, no name, no line break; a domain is converted."""
    assert ADDRESS.validate_python("Ap.Team+x@MERCY.example.com") == "Ap.Team+x@mercy.example.com"
    assert ADDRESS.validate_python("ap@größe.de") == "ap@xn--gre-6ka8i.de"
    for wrong in (
        "ap",
        "ap@",
        "ap@localhost",
        "a p@mercy.com",
        "Ap <ap@mercy.com>",
        "ap@mercy.com, cfo@mercy.com",
        "ap@mercy.com\r\nRCPT TO:<spy@evil.com>",
        "größe@mercy.com",
        f"{'a' * 250}@mercy.com",
        "ap@mercy.com\0",
    ):
        with pytest.raises(ValidationError):
            ADDRESS.validate_python(wrong)
    terms = {"command_id": "1", "actor": "pat", "billing_company": "c", "account_name": "Mercy"}
    with pytest.raises(ValidationError):
        SetDebtorTerms.model_validate(terms | {"emails": [f"a{n}@mercy.com" for n in range(21)]})


@pytest.mark.parametrize(
    ("failed", "failing", "state", "tries"),
    [
        (Failure("transient", "smtp_451", "later"), 0.0, "queued", 3),
        (Failure("transient", "smtp_451", "later"), GIVE_UP_SECONDS, "refused", 2),
        (Failure("transient", "unreachable", "away", everywhere=True), 1e9, "queued", 2),
        (Failure("auth", "login_refused", "535", everywhere=True), 0.0, "queued", 2),
        (Failure("permanent", "sender_refused", "553", everywhere=True), 0.0, "queued", 2),
        (Failure("permanent", "smtp_550", "no such user"), 0.0, "refused", 2),
        (Failure("unknown", "answer_lost", "cut"), 0.0, "unknown", 2),
    ],
)
def test_what_becomes_of_an_email(failed: Failure, failing: float, state: str, tries: int) -> None:
    """What concerns the account leaves the e-mail queued; only a lost answer makes it unknown."""
    after = after_failure(failed, 2, failing, lambda: 1.0)
    assert (after.state, after.tries) == (state, tries)
    assert bool(after.fix) == (state != "queued")
    if tries == 3:
        assert after.wait_seconds == FIRST_SECONDS * 4
    assert after_failure(failed, 99, 0.0, lambda: 1.0).wait_seconds in (0.0, LONGEST_SECONDS)


def test_the_port_follows_the_tls_unless_it_was_given() -> None:
    """587, 465 and 25 are usual."""
    assert with_defaults({}, {})["port"] == "587"
    assert with_defaults({"tls": "starttls", "port": "587"}, {"tls": "tls"})["port"] == "465"
    assert with_defaults({"tls": "tls", "port": "2465"}, {"host": "h"})["port"] == "2465"
    assert with_defaults({}, {"tls": "tls", "port": "99"})["port"] == "99"


def report(message_id: str, action: str = "failed", *, headers_only: bool = False) -> Message:
    """Return a report as a mail server sends it."""
    whole = MIMEMultipart("report", report_type="delivery-status")
    whole["From"], whole["Subject"] = "MAILER-DAEMON@mercy.example", "Undelivered Mail"
    whole.attach(MIMEText("Your message could not be delivered."))
    status = Message()
    status["Content-Type"] = "message/delivery-status"
    server, recipient = Message(), Message()
    server["Reporting-MTA"] = "dns; mx.mercy.example"
    recipient["Final-Recipient"] = "rfc822; ap@mercy.example"
    recipient["Action"], recipient["Status"] = action, "5.1.1"
    recipient["Diagnostic-Code"] = "smtp; 550 5.1.1\x1b[2J no such user"
    status.set_payload([server, recipient])
    whole.attach(status)
    returned = EmailMessage()
    returned["Message-ID"] = f"<{message_id}>"
    if headers_only:
        whole.attach(MIMEText(f"Message-ID: <{message_id}>\n", "rfc822-headers"))
    else:
        whole.attach(MIMEMessage(returned))
    return whole


def test_reports_of_failed_deliveries_are_found_in_a_mailbox(tmp_path: Path) -> None:
    """mbox, Maildir and a single message; delays, answers and broken messages are passed over."""
    answer = EmailMessage()
    answer["In-Reply-To"] = "<m-9@acme.example>"
    answer.set_content("Thank you.")
    messages = [
        report("m-1@acme.example"),
        answer,
        report("m-2@acme.example", headers_only=True),
        report("m-3@acme.example", "delayed"),
        report("m-1@acme.example"),
    ]
    box, folder = mailbox.mbox(tmp_path / "box"), mailbox.Maildir(tmp_path / "folder")
    for each in messages:
        box.add(each)
        folder.add(each)
    box.flush()
    for path in (tmp_path / "box", tmp_path / "folder"):
        found, count = read_bounces(path)
        assert {one.message_id for one in found} == {"m-1@acme.example", "m-2@acme.example"}
        assert count == len(messages)
        assert found[0].status == "5.1.1" and "\x1b" not in found[0].text
    single = tmp_path / "one.eml"
    single.write_bytes(messages[0].as_bytes())
    assert read_bounces(single)[0][0].message_id == "m-1@acme.example"


def test_a_mailbox_of_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Garbage is no report; too many messages are refused, and a long one is passed over."""
    file = tmp_path / "box"
    for content in (
        b"",
        b"\0\xff" * 1000,
        b"From x\n" + b"\xff" * 500,
        b"Content-Type: multipart/report; report-type=delivery-status\n\nno parts",
        b"Content-Type: message/delivery-status\n\nAction: failed\n",
    ):
        file.write_bytes(content)
        assert read_bounces(file)[0] == []
    monkeypatch.setattr(bounces, "MESSAGE_BYTES", 100)
    file.write_bytes(report("m-1@acme.example").as_bytes())
    assert read_bounces(file)[0] == []
    monkeypatch.setattr(bounces, "MESSAGES_AT_MOST", 0)
    file.write_bytes(b"Subject: x\n\n")
    with pytest.raises(Refused, match="too_many_messages"):
        read_bounces(file)
