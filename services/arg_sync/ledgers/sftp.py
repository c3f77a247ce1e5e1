"""The folder of a file drop on an SFTP server, by asyncssh.

The host key must be known: a server that shows another one is not logged in to. The standard rename
is used, which never replaces a file (draft-ietf-secsh-filexfer-02, 6.5: "It is an error if there
already exists a file with the name specified by newpath"), and not posix-rename@openssh.com, which
does.
"""

import asyncio
import contextlib
import hashlib
import posixpath
import socket
import stat
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import asyncssh

from services.arg_sync.ledgers.adapter import AdapterContext
from services.arg_sync.ledgers.failures import Failure
from services.arg_sync.ledgers.folders import (
    FILE_BYTES,
    Entry,
    file_exists,
    missing_folder,
    no_space,
    too_large,
)
from services.arg_sync.ledgers.http_client import without
from services.arg_sync.ledgers.network import is_allowed, is_public, is_test_host

CONNECT_SECONDS = 15.0
PART_BYTES = 1024 * 1024
KEY_TYPES = ("ssh-", "ecdsa-", "sk-")
NOT_FOUND = (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath)
FULL = (asyncssh.SFTPNoSpaceOnFilesystem, asyncssh.SFTPQuotaExceeded)


class SftpFolder:
    """A folder on a server; one connection, opened when it is first needed."""

    def __init__(self, context: AdapterContext) -> None:
        url = urlsplit(context.settings["base_url"])
        self._host, self._port = url.hostname or "", url.port or 22
        self._folder = unquote(url.path).rstrip("/") or "/"
        self._user = context.settings.get("user") or ""
        self._secret_store = context.secret_store
        self._seconds = context.capabilities.request_seconds
        if url.username or url.password or url.query or url.fragment or not self._host:
            raise _bad("the address is sftp://HOST[:PORT]/FOLDER; the user is a setting of its own")
        if not is_test_host(self._host) and not is_public(self._host):
            raise _bad(f"{self._host} is on this machine or in a private network")
        if not self._user:
            raise _bad("an SFTP server needs the setting user")
        self._known_hosts = known_hosts(context.settings.get("host_key") or "")
        self._hide: frozenset[str] = frozenset()
        self._opened: tuple[asyncssh.SSHClientConnection, asyncssh.SFTPClient] | None = None
        self._lock = asyncio.Lock()

    async def place(self) -> str:
        """Return what people call the folder; it must be there."""
        async with self._session("") as sftp:
            await self._require_folder(sftp)
        assert self._opened is not None
        key = self._opened[0].get_server_host_key()
        shown = f" ({key.get_algorithm()} {key.get_fingerprint()})" if key else ""
        return f"{self._user}@{self._host}:{self._port}{shown}, folder {self._folder}"

    async def read(self, path: str) -> bytes | None:
        """Return a whole file of limited size; None if there is none."""
        async with self._session(path) as sftp:
            try:
                async with sftp.open(self._at(path), "rb") as file:
                    content: bytes = await file.read(FILE_BYTES + 1)
            except NOT_FOUND:
                await self._require_folder(sftp)
                return None
        if len(content) > FILE_BYTES:
            raise too_large(path, len(content))
        return content

    async def digest(self, path: str) -> str | None:
        """Return the SHA-256 of a file; None if there is none."""
        found = hashlib.sha256()
        async with self._session(path) as sftp:
            try:
                async with sftp.open(self._at(path), "rb") as file:
                    while part := cast(bytes, await file.read(PART_BYTES)):
                        found.update(part)
            except NOT_FOUND:
                await self._require_folder(sftp)
                return None
        return found.hexdigest()

    async def write(self, path: str, content: bytes) -> None:
        """Write a new file durably, and its folder if that is missing."""
        async with self._session(path) as sftp:
            await self._require_folder(sftp)
            file = self._at(path)
            await sftp.makedirs(posixpath.dirname(file), exist_ok=True)
            async with sftp.open(file, "xb") as opened:
                await opened.write(content)
                with contextlib.suppress(asyncssh.SFTPOpUnsupported):
                    await opened.fsync()

    async def move(self, path: str, target: str) -> bool:
        """Rename without replacing; False if there is no such file."""
        async with self._session(path) as sftp:
            if await sftp.exists(self._at(target)):
                raise file_exists(target)
            try:
                await sftp.rename(self._at(path), self._at(target))
            except NOT_FOUND:
                if not await sftp.isdir(posixpath.dirname(self._at(target))):
                    raise missing_folder(posixpath.dirname(self._at(target))) from None
                return False
            except asyncssh.SFTPFailure:  # what version 3 says when the target exists
                if await sftp.exists(self._at(target)):
                    raise file_exists(target) from None
                raise
            return True

    async def remove(self, path: str) -> None:
        """Delete a file; one that is gone is fine."""
        async with self._session(path) as sftp:
            with contextlib.suppress(*NOT_FOUND):
                await sftp.remove(self._at(path))

    async def entry(self, path: str) -> Entry | None:
        """Return name, size and time of a file; None if there is none."""
        async with self._session(path) as sftp:
            try:
                found = await sftp.stat(self._at(path))
            except NOT_FOUND:
                await self._require_folder(sftp)
                return None
        return Entry(posixpath.basename(path), found.size or 0, float(found.mtime or 0))

    async def entries(self, path: str) -> list[Entry]:
        """Return the files of a folder; none if it is missing."""
        async with self._session(path) as sftp:
            try:
                listed = await sftp.readdir(self._at(path))
            except NOT_FOUND:
                await self._require_folder(sftp)
                return []
        return [
            Entry(str(each.filename), each.attrs.size or 0, float(each.attrs.mtime or 0))
            for each in listed
            if each.attrs.permissions is not None and stat.S_ISREG(each.attrs.permissions)
        ]

    async def close(self) -> None:
        """Close the connection."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened[0].abort()
            await opened[0].wait_closed()

    async def _require_folder(self, sftp: asyncssh.SFTPClient) -> None:
        """Raise a failure if the folder itself is missing: then nothing is known of its files."""
        if not await sftp.isdir(self._folder):
            raise missing_folder(self._folder)

    def _at(self, path: str) -> str:
        return posixpath.join(self._folder, path)

    @contextlib.asynccontextmanager
    async def _session(self, path: str) -> AsyncIterator[asyncssh.SFTPClient]:
        """Lend the connection for one operation; a broken one is dropped and never used again."""
        sftp = await self._client()
        try:
            async with asyncio.timeout(self._seconds):
                yield sftp
        except asyncssh.SFTPPermissionDenied as error:
            raise Failure(
                "permanent", "not_permitted", f"{path}: {self._clean(error.reason)}"
            ) from error
        except FULL as error:
            raise no_space(path, self._clean(error.reason)) from error
        except (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection) as error:
            raise await self._broken(error.reason) from error
        except asyncssh.SFTPError as error:
            raise Failure(
                "transient",
                "sftp",
                f"{path}: the server says {self._clean(error.reason)!r} (code {error.code});"
                " a full disk is among the causes",
                everywhere=True,
            ) from error
        except TimeoutError as error:
            reason = f"no answer within {self._seconds:.0f} s"
            raise await self._broken(reason) from error
        except (asyncssh.Error, OSError) as error:
            raise await self._broken(str(error)) from error

    def _clean(self, text: str) -> str:
        """Replace our secrets in what the server says."""
        return without(self._hide, text)

    async def _broken(self, reason: str) -> Failure:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened[0].abort()
        return Failure(
            "transient",
            "cut",
            f"{self._host}: the connection failed: {self._clean(reason)}",
            everywhere=True,
        )

    async def _client(self) -> asyncssh.SFTPClient:
        async with self._lock:
            if self._opened is not None and not self._opened[0].is_closed():
                return self._opened[1]
            secrets = await self._secret_store.read()
            self._hide = frozenset(secrets.values.values())
            async with self._secret_store.login(secrets.version):
                self._opened = await self._open(secrets.values)
            return self._opened[1]

    async def _open(
        self, secrets: Mapping[str, str]
    ) -> tuple[asyncssh.SSHClientConnection, asyncssh.SFTPClient]:
        """Connect to the one address that was checked, and log in once."""
        address = await self._address()
        try:
            async with asyncio.timeout(min(CONNECT_SECONDS, self._seconds)):
                connection = await asyncssh.connect(
                    address,
                    self._port,
                    username=self._user,
                    known_hosts=self._known_hosts,
                    config=None,
                    agent_path=None,
                    keepalive_interval=30,
                    **_credentials(secrets),
                )
                try:
                    return connection, await connection.start_sftp_client()
                except BaseException:
                    connection.abort()
                    raise
        except asyncssh.HostKeyNotVerifiable as error:
            raise Failure(
                "auth",
                "host_key",
                f"{self._host} shows another host key than host_key has: ask its owner whether it"
                " was changed, and connect again with the new one",
            ) from error
        except asyncssh.PermissionDenied as error:
            raise Failure(
                "auth", "login_refused", f"{self._host} refuses the login of {self._user}"
            ) from error
        except TimeoutError as error:
            raise self._away("no answer") from error
        except (asyncssh.Error, OSError) as error:
            raise self._away(f"{type(error).__name__}: {error}") from error

    def _away(self, reason: str) -> Failure:
        message = f"{self._host}:{self._port} cannot be reached: {self._clean(reason)}"
        return Failure("transient", "unreachable", message, everywhere=True)

    async def _address(self) -> str:
        """Resolve the host once, and refuse an address that is not allowed."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise self._away(str(error)) from error
        addresses = [str(each[4][0]) for each in found]
        for each in addresses:
            if not is_allowed(each.partition("%")[0], local=is_test_host(self._host)):
                raise Failure(
                    "permanent",
                    "forbidden_address",
                    f"{self._host} is at {each}, an address that is not allowed",
                    everywhere=True,
                )
        return addresses[0]


