"""A session with the mail server of an account: connect, log in once, hand messages over.

aiosmtplib speaks the protocol. Two things differ from its own `sendmail`. The end of a message goes
out in a step of its own, after the caller stored that it does: a worker that stops before it has
sent no message, because a server drops what has no end (RFC 5321, 4.1.1.4). And one login is one
attempt: `login` of the library tries each method of the server, which the server counts.
"""

import asyncio
import base64
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from typing import cast

import aiosmtplib
import httpx2
from aiosmtplib.protocol import PERIOD_REGEX, normalize_message_line_endings

from services.arg_sync.ledgers.adapter import SecretStore
from services.arg_sync.ledgers.failures import LOGIN_REFUSED, TOO_MANY, Failure, FailureClass
from services.arg_sync.ledgers.http_client import without
from services.arg_sync.ledgers.network import is_allowed
from shared.settings import settings

CONNECT_SECONDS = 30.0
COMMAND_SECONDS = 60.0
END_SECONDS = 180.0
"""How long the answer to a whole message may take: servers look for viruses before they answer."""
SENT_AT_MOST = 100
"""Messages of one session: servers end longer ones."""
SLOWEST_BYTES = 100_000
"""Bytes in a second below which a connection counts as broken."""
WRITTEN_POLL_SECONDS = 0.01
TRANSIENT_LOGINS = (421, 432, 450, 451, 454)


class MailSession:
    """An open session. After a failure of the connection it is closed and of no more use."""

    def __init__(self, client: aiosmtplib.SMTP, hide: Collection[str] = ()) -> None:
        self._client = client
        self._hide = hide  # in what the server answers
        self._inside = False  # of a message: what is written belongs to it
        self.sent = 0

    @property
    def usable(self) -> bool:
        """Whether another message may go over this session."""
        return self._client.is_connected and self.sent < SENT_AT_MOST and not self._inside

    async def send(
        self, sender: str, to: str, message: bytes, hand_over: Callable[[], Awaitable[bool]]
    ) -> str:
        """Send a message to one address and return what the server answered.

        `hand_over` is called when all but the end is sent, and stores that the end follows; if it
        returns False, the message is not ended. Raises a failure.
        """
        wire = PERIOD_REGEX.sub(b"..", normalize_message_line_endings(message))
        size = self._client.esmtp_extensions.get("size", "")
        if size.isdigit() and 0 < int(size) < len(wire):
            raise Failure(
                "permanent",
                "too_large",
                f"the message has {len(wire):,} bytes and the mail server takes {int(size):,}",
            )
        self.sent += 1
        self._inside = True
        async with _read_failures("mail", self._hide):
            try:
                await self._client.mail(sender)
            except aiosmtplib.SMTPSenderRefused as refused:
                raise _sender_refused(refused) from refused
            await self._client.rcpt(to)
            started = await self._client.execute_command(b"DATA")
            if started.code != aiosmtplib.SMTPStatus.start_input:
                raise aiosmtplib.SMTPDataError(started.code, started.message)
            await self._write(wire)
        if not await hand_over():
            self.close()
            raise Failure("transient", "lease_over", "another worker has this e-mail now")
        async with _read_failures("end", self._hide):
            ended = await self._client.execute_command(b".", timeout=END_SECONDS)
            if ended.code != aiosmtplib.SMTPStatus.completed:
                raise aiosmtplib.SMTPDataError(ended.code, ended.message)
        self._inside = False
        return without(self._hide, f"{ended.code} {ended.message}")

    async def _write(self, wire: bytes) -> None:
        """Write the message and wait until the operating system has all of it."""
        protocol = self._client.protocol
        if protocol is None or protocol.transport is None:
            raise aiosmtplib.SMTPServerDisconnected("Connection lost")
        protocol.write(wire)
        async with asyncio.timeout(COMMAND_SECONDS + len(wire) / SLOWEST_BYTES):
            while (transport := protocol.transport) is not None:
                if not cast(asyncio.WriteTransport, transport).get_write_buffer_size():
                    return
                await asyncio.sleep(WRITTEN_POLL_SECONDS)
        raise aiosmtplib.SMTPServerDisconnected("Connection lost")

    async def forget_message(self) -> None:
        """End a message that was refused, so that the next one may follow; else close."""
        try:
            await self._client.rset()
            self._inside = False
        except (aiosmtplib.SMTPException, OSError, TimeoutError):
            self.close()

    def close(self) -> None:
        """Cut the connection: a message without its end counts as never sent."""
        self._client.close()

    async def quit(self) -> None:
        """End the session in good order, or at once within a message."""
        if self._inside:
            self.close()
            return
        try:
            async with asyncio.timeout(5.0):
                await self._client.quit()
        except (aiosmtplib.SMTPException, OSError, TimeoutError):
            self.close()


async def open_session(account: Mapping[str, str], secret_store: SecretStore) -> MailSession:
    """Connect to the server of an account and log in, if it has a user. Raises a failure."""
    host, port = account["host"], int(account["port"])
    password = ""
    version = 0
    if account.get("user"):
        secrets = await secret_store.read()
        version, password = secrets.version, secrets.values.get("password", "")
        if not password:
            message = f"{account['user']} has no password: `backoffice send set-account`"
            raise Failure("auth", "bad_settings", message, everywhere=True)
    async with _read_failures("connect", where=f"{host}:{port}: "):
        client = await _connected(account, host, port)
    hide = _forms_of(account["user"], password) if password else ()
    session = MailSession(client, hide)
    try:
        if password:
            async with secret_store.login(version), _read_failures("login", hide):
                await _log_in(client, account["user"], password)
    except BaseException:
        session.close()
        raise
    return session


