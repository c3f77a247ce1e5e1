"""Documents by e-mail against a real mail server: each once for each address, or a state that says
what a person must do.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import pytest
from pypdf import PdfReader

from services.arg_sync.connections.handlers.keys import publish_key
from services.arg_sync.mail import rules
from services.arg_sync.mail.store import accounts, mails
from shared import sealing
from tests.builders import COMPANY
from tests.conftest import Configure
from tests.handlers.mailing import HOST, PASSWORD, SENDER, Mailing, MailServer, mailing_at
from tests.ledgers import delivering as closing
from tests.ledgers.delivering import Delivering
from tests.running import Observer, until
from tests.system.tls_kafka import Authority


@pytest.fixture
async def mailing(delivering: Delivering, configure: Configure) -> AsyncIterator[Mailing]:
    """A mail account at a server without TLS and login."""
    async with mailing_at(delivering, configure, MailServer()) as mailing:
        assert (await mailing.set_account())["outcome"] == "accepted"
        yield mailing


@pytest.fixture
def with_tax_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the seller a tax id, without which there is no e-invoice."""
    seller = '"Acme", "tax_id": "12-3456789"'
    monkeypatch.setattr(closing, "INVOICE", closing.INVOICE.replace('"Acme"', seller))


async def two_documents(mailing: Mailing) -> None:
    """Close an invoice and a credit note of Mercy Hospital, which has two addresses."""
    first = await mailing.delivering.close("INV-1")
    await mailing.delivering.close("CN-2", credits=first)
    await mailing.address("Mercy Hospital", "ap@mercy.example", "cfo@mercy.example")


async def test_a_batch_goes_once_to_every_address(mailing: Mailing) -> None:
    """Asked twice, sent once: with subject, text and the PDF; a credit note with turned signs."""
    await two_documents(mailing)
    await mailing.delivering.close("INV-3", account="No Address Ltd")
    answer = await mailing.send_batch()
    assert answer["details"]["queued"] == 4 and answer["details"]["without_address"] == 1
    assert "No Address Ltd" in answer["message"]
    await mailing.work()
    again = await mailing.send_batch()
    assert again["details"]["queued"] == 0
    await mailing.work()
    assert mailing.server.recipients() == {"ap@mercy.example": 2, "cfo@mercy.example": 2}
    assert mailing.server.sessions == 1, "one session takes them all"
    invoice = mailing.server.messages()[0]
    assert invoice["Subject"] == "Invoice INV-1 from Acme"
    assert invoice["From"] == f"Acme <{SENDER}>" and invoice["To"] == "ap@mercy.example"
    text, pdf = invoice.iter_parts()
    assert "INV-1 of 2026-03-01" in text.get_content()
    assert pdf.get_filename() == "INV-1.pdf" and pdf.get_content_type() == "application/pdf"
    credit = mailing.server.messages()[2]
    assert credit["Subject"] == "Credit note CN-2 from Acme"
    assert "-" not in credit.get_body().get_content().split("2026-03-01:")[1].split("USD")[0]  # type: ignore[union-attr]
    row = (await mailing.mails())["INV-1", "ap@mercy.example"]
    assert (row.state, row.message) == ("sent", "250 2.0.0 queued as 1")
    assert invoice["Message-ID"] == f"<{row.message_id}>"


@pytest.mark.usefixtures("with_tax_id")
async def test_attachments_templates_and_names_that_are_not_ascii(
    mailing: Mailing, tmp_path: Path
) -> None:
    """UBL and PDF; the debtor's own words before those of the account; long and accented ones."""
    await mailing.set_account(sender_name="Zeitarbeit Größe GmbH", country="US", text="{company}")
    await mailing.delivering.close("INV-1", account="Société Générale d'Intérim")
    subject = "Rechnung {number} für " + "{debtor} " * 8
    await mailing.address(
        "Société Générale d'Intérim", "ap@sg.example", attach=("ubl", "pdf"), subject=subject
    )
    await mailing.send_batch()
    await mailing.work()
    (message,) = mailing.server.messages()
    assert message["From"].addresses[0].display_name == "Zeitarbeit Größe GmbH"
    assert message["Subject"].startswith("Rechnung INV-1 für Société Générale d'Intérim Société")
    assert len(message["Subject"]) > 200
    text, ubl, pdf = message.iter_parts()
    assert text.get_content().strip() == "Acme"
    assert b">INV-1</cbc:ID>" in ubl.get_content()
    file = tmp_path / "invoice.pdf"
    file.write_bytes(pdf.get_content())
    assert "INV-1" in PdfReader(file).pages[0].extract_text()
    lines = mailing.server.taken[0][1].split(b"\r\n")
    assert max(map(len, lines)) <= 998 and all(line.isascii() for line in lines)