def _bad(message: str) -> Failure:
    return Failure("permanent", "bad_address", message, everywhere=True)


def known_hosts(text: str) -> bytes:
    """Return the host keys of a setting in the form of a known_hosts file that fits this host.

    A line may be of `ssh-keyscan` (host first) or the key alone. Raises a failure if there is none.
    """
    keys = []
    for line in text.splitlines():
        words = line.split()
        at = next((at for at, word in enumerate(words) if word.startswith(KEY_TYPES)), None)
        if at is None or len(words) < at + 2 or line.lstrip().startswith("#"):
            continue
        try:
            asyncssh.import_public_key(" ".join(words[at : at + 2]))
        except (asyncssh.KeyImportError, ValueError) as error:
            raise _bad(f"host_key is no public key: {error}") from error
        keys.append(" ".join(words[at : at + 2]))
    if not keys:
        raise _bad(
            "an SFTP server needs host_key, as in `ssh-ed25519 AAAA...`: `ssh-keyscan HOST` shows"
            " it; compare it with what the server's owner says"
        )
    return "".join(f"* {key}\n" for key in keys).encode()


def _credentials(secrets: Mapping[str, str]) -> dict[str, Any]:
    """Return how to log in: with the key if there is one, else with the password, never both."""
    if key := secrets.get("private_key"):
        try:
            read = asyncssh.import_private_key(key, secrets.get("passphrase") or None)
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
            raise Failure("auth", "bad_key", f"private_key cannot be read: {error}") from error
        return {"client_keys": [read], "password": None, "preferred_auth": "publickey"}
    if password := secrets.get("password"):
        return {
            "client_keys": None,
            "password": password,
            "preferred_auth": "password,keyboard-interactive",
        }
    raise Failure("auth", "no_login", "an SFTP server needs private_key or password")