def is_own_host(host: str) -> bool:
    """Return whether the setting `mail_hosts` of this process names the host."""
    return host in {name.strip() for name in settings().mail_hosts.split(",")} - {""}


async def _connected(account: Mapping[str, str], host: str, port: int) -> aiosmtplib.SMTP:
    """Return a client that is connected to the one address that was checked, over TLS."""
    tls = account["tls"]
    if tls == "none" and not is_own_host(host):
        message = f"{host} is not among BACKOFFICE_MAIL_HOSTS, so it needs TLS: starttls or tls"
        raise Failure("auth", "bad_settings", message, everywhere=True)
    context = httpx2.create_ssl_context()
    client = aiosmtplib.SMTP(
        hostname=host,
        local_hostname=account["sender"].rpartition("@")[2],
        timeout=COMMAND_SECONDS,
        use_tls=tls == "tls",
        start_tls=False,
        tls_context=context,
        sock=await _socket(host, port),
    )
    try:
        await client.connect(timeout=CONNECT_SECONDS)
        if tls == "starttls":
            await client.starttls(tls_context=context, server_hostname=host)
        await client.ehlo()
    except BaseException:
        client.close()
        raise
    return client


async def _socket(host: str, port: int) -> socket.socket:
    """Resolve the host once, refuse an address that is not allowed, and connect to the first."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for _, _, _, _, address in found:
        if not is_allowed(str(address[0]).partition("%")[0], local=is_own_host(host)):
            raise Failure(
                "auth",
                "bad_settings",
                f"{host} is at {address[0]}, which is not a public address: a mail server of"
                " your own is named in BACKOFFICE_MAIL_HOSTS of arg_sync",
                everywhere=True,
            )
    last: OSError | None = None
    for family, kind, protocol, _, address in found:
        sock = socket.socket(family, kind, protocol)
        sock.setblocking(False)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await loop.sock_connect(sock, address)
        except (OSError, TimeoutError) as error:
            sock.close()
            last = error if isinstance(error, OSError) else OSError("no answer")
        else:
            return sock
    raise last or OSError(f"{host} has no address")


async def _log_in(client: aiosmtplib.SMTP, user: str, password: str) -> None:
    """Log in once, with the first of our methods that the server has."""
    methods = {
        "plain": client.auth_plain,
        "login": client.auth_login,
        "cram-md5": client.auth_crammd5,
    }
    offered = [call for name, call in methods.items() if name in client.server_auth_methods]
    if not offered:
        raise Failure(
            "auth",
            "bad_settings",
            "the mail server offers no login with a password over this connection",
            everywhere=True,
        )
    await offered[0](user, password)


def _forms_of(user: str, password: str) -> Collection[str]:
    """Return a password as a server gets it, by itself and in the forms of a login."""
    forms = (password, f"\0{user}\0{password}")
    return (password, *(base64.b64encode(form.encode()).decode() for form in forms))


def _sender_refused(refused: aiosmtplib.SMTPSenderRefused) -> Exception:
    """Return what a refused MAIL means: the account may not send, except where it is the size."""
    if refused.code // 100 == 5 and refused.code != aiosmtplib.SMTPStatus.storage_exceeded:
        return Failure("permanent", "sender_refused", _words(refused), everywhere=True)
    return refused


@asynccontextmanager
async def _read_failures(
    step: str, hide: Collection[str] = (), where: str = ""
) -> AsyncIterator[None]:
    """Turn errors of the library into failures. `step`: connect, login, mail or end.

    Their messages begin with `where`, and what the server quotes of `hide` is replaced.
    """
    try:
        yield
    except Failure as failed:
        raise failed.reading(without(hide, failed.message)) from failed
    except (aiosmtplib.SMTPException, OSError, TimeoutError, ValueError) as error:
        read = _failure_of(step, error)
        raise read.reading(where + without(hide, read.message)) from error


def _failure_of(step: str, error: Exception) -> Failure:
    """Return what an error of the library means."""
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        if error.code in TRANSIENT_LOGINS:
            return Failure("transient", TOO_MANY, _words(error), everywhere=True)
        return Failure("auth", LOGIN_REFUSED, _words(error), everywhere=True)
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return _of_answer(step, error)
    if isinstance(error, aiosmtplib.SMTPServerDisconnected | OSError | TimeoutError):
        return _of_connection(step, error)
    # No STARTTLS, or an unreadable answer.
    if step == "end":
        return Failure("unknown", "unreadable", str(error))
    return Failure("permanent", "smtp", str(error), everywhere=step != "mail")


def _of_answer(step: str, error: aiosmtplib.SMTPResponseException) -> Failure:
    """Return what an answer such as 451 or 550 means; -1 is one that cannot be read."""
    message = _words(error)
    if error.code == aiosmtplib.SMTPStatus.invalid_response:
        kind: FailureClass = "unknown" if step == "end" else "transient"
        return Failure(kind, "unreadable", message, everywhere=step != "end")
    return Failure(
        "transient" if error.code // 100 == 4 else "permanent",
        f"smtp_{error.code}",
        message,
        everywhere=error.code in (421, 530) or step in ("connect", "login"),
    )


def _of_connection(step: str, error: Exception) -> Failure:
    """Return what a lost connection means: after the end of a message it may have been taken."""
    reason = str(error) or type(error).__name__
    if step == "end":
        message = f"the connection ended before the mail server answered: {reason}"
        return Failure("unknown", "answer_lost", message)
    return Failure("transient", "unreachable", reason, everywhere=True)


def _words(error: aiosmtplib.SMTPResponseException) -> str:
    return f"the mail server answered {error.code} {' '.join(error.message.split())}"
