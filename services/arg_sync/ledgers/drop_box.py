"""How a file is put into a folder exactly once, whatever is killed or cut in between.

Beside the files there is a work folder (`.backoffice`), which the other side must leave alone. It
holds unfinished files (`parts`) and a record of each file (`records`): checksum and documents.
A file is delivered in four steps, each of which is atomic or harmless to repeat:

1. the content is written to a part with a name of its own, read back and compared;
2. the checksum file is put beside the place of the file;
3. the record is put in its place; it names the part. From here on the outcome may be unknown;
4. the part is renamed to the file. A rename never replaces a file.

So a record whose part is still there was not delivered, and a record without its part was: also
where the other side has taken the file away meanwhile. A file of that name that we did not write
counts as delivered if its checksum is ours; otherwise an operator decides.
"""

import contextlib
import hashlib
import posixpath
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from pydantic import TypeAdapter, ValidationError

from services.arg_sync.ledgers.failures import Failure, unreadable
from services.arg_sync.ledgers.folders import DropFolder, part_name
from services.arg_sync.ledgers.http_client import require_time_to_write
from shared.terms import DocumentType

WORK = ".backoffice"
DROPPED = ".dropped"
BATCH = "batch-"
TRIES = 3
BELIEVED_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class RecordedDocument:
    """A document in a file. `total` is positive on a credit note."""

    kind: DocumentType
    number: str
    key: str
    currency: str
    total: Decimal
    customer: str
    invoice_date: date


@dataclass(frozen=True, slots=True)
class FileRecord:
    """What a file holds. `stem` is the name of its record, `part` the file that becomes it."""

    stem: str
    name: str
    sha256: str
    size: int
    part: str
    documents: tuple[RecordedDocument, ...]

    def document(self, kind: DocumentType, number: str) -> RecordedDocument | None:
        """Return the document of a kind and number."""
        return next(
            (one for one in self.documents if (one.kind, one.number) == (kind, number)), None
        )


RECORD = TypeAdapter(FileRecord)


