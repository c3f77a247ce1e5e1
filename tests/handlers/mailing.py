"""A mail server that behaves as it is told, and arg_sync with a mail account at it.

`python -m tests.handlers.mailing` is a worker that sends e-mails until it is killed; database, key
and the rest come from the settings.
"""

import asyncio
import contextlib
import email
import ssl
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from email import policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from services.arg_sync.deliveries.handlers.lease_holders import holder_name
from services.arg_sync.mail.handlers.mail_loop import MailLoop
from services.arg_sync.subscriptions import MESSAGE_BUILDERS
from shared import sealing
from shared.consumer.unit_of_work import UnitOfWork
from shared.database import engine_for
from tests.builders import COMPANY
from tests.conftest import Configure
from tests.ledgers.delivering import Delivering
from tests.ledgers.many import Silent
from tests.system.tls_kafka import Authority

HOST, SENDER = "127.0.0.1", "billing@acme.example"
USER, PASSWORD = "acme", "canary-mail-password"


@dataclass
class MailServer:
    """An SMTP server of this process. What it answers can be planned, by address or at all."""

    authority: Authority | None = None
    with_login: bool = False
    taken: list[tuple[str, bytes]] = field(default_factory=list)
    """Each whole message that it took responsibility for, with its recipient."""
    logins: list[bool] = field(default_factory=list)
    rcpt: dict[str, str] = field(default_factory=dict)
    """Answers to RCPT by address."""
    data: list[str] = field(default_factory=list)
    """Answers to the next messages: an answer, or `drop` (take it, say nothing, hang up) or
    `lose` (hang up and drop the message)."""
    sender: str = ""
    sessions: int = 0
    port: int = 0
    password: str = PASSWORD

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Answer MAIL."""
        if self.sender:
            return self.sender
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Answer RCPT."""
        if answer := self.rcpt.get(address):
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Take a whole message, or not."""
        plan = self.data.pop(0) if self.data else ""
        if plan == "lose":
            assert server.transport is not None
            server.transport.abort()
            return "250 never seen"
        if plan and plan != "drop":
            return plan
        self.taken += [(to, bytes(envelope.original_content or b"")) for to in envelope.rcpt_tos]
        if plan == "drop":
            assert server.transport is not None
            server.transport.abort()
        return f"250 2.0.0 queued as {len(self.taken)}"

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        """Check a login."""
        good = isinstance(data, LoginPassword) and (data.login, data.password) == (
            USER.encode(),
            self.password.encode(),
        )
        self.logins.append(good)
        quoted = (
            None if good else f"535 5.7.8 not {data.password.decode()} of {data.login.decode()}"
        )
        return AuthResult(success=good, handled=False, message=quoted)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["MailServer"]:
        """Serve on a free port."""
        context = None
        if self.authority is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(self.authority.certificate("mail"))

        def protocol() -> SMTP:
            self.sessions += 1
            return SMTP(
                self,
                hostname="mail.test",
                tls_context=context,
                require_starttls=context is not None,
                authenticator=self.authenticate if self.with_login else None,
                auth_required=self.with_login,
                loop=asyncio.get_running_loop(),
            )

        server = await asyncio.get_running_loop().create_server(protocol, HOST, 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    @contextlib.contextmanager
    def in_thread(self) -> Iterator["MailServer"]:
        """Serve from a thread, for a test that is not asynchronous."""
        ready, end = threading.Event(), threading.Event()

        async def serve() -> None:
            async with self.running():
                ready.set()
                await asyncio.to_thread(end.wait)

        thread = threading.Thread(target=lambda: asyncio.run(serve()))
        thread.start()
        try:
            assert ready.wait(10)
            yield self
        finally:
            end.set()
            thread.join()

    def messages(self) -> list[EmailMessage]:
        """Return what it took, as a mail program reads it."""
        found = [email.message_from_bytes(content, policy=policy.SMTP) for _, content in self.taken]
        return [one for one in found if isinstance(one, EmailMessage)]

    def recipients(self) -> Counter[str]:
        """Return how many messages each address has."""
        return Counter(to for to, _ in self.taken)


@dataclass
class Mailing:
    """arg_sync in a test, with a mail account at a server."""

    delivering: Delivering
    server: MailServer

    async def set_account(self, **values: Any) -> dict[str, Any]:
        """Set the mail account as the command does."""
        settings = {
            "sender": SENDER,
            "host": HOST,
            "port": self.server.port,
            "tls": "starttls" if self.server.authority else "none",
        } | values
        password = settings.pop("password", PASSWORD if self.server.with_login else "")
        if self.server.with_login:
            settings.setdefault("user", USER)
        if password:
            bound_to = sealing.mail_binding(
                COMPANY, {name: str(value) for name, value in settings.items()}
            )
            public_key = sealing.public_key_of(sealing.read_private_key())
            settings["sealed_password"] = sealing.seal({"password": password}, public_key, bound_to)
        return await self.tell("set-mail-account", **settings)

    async def address(
        self,
        account: str,
        *emails: str,
        attach: Sequence[str] = ("pdf",),
        company: str = COMPANY,
        **terms: str,
    ) -> None:
        """Give a debtor its addresses, as `debtor-terms set` stores them."""
        await self.delivering.rows(
            "INSERT INTO invoicer.debtor_terms (billing_company, account_name, from_date,"
            " payment_terms, emails, attach, mail_subject, mail_text) VALUES (:company, :account,"
            " '1970-01-01', '', CAST(:emails AS text[]), CAST(:attach AS text[]), :subject, :text)"
            " ON CONFLICT (billing_company, account_name, from_date) DO UPDATE"
            " SET emails = excluded.emails",
            company=company,
            account=account,
            emails=list(emails),
            attach=list(attach),
            subject=terms.get("subject", ""),
            text=terms.get("text", ""),
        )

    async def tell(self, name: str, **values: Any) -> dict[str, Any]:
        """Give a command about the company."""
        return await self.delivering.tell(name, billing_company=COMPANY, **values)

    async def send_batch(self) -> dict[str, Any]:
        """Ask for the batch of `Delivering.close`."""
        return await self.tell("send-batch", batch_id="B-1")

    async def work(self, holder: str = "w1", seconds: float = 60.0) -> None:
        """One worker sends until nothing is due."""
        loop = MailLoop(self.delivering.unit_of_work, holder)
        try:
            await loop.run_until_idle(seconds)
        finally:
            await loop.drain()

    async def hurry(self) -> None:
        """Let waits and leases end."""
        await self.delivering.rows(
            "UPDATE arg_sync.mail SET next_attempt_at = now() WHERE state IN ('queued', 'sending')"
        )
        await self.delivering.rows("UPDATE arg_sync.mail_account SET open_until = NULL")

    async def mails(self) -> dict[tuple[str, str], Any]:
        """Every e-mail by number and address."""
        found = await self.delivering.rows("SELECT * FROM arg_sync.mail ORDER BY mail_id")
        return {(row.invoice_number, row.address): row for row in found}

    async def states(self) -> Counter[str]:
        """How many e-mails are in each state."""
        return Counter(row.state for row in (await self.mails()).values())


@contextlib.asynccontextmanager
async def mailing_at(
    delivering: Delivering, configure: Configure, server: MailServer
) -> AsyncIterator[Mailing]:
    """Return arg_sync with a server on this machine that it may use."""
    configure(mail_hosts=HOST)
    async with server.running():
        yield Mailing(delivering, server)


async def work() -> None:
    """Send until it is killed."""
    producer = Silent()
    unit_of_work = UnitOfWork(
        "arg_sync",
        engine_for("arg_sync"),
        producer,  # type: ignore[arg-type]
        dict(MESSAGE_BUILDERS),
    )
    loop = MailLoop(unit_of_work, holder_name("1"))
    while True:
        await loop.start_due_work()
        await asyncio.sleep(0.05)


if __name__ == "__main__":
    asyncio.run(work())