async def test_no_text_of_a_document_makes_a_header(mailing: Mailing) -> None:
    """A line break in a name that came from elsewhere begins no other header."""
    debtor = "Mercy\r\nBcc: spy@evil.example"
    await mailing.delivering.close("INV-1", account=debtor)
    both = ("ap@mercy.example", "ap@mercy.example")  # one of them is enough
    await mailing.address(debtor, *both, subject="{number} for {debtor}")
    await mailing.send_batch()
    await mailing.work()
    (message,) = mailing.server.messages()
    assert message["Bcc"] is None and "Bcc: spy@evil.example" in message["Subject"]
    assert mailing.server.recipients() == {"ap@mercy.example": 1}


async def test_an_address_that_is_refused_stops_no_other(mailing: Mailing) -> None:
    """550 refuses one e-mail with the server's words; asked again after the fix, it is sent."""
    await two_documents(mailing)
    mailing.server.rcpt["ap@mercy.example"] = "550 5.1.1 no such mailbox"
    await mailing.send_batch()
    await mailing.work()
    row = (await mailing.mails())["INV-1", "ap@mercy.example"]
    assert (row.state, row.code) == ("refused", "smtp_550") and "no such mailbox" in row.message
    assert await mailing.states() == {"refused": 2, "sent": 2}
    mailing.server.rcpt.clear()
    assert (await mailing.send_batch())["details"]["queued"] == 2
    await mailing.work()
    assert await mailing.states() == {"sent": 4}
    assert set(mailing.server.recipients().values()) == {2}


async def test_a_temporary_answer_is_tried_again_and_given_up_after_days(
    mailing: Mailing,
) -> None:
    """451, as of a server that greylists: the next attempt is sent; after two days it ends."""
    await mailing.delivering.close("INV-1")
    await mailing.address("Mercy Hospital", "ap@mercy.example")
    mailing.server.data = ["451 4.7.1 try later"]
    await mailing.send_batch()
    await mailing.work()
    row = (await mailing.mails())["INV-1", "ap@mercy.example"]
    assert (row.state, row.tries) == ("queued", 1) and "try later" in row.message
    mailing.server.data = ["451 4.7.1 try later"]
    await mailing.delivering.rows(
        "UPDATE arg_sync.mail SET failing_since = now() - make_interval(secs => :seconds)",
        seconds=rules.GIVE_UP_SECONDS,
    )
    await mailing.hurry()
    await mailing.work()
    assert (await mailing.states()) == {"refused": 1}
    await mailing.send_batch()
    await mailing.work()
    assert (await mailing.states()) == {"sent": 1}


async def test_a_lost_answer_waits_for_a_person(mailing: Mailing) -> None:
    """The server has it and hung up: unknown, never sent by itself; a person decides."""
    await two_documents(mailing)
    mailing.server.data = ["drop", "lose"]
    await mailing.send_batch()
    await mailing.work()
    assert await mailing.states() == {"unknown": 2, "sent": 2}
    await mailing.send_batch()
    await mailing.hurry()
    await mailing.work()
    assert await mailing.states() == {"unknown": 2, "sent": 2}
    refused = await mailing.tell(
        "decide-mail", invoice_number="INV-1", address="ap@mercy.example", sent=True, reason=""
    )
    assert refused["code"] == "reason_missing"
    for address, sent in (("ap@mercy.example", True), ("cfo@mercy.example", False)):
        answer = await mailing.tell(
            "decide-mail",
            invoice_number="INV-1",
            address=address,
            sent=sent,
            reason="asked by phone",
        )
        assert answer["outcome"] == "accepted", answer
    await mailing.work()
    assert await mailing.states() == {"sent": 4}
    assert set(mailing.server.recipients().values()) == {2}, "no address has one twice"


async def test_what_was_sent_is_sent_again_only_when_told_so(mailing: Mailing) -> None:
    """`--again` is another message with another id."""
    await mailing.delivering.close("INV-1")
    await mailing.address("Mercy Hospital", "ap@mercy.example")
    assert (await mailing.tell("send-invoice", invoice_number="INV-1"))["outcome"] == "accepted"
    await mailing.work()
    assert (await mailing.tell("send-invoice", invoice_number="INV-1"))["code"] == "already_sent"
    await mailing.tell("send-invoice", invoice_number="INV-1", again=True)
    await mailing.work()
    first, second = mailing.server.messages()
    assert first["Message-ID"] != second["Message-ID"]


async def test_a_server_that_is_away_is_waited_for(mailing: Mailing) -> None:
    """No document is refused for it; after three failures the account rests."""
    await two_documents(mailing)
    await mailing.send_batch()
    port, mailing.server.port = mailing.server.port, 1
    await mailing.set_account()
    await mailing.work()
    assert await mailing.states() == {"queued": 4}
    (account,) = await mailing.delivering.rows("SELECT * FROM arg_sync.mail_account")
    assert account.failures == 3 and account.open_until is not None and account.state == "ready"
    mailing.server.port = port
    await mailing.set_account()
    await mailing.work()
    assert await mailing.states() == {"sent": 4}


