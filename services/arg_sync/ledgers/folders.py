"""The folder of a file drop on this machine, and what any such folder must be able to do.

All paths are relative to the folder of the connection. Every failure is a `Failure`: what was not
done is `transient`, and the caller decides where an unknown outcome begins.
"""

import asyncio
import contextlib
import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from services.arg_sync.ledgers.failures import Failure
from shared.settings import settings

FILE_BYTES = 20 * 1024 * 1024
"""No file that is read back may be larger; what we write may."""
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file: its name, size in bytes, and time of change in seconds since 1970."""

    name: str
    size: int
    changed: float


class DropFolder(Protocol):
    """Files on a disk or a server. No operation ever overwrites a file."""

    async def place(self) -> str:
        """Return what people call it; raises a failure if it cannot be used."""

    async def read(self, path: str) -> bytes | None:
        """Return a whole file; None if there is none. A file that is too large is `permanent`."""

    async def digest(self, path: str) -> str | None:
        """Return the SHA-256 of a file of any size, in hexadecimal digits; None without a file."""

    async def write(self, path: str, content: bytes) -> None:
        """Write a new file durably, and its folder if that is missing."""

    async def move(self, path: str, target: str) -> bool:
        """Rename atomically. False if there is no such file; `file_exists` if the target exists."""

    async def remove(self, path: str) -> None:
        """Delete a file; one that is gone is fine."""

    async def entry(self, path: str) -> Entry | None:
        """Return what the disk knows of a file; None if there is none."""

    async def entries(self, path: str) -> list[Entry]:
        """Return the files of a folder; none if the folder is missing."""

    async def close(self) -> None:
        """Close what is open."""


def file_exists(path: str) -> Failure:
    """Return the failure of a move whose target exists."""
    return Failure("permanent", "file_exists", f"there is a file {path} already")


def too_large(path: str, size: int) -> Failure:
    """Return the failure of a file that is not read."""
    return Failure(
        "permanent", "file_too_large", f"{path} has {size:,} bytes, the limit is {FILE_BYTES:,}"
    )


def no_space(path: str, reason: object) -> Failure:
    """Return the failure of a full disk."""
    return Failure(
        "transient",
        "no_space",
        f"{path} could not be written, the disk is full: {reason}",
        everywhere=True,
    )


def missing_folder(path: str) -> Failure:
    """Return the failure of a folder that is not there: a disk may not be mounted yet."""
    return Failure(
        "transient",
        "no_folder",
        f"there is no folder {path}: create it, or mount its disk",
        everywhere=True,
    )


def local_root() -> Path:
    """Return the folder below which file drops of this machine are."""
    root = settings().file_drop_folder or settings().data / "file-drop"
    return root.expanduser().resolve()


class LocalFolder:
    """A folder of this machine, below the one that the settings of arg_sync allow."""

    def __init__(self, path: str) -> None:
        root = local_root()
        self._path = (root / path).resolve()
        if self._path != root and root not in self._path.parents:
            raise Failure(
                "permanent",
                "bad_address",
                f"{path} is not below {root}: name a folder in it, or set"
                " BACKOFFICE_FILE_DROP_FOLDER of arg_sync",
                everywhere=True,
            )

    async def place(self) -> str:
        """Return what people call the folder; it must be there."""
        await self._run("", lambda: None)
        return f"folder {self._path}"

    async def read(self, path: str) -> bytes | None:
        """Return a whole file of limited size; None if there is none."""

        def read() -> bytes | None:
            with contextlib.suppress(FileNotFoundError), self._at(path).open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size > FILE_BYTES:
                    raise too_large(path, size)
                return file.read()
            return None

        return await self._run(path, read)

    async def digest(self, path: str) -> str | None:
        """Return the SHA-256 of a file; None if there is none."""

        def read() -> str | None:
            with contextlib.suppress(FileNotFoundError), self._at(path).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
            return None

        return await self._run(path, read)

    async def write(self, path: str, content: bytes) -> None:
        """Write a new file durably, and its folder if that is missing."""

        def write() -> None:
            file = self._at(path)
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("xb") as opened:
                opened.write(content)
                opened.flush()
                os.fsync(opened.fileno())

        await self._run(path, write)

    async def move(self, path: str, target: str) -> bool:
        """Rename without replacing; False if there is no such file."""

        def move() -> bool:
            old, new = self._at(path), self._at(target)
            try:
                os.link(old, new)  # unlike a rename, a link never replaces a file
            except FileNotFoundError:
                if not new.parent.is_dir():
                    raise missing_folder(str(new.parent)) from None
                return False
            except FileExistsError:
                raise file_exists(target) from None
            except OSError:  # a file system without links
                if new.exists():
                    raise file_exists(target) from None
                os.rename(old, new)
            else:
                os.unlink(old)
            for folder in {old.parent, new.parent}:
                _sync(folder)
            return True

        return await self._run(path, move)

    async def remove(self, path: str) -> None:
        """Delete a file; one that is gone is fine."""
        await self._run(path, lambda: self._at(path).unlink(missing_ok=True))

    async def entry(self, path: str) -> Entry | None:
        """Return name, size and time of a file; None if there is none."""

        def read() -> Entry | None:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                found = self._at(path).stat()
                return Entry(Path(path).name, found.st_size, found.st_mtime)
            return None

        return await self._run(path, read)

    async def entries(self, path: str) -> list[Entry]:
        """Return the files of a folder; none if it is missing."""

        def read() -> list[Entry]:
            found: list[Entry] = []
            with contextlib.suppress(FileNotFoundError), os.scandir(self._at(path)) as listed:
                for each in listed:
                    with contextlib.suppress(FileNotFoundError):
                        known = each.stat()
                        if stat.S_ISREG(known.st_mode):
                            found.append(Entry(each.name, known.st_size, known.st_mtime))
            return found

        return await self._run(path, read)

    async def close(self) -> None:
        """Do nothing: no file stays open."""

    def _at(self, path: str) -> Path:
        """Return the path on this machine, with no symbolic link to a place outside."""
        found = (self._path / path).resolve()
        root = local_root()
        if found != root and root not in found.parents:
            raise Failure("permanent", "bad_address", f"{path} leads out of {root}")
        return found

    async def _run(self, path: str, call: Callable[[], Result]) -> Result:
        def run() -> Result:
            if not self._path.is_dir():  # then nothing is known of its files
                raise missing_folder(str(self._path))
            return call()

        try:
            return await asyncio.to_thread(run)
        except PermissionError as error:
            raise Failure(
                "permanent", "not_permitted", f"{path}: {error.strerror}", everywhere=True
            ) from error
        except OSError as error:
            if error.errno in NO_SPACE:
                raise no_space(path, error.strerror) from error
            raise Failure(
                "transient", "disk", f"{path}: {error.strerror or error}", everywhere=True
            ) from error


def _sync(folder: Path) -> None:
    """Make the names of a folder durable, where the file system can."""
    with contextlib.suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def part_name() -> str:
    """Return a name for a file that is being written: no other worker uses it."""
    return f"{secrets.token_hex(8)}.part"
