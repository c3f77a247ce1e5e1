"""A real SFTP server (asyncssh's own) on a folder, which misbehaves on demand, and the journal of
every file that ever appeared in it: what the tests of file drops compare with.
"""

import asyncio
import contextlib
import csv
import errno
import io
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncssh

from services.arg_sync.ledgers.drop_box import WORK
from tests.ledgers.fake import Fault, Written

USER, PASSWORD = "backoffice", "drop-secret-91c4"
LACKS = frozenset({"429", "expired", "error-200", "redirect", "page-after", "wrong-amount"})
"""Faults of HTTP; `test_file_drop.py` shows what an SFTP server has in their place."""


@dataclass
class DropVendor:
    """The other side: it reads each file that appears. `takes`: it takes the file away at once."""

    folder: Path
    takes: bool = False
    journal: list[Written] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    def appeared(self, name: str) -> None:
        """Read a file of ours in the columns of ours."""
        self.files.append(name)
        content = (self.folder / name).read_bytes()
        if name.endswith(".csv"):
            self.journal += documents_in(content)
        if self.takes:
            (self.folder / name).unlink()


def documents_in(content: bytes) -> list[Written]:
    """The documents of a CSV file; the total of a credit note is positive."""
    totals: dict[tuple[str, str], Decimal] = {}
    rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    for row in rows:
        sign = -1 if row["document_type"] == "credit-note" else 1
        key = row["invoice_number"], row["document_type"]
        worth = Decimal(row["amount"]) + Decimal(row["tax_amount"])
        totals[key] = totals.get(key, Decimal(0)) + sign * worth
    return [
        Written(number, kind, total, rows[0]["currency"], rows[0]["account_name"], number, "posted")
        for (number, kind), total in totals.items()
    ]


def is_ours(path: Path) -> bool:
    """Whether a path is a file that we deliver, and no work or checksum file."""
    return WORK not in path.parts and path.suffix != ".sha256"


@dataclass
class DropServer:
    """The server. `logins` counts what was tried. `full`: no byte can be written. `alters`: the
    last byte that is written becomes another one.

    `cut_at`: the connection is aborted at this operation (counted down), before it is carried out.
    """

    vendor: DropVendor
    logins: int = 0
    full: bool = False
    alters: bool = False
    cut_at: int | None = None
    faults: deque[Fault] = field(default_factory=deque)
    host_key: asyncssh.SSHKey = field(
        default_factory=lambda: asyncssh.generate_private_key("ssh-ed25519")
    )
    user_key: asyncssh.SSHKey = field(
        default_factory=lambda: asyncssh.generate_private_key("ssh-ed25519")
    )
    port: int = 0
    _listener: asyncssh.SSHAcceptor | None = None
    _open: set[asyncssh.SSHServerConnection] = field(default_factory=set)
    _late: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Its folder."""
        return f"sftp://127.0.0.1:{self.port}/"

    @property
    def public_key(self) -> str:
        """Its host key."""
        return self.host_key.export_public_key().decode().strip()

    def plan(self, *faults: Fault) -> None:
        """What the next files that appear meet."""
        self.faults.extend(faults)

    async def start(self) -> None:
        """Listens; after a stop on the same port."""
        server = self

        class Accepting(asyncssh.SSHServer):
            def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
                server._open.add(conn)

            def begin_auth(self, username: str) -> bool:
                return True

            def password_auth_supported(self) -> bool:
                return True

            def validate_password(self, username: str, password: str) -> bool:
                server.logins += 1
                return (username, password) == (USER, PASSWORD)

            def public_key_auth_supported(self) -> bool:
                return True

            def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
                server.logins += 1
                return username == USER and key == server.user_key.convert_to_public()

        self._listener = await asyncssh.listen(
            "127.0.0.1",
            self.port,
            server_factory=Accepting,
            server_host_keys=[self.host_key],
            sftp_factory=lambda channel: Files(channel, self),
        )
        self.port = self._listener.get_port()

    async def stop(self) -> None:
        """Aborts every connection, as a killed server does; the files stay."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self.abort()
        for task in self._late:
            task.cancel()
        await asyncio.sleep(0)

    def abort(self) -> None:
        """Cuts all connections."""
        for each in list(self._open):
            each.abort()
        self._open.clear()


class Files(asyncssh.SFTPServer):
    """The files of the server's folder."""

    def __init__(self, channel: Any, server: DropServer) -> None:
        super().__init__(channel, chroot=str(server.vendor.folder).encode())
        self._server = server

    def _count(self) -> None:
        server = self._server
        if server.cut_at is not None:
            server.cut_at -= 1
            if server.cut_at < 0:
                server.cut_at = None
                server.abort()
                raise asyncssh.SFTPConnectionLost("cut")

    def stat(self, path: bytes) -> Any:
        self._count()
        return super().stat(path)

    def open(self, path: bytes, pflags: int, attrs: Any) -> Any:
        self._count()
        return super().open(path, pflags, attrs)

    def write(self, file_obj: Any, offset: int, data: bytes) -> Any:
        self._count()
        if self._server.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        if self._server.alters:
            data = data[:-1] + b"?"
        return super().write(file_obj, offset, data)

    async def rename(self, oldpath: bytes, newpath: bytes) -> None:  # type: ignore[override]
        self._count()
        new = Path(self.map_path(newpath).decode())
        if not is_ours(new):
            super().rename(oldpath, newpath)
            return
        faults = self._server.faults
        planned = faults.popleft() if faults else None
        fault = planned.name if planned else ""
        if fault == "refuse":
            raise asyncssh.SFTPPermissionDenied("you may not write here")
        if fault == "page-503":
            raise asyncssh.SFTPFailure("internal error")
        if planned is not None and fault == "late":
            late = self._later(oldpath, newpath, planned.seconds)
            self._server._late.add(asyncio.create_task(late))
            await asyncio.sleep(3600)
        super().rename(oldpath, newpath)
        self._server.vendor.appeared(new.name)
        if fault in ("reset", "cut"):
            self._server.abort()
        if fault in ("silence", "slow"):
            await asyncio.sleep(3600)

    async def _later(self, oldpath: bytes, newpath: bytes, seconds: float) -> None:
        await asyncio.sleep(seconds)
        super().rename(oldpath, newpath)
        self._server.vendor.appeared(Path(self.map_path(newpath).decode()).name)


@contextlib.asynccontextmanager
async def serving(folder: Path, **changes: Any) -> AsyncIterator[DropServer]:
    """A server on a folder while the block lasts."""
    await asyncio.to_thread(folder.mkdir, exist_ok=True)
    server = DropServer(DropVendor(folder, **changes))
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