class DropBox:
    """The files of a connection and their records. `checksums`: a checksum file beside each."""

    def __init__(self, folder: DropFolder, *, checksums: bool) -> None:
        self.folder = folder
        self._checksums = checksums
        self._delivered: dict[str, FileRecord] = {}
        self._digests: dict[str, tuple[int, float, str]] = {}

    async def record(self, stem: str) -> FileRecord | None:
        """Return the record of a delivered file; None if the file was not delivered."""
        if stem in self._delivered:
            return self._delivered[stem]
        found, part = await self._state(stem)
        if found is None or part is not None:
            return None
        self._delivered[stem] = found
        return found

    async def batch_stems(self) -> list[str]:
        """Return the stems of the records of batches, delivered or not."""
        listed = await self.folder.entries(f"{WORK}/records/batches")
        return [each.name.removesuffix(".json") for each in listed if each.name.endswith(".json")]

    async def difference(self, record: FileRecord) -> str | None:
        """Return how the file differs now from what was put: "" if not, None if it is gone."""
        there = await self.folder.entry(record.name)
        if there is None:
            return None
        found = await self._digest(record.name, there.size)
        if found is None:
            return None
        if found == record.sha256:
            return ""
        return (
            f"the file {record.name} was changed: its SHA-256 is {found[:16]}... with"
            f" {there.size:,} bytes, ours is {record.sha256[:16]}... with {record.size:,}"
        )

    async def _digest(self, name: str, size: int) -> str | None:
        """Return the SHA-256 of a file, as of some seconds ago at most: a batch asks for each of
        its documents. The time of change does not tell: servers give it in seconds.
        """
        known = self._digests.get(name)
        if known and known[0] == size and time.monotonic() - known[1] < BELIEVED_SECONDS:
            return known[2]
        if (found := await self.folder.digest(name)) is not None:
            self._digests[name] = size, time.monotonic(), found
        return found

    async def put(
        self, stem: str, name: str, content: bytes, documents: Sequence[RecordedDocument]
    ) -> FileRecord:
        """Deliver a file and return its record; that of an earlier delivery if there is one."""
        wanted = FileRecord(
            stem,
            name,
            sha256(content),
            len(content),
            f"{WORK}/parts/{part_name()}",
            tuple(documents),
        )
        for _ in range(TRIES):
            known, part = await self._state(stem)
            if known is None:
                if not await self._begin(stem, wanted, content):
                    continue
                known, part = wanted, wanted.part
            if part is not None and (part != known.part or not _same(known, wanted)):
                await self._abandon(stem, known)
                continue
            if part is not None:
                await self._finish(known)
            self._delivered[stem] = known
            return known
        raise Failure("transient", "put_elsewhere", f"another worker is writing {name}")

    async def forget(self, record: FileRecord) -> None:
        """Delete the record of a delivered file that is gone, so that it can be put again."""
        self._delivered.pop(record.stem, None)
        await self.folder.remove(_path(record.stem))

    async def _begin(self, stem: str, wanted: FileRecord, content: bytes) -> bool:
        """Write part, checksum file and record; False if another worker has put a record.

        Nothing is delivered by it. Once the record may be there, the part must not be removed: a
        record without its part counts as delivered.
        """
        require_time_to_write()
        draft = f"{posixpath.dirname(_path(stem))}/{part_name()}"
        try:
            await self.folder.write(wanted.part, content)
            if await self.folder.digest(wanted.part) != wanted.sha256:
                raise Failure(
                    "transient",
                    "not_stored",
                    f"{wanted.name} was not stored as it was sent: its checksum differs",
                    everywhere=True,
                )
            if self._checksums:
                await self._put_checksum(wanted)
            await self.folder.write(draft, RECORD.dump_json(wanted))
            require_time_to_write()
        except Failure:
            await self._tidy(wanted.part, draft)
            raise
        try:
            await self.folder.move(draft, _path(stem))
        except Failure as failed:
            if failed.code != "file_exists":
                raise
            await self._tidy(wanted.part, draft)
            return False
        return True

    async def _put_checksum(self, wanted: FileRecord) -> None:
        """Put the checksum file, in the form of sha256sum. An older one is replaced."""
        path, draft = f"{wanted.name}.sha256", f"{WORK}/parts/{part_name()}"
        text = f"{wanted.sha256}  {wanted.name}\n".encode()
        if await self.folder.read(path) == text:
            return
        await self.folder.remove(path)
        await self.folder.write(draft, text)
        await self.folder.move(draft, path)

    async def _finish(self, record: FileRecord) -> None:
        """Rename the part to the file. From here on the outcome may be unknown."""
        require_time_to_write()
        try:
            await self.folder.move(record.part, record.name)
        except Failure as failed:
            if failed.code != "file_exists":
                raise _unknown(failed) from failed
        else:
            return  # it was renamed, by us or by another worker just before
        differs = await self.difference(record)
        if differs is None:
            raise Failure("transient", "moved", f"{record.name} was there and is gone: look again")
        if differs:
            raise Failure(
                "permanent",
                "other_file",
                f"{record.name} is there with other content, and we did not write it: move it away"
                " and retry, or mark the documents as posted",
            )
        await self.folder.remove(record.part)

    async def _abandon(self, stem: str, record: FileRecord) -> None:
        """Undo a record that was never delivered. The renamed part proves that no worker can."""
        if await self.folder.entry(record.part + DROPPED) is None and not await self.folder.move(
            record.part, record.part + DROPPED
        ):
            return  # it was delivered a moment ago
        await self.folder.remove(_path(stem))
        await self.folder.remove(record.part + DROPPED)

    async def _part_of(self, record: FileRecord) -> str | None:
        """Return the part of a record that was not delivered."""
        for path in (record.part, record.part + DROPPED):
            if await self.folder.entry(path) is not None:
                return path
        return None

    async def _state(self, stem: str) -> tuple[FileRecord | None, str | None]:
        """Return the record of a file and its part; no part means that it was delivered.

        The record is read again if there is no part: another worker may just undo a delivery.
        """
        found = await self._read(stem)
        if found is None:
            return None, None
        part = await self._part_of(found)
        if part is None and await self._read(stem) != found:
            return None, None
        return found, part

    async def _read(self, stem: str) -> FileRecord | None:
        content = await self.folder.read(_path(stem))
        if content is None:
            return None
        try:
            return RECORD.validate_json(content)
        except ValidationError as error:
            raise unreadable(
                f"the record {_path(stem)} is damaged ({error.error_count()} errors)", writes=False
            ) from error

    async def _tidy(self, *paths: str) -> None:
        """Remove unfinished files if that is possible; one that stays does no harm."""
        with contextlib.suppress(Failure):
            for each in paths:
                await self.folder.remove(each)


def sha256(content: bytes) -> str:
    """Return the SHA-256 in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def _path(stem: str) -> str:
    """Return the path of a record. Batches are apart: they are looked through, documents not."""
    of = "batches" if stem.startswith(BATCH) else "documents"
    return f"{WORK}/records/{of}/{stem}.json"


def _same(known: FileRecord, wanted: FileRecord) -> bool:
    return (known.name, known.sha256, known.documents) == (
        wanted.name,
        wanted.sha256,
        wanted.documents,
    )


def _unknown(failed: Failure) -> Failure:
    """Return the failure of a step that may have taken effect although it failed."""
    if failed.failure != "transient" or failed.code in ("unreachable", "no_folder"):
        return failed
    return Failure("unknown", failed.code, failed.message, everywhere=failed.everywhere)