async def test_a_refused_sender_stops_the_account_and_refuses_no_document(
    mailing: Mailing,
) -> None:
    """553 to MAIL concerns all: the rest is not even tried."""
    await two_documents(mailing)
    mailing.server.sender = "553 5.7.1 sender not allowed"
    await mailing.send_batch()
    await mailing.work()
    (account,) = await mailing.delivering.rows("SELECT * FROM arg_sync.mail_account")
    assert account.state == "stopped" and "sender not allowed" in account.message
    assert await mailing.states() == {"queued": 4} and mailing.server.sessions == 1
    assert "sender not allowed" in (await mailing.send_batch())["message"]
    mailing.server.sender = ""
    await mailing.set_account()
    await mailing.work()
    assert await mailing.states() == {"sent": 4}


async def test_a_command_and_a_worker_lock_in_one_order(mailing: Mailing) -> None:
    """The account, then the e-mail. In another order they wait for each other, and the worker may
    lose what the server answered.
    """
    await mailing.delivering.close("INV-1")
    await mailing.address("Mercy Hospital", "ap@mercy.example")
    await mailing.send_batch()
    mailing.server.sender = "553 5.7.1 sender not allowed"
    observer = Observer(mailing.delivering.engine_of, ())
    async with mailing.delivering.engine_of("arg_sync").begin() as connection:
        assert await accounts.account_for(connection, COMPANY) is not None
        working = asyncio.create_task(mailing.work())
        await until("the worker waits for the account", observer.waiting_for_locks)
        mail = await mails.mail_for(connection, COMPANY, "INV-1", "ap@mercy.example")
        assert mail.state == "sending"
    await working
    assert await mailing.states() == {"queued": 1}


@pytest.mark.usefixtures("with_tax_id")
async def test_a_document_that_does_not_fit_is_refused_with_the_fix(mailing: Mailing) -> None:
    """No country, no e-invoice."""
    await mailing.delivering.close("INV-1")
    await mailing.address("Mercy Hospital", "ap@mercy.example", attach=("ubl",))
    await mailing.send_batch()
    await mailing.work()
    row = (await mailing.mails())["INV-1", "ap@mercy.example"]
    assert (row.state, row.code) == ("refused", "not_in_this_format") and "--country" in row.fix
    await mailing.set_account(country="US")
    await mailing.send_batch()
    await mailing.work()
    assert await mailing.states() == {"sent": 1}


async def test_a_login_over_tls_is_tried_once_and_a_refused_one_not_again(
    delivering: Delivering,
    configure: Configure,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """STARTTLS with a certificate that is checked; one login, then the account waits for a person;
    the password is stored sealed, and after a rotation of the key still opens.
    """
    authority = Authority(tmp_path / "tls")
    server = MailServer(authority, with_login=True, password="other")
    async with mailing_at(delivering, configure, server) as mailing:
        await two_documents(mailing)
        await mailing.set_account()
        await mailing.send_batch()
        await mailing.work()
        (account,) = await delivering.rows("SELECT * FROM arg_sync.mail_account")
        assert account.failures == 3 and "certificate" in account.circuit_message.lower()
        assert not server.logins, "nothing is said to a server that cannot prove who it is"
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
        await mailing.set_account()
        await mailing.work("w1")
        await mailing.work("w2")
        (account,) = await delivering.rows("SELECT * FROM arg_sync.mail_account")
        assert account.state == "login refused" and "set-account" in account.message
        assert "535 5.7.8 not *** of acme" in account.message, "the server quotes the password"
        assert server.logins == [False]
        server.password = PASSWORD
        (stored,) = await delivering.rows("SELECT sealed FROM arg_sync.secret")
        assert PASSWORD not in stored.sealed
        sealing.add_private_key()
        await delivering.unit_of_work.transact(publish_key())
        (anew,) = await delivering.rows("SELECT sealed FROM arg_sync.secret")
        assert anew.sealed != stored.sealed
        settings = {"sender": SENDER, "user": "acme"}
        assert (await mailing.tell("set-mail-account", **settings))["outcome"] == "accepted"
        await mailing.work()
        assert await mailing.states() == {"sent": 4} and server.logins == [False, True]


async def test_a_password_goes_to_no_other_server(
    delivering: Delivering, configure: Configure, tmp_path: Path
) -> None:
    """Another host, port, user or TLS needs the password again; no login goes without TLS."""
    server = MailServer(Authority(tmp_path / "tls"), with_login=True)
    async with mailing_at(delivering, configure, server) as mailing:
        assert (await mailing.set_account())["outcome"] == "accepted"
        for change in (
            {"host": "evil.example"},
            {"port": 26},
            {"user": "other"},
            {"tls": "tls", "port": server.port},
        ):
            answer = await mailing.tell("set-mail-account", **change)
            assert answer["code"] == "secrets_needed", change
        answer = await mailing.tell("set-mail-account", tls="none", port=server.port)
        assert answer["code"] == "login_without_tls"
        configure(mail_hosts="")
        answer = await mailing.tell("set-mail-account", tls="none", user="", port=server.port)
        assert answer["code"] == "no_tls"


async def test_a_server_in_the_own_network_is_used_only_if_arg_sync_names_it(
    mailing: Mailing, configure: Configure
) -> None:
    """Else the account stops before anything is said to that address."""
    await mailing.delivering.close("INV-1")
    await mailing.address("Mercy Hospital", "ap@mercy.example")
    await mailing.send_batch()
    configure(mail_hosts="")
    assert (await mailing.set_account(tls="starttls"))["outcome"] == "accepted"
    await mailing.work()
    (account,) = await mailing.delivering.rows("SELECT * FROM arg_sync.mail_account")
    assert account.state == "stopped" and "BACKOFFICE_MAIL_HOSTS" in account.message
    assert mailing.server.sessions == 0


async def test_bounces_are_recorded_and_not_sent_again_by_themselves(mailing: Mailing) -> None:
    """A report with our message id refuses what was sent; `send batch` leaves it alone."""
    await two_documents(mailing)
    await mailing.send_batch()
    await mailing.work()
    row = (await mailing.mails())["INV-1", "ap@mercy.example"]
    bounce = {"message_id": row.message_id, "status": "5.1.1", "text": "no such user"}
    other = bounce | {"message_id": "unknown@evil.example"}
    answer = await mailing.delivering.tell("record-bounces", bounces=[bounce, other, bounce])
    assert (answer["details"]["bounced"], answer["details"]["ignored"]) == (1, 2)
    repeated = await mailing.delivering.tell("record-bounces", bounces=[bounce])
    assert repeated["details"]["bounced"] == 0
    row = (await mailing.mails())["INV-1", "ap@mercy.example"]
    assert (row.state, row.code) == ("refused", "bounced") and "no such user" in row.message
    assert (await mailing.send_batch())["details"]["queued"] == 0
    answer = await mailing.tell("send-invoice", invoice_number="INV-1", again=True)
    assert answer["details"]["queued"] == 2, "again means every address"


async def test_an_answer_without_end_is_not_read(mailing: Mailing) -> None:
    """The session ends; the e-mail waits as for a server that is away."""
    await mailing.delivering.close("INV-1")
    await mailing.address("Mercy Hospital", "ap@mercy.example")
    await mailing.send_batch()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            writer.write(b"220-" + b"x" * 1_000_000)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, HOST, 0)
    async with server:
        mailing.server.port = server.sockets[0].getsockname()[1]
        await mailing.set_account()
        await mailing.work()
    row = (await mailing.mails())["INV-1", "ap@mercy.example"]
    assert (row.state, row.code) == ("queued", "unreadable") and "too long" in row.message


async def test_terms_of_later_days_do_not_count_yet(mailing: Mailing) -> None:
    """The addresses are those of today."""
    await mailing.delivering.close("INV-1")
    await mailing.address("Mercy Hospital", "now@mercy.example")
    await mailing.delivering.rows(
        "INSERT INTO invoicer.debtor_terms (billing_company, account_name, from_date,"
        " payment_terms, emails) SELECT billing_company, account_name, :day, '',"
        " '{later@mercy.example}' FROM invoicer.debtor_terms",
        day=date(2990, 1, 1),
    )
    await mailing.send_batch()
    await mailing.work()
    assert mailing.server.recipients() == {"now@mercy.example": 1}


async def test_the_account_of_the_buyer_sends_to_suppliers(mailing: Mailing) -> None:
    """A self-billed document goes out by the billing company's account (msp.md 3.4)."""
    agreement, tell = f"S-1@{COMPANY}", mailing.delivering.tell
    await mailing.delivering.close("SB-1", account="Northside", company=agreement)
    await mailing.address("Northside", "ar@northside.example", company=agreement)
    sent = {"billing_company": agreement, "invoice_number": "SB-1"}
    assert (await tell("send-invoice", **sent))["outcome"] == "accepted"
    mailing.server.data.append("drop")
    await mailing.work()
    assert await mailing.states() == {"unknown": 1}
    decided = await tell("decide-mail", **sent, address="ar@northside.example", sent=True,
                         reason="asked")  # fmt: skip
    assert decided["outcome"] == "accepted", decided
    assert mailing.server.recipients() == {"ar@northside.example": 1}
