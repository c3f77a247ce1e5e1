"""The files that the other side of a file drop puts down: acknowledgements and payments.

Both are CSV files in a folder of their own, described by a column file. Nothing there is changed or
deleted. A file is read again only if its name, size or time of change is new.
"""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.arg_sync.ledgers.column_files import (
    ID_LENGTH,
    Column,
    amount_in,
    csv_rows,
    day_in,
    id_in,
    means,
    unreadable_file,
)
from services.arg_sync.ledgers.documents import Payment, PaymentPage
from services.arg_sync.ledgers.failures import Failure
from services.arg_sync.ledgers.folders import DropFolder, Entry
from shared import clock
from shared.money import known_currency
from shared.terms import DocumentType

ACKNOWLEDGEMENT_FIELDS = ("number", "status", "remote_number", "message")
PAYMENT_FIELDS = ("payment_id", "number", "amount", "currency", "paid_on", "cancelled")
ACCEPTED = "accepted|ok|yes"
CANCELLED = "cancelled|yes|true"
LISTED_SECONDS = 2.0
"""How long a listing of acknowledgements is believed: a batch asks for each of its documents."""
GROWING_SECONDS = 60.0
"""A file that changed so recently and does not end with a line end is still being written."""
MOST_FILES = 20_000
SEEN_DIGITS = 12
CHECKSUM = ".sha256"


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What the other side says about a document or a file."""

    accepted: bool
    remote_number: str
    message: str
    file: str


@dataclass
class Acknowledgements:
    """All acknowledgements of a folder, by our number or by the name of our file.

    `unreadable` names the files that cannot be read; they hold up no document but their own.
    """

    folder: DropFolder
    path: str
    columns: Sequence[Column]
    unreadable: list[str] = field(default_factory=list)
    _read: dict[Entry, list[tuple[str, Acknowledgement]]] = field(default_factory=dict)
    _listed_at: float = 0.0

    async def of(self, *names: str) -> list[Acknowledgement]:
        """Return what is said about these names, the oldest first."""
        if not self._listed_at or time.monotonic() - self._listed_at > LISTED_SECONDS:
            await self._list()
        return [
            each
            for entry in sorted(self._read, key=lambda entry: (entry.changed, entry.name))
            for name, each in self._read[entry]
            if name in names
        ]

    async def _list(self) -> None:
        entries = await files_in(self.folder, self.path)
        known: dict[Entry, list[tuple[str, Acknowledgement]]] = {}
        wrong: list[str] = []
        for entry in entries:
            if entry in self._read:
                known[entry] = self._read[entry]
                continue
            content = await whole(self.folder, self.path, entry)
            try:
                if content is not None:
                    known[entry] = self._rows(content, entry.name)
            except Failure as failed:
                wrong.append(failed.message)
        self._read, self.unreadable, self._listed_at = known, wrong, time.monotonic()

    def _rows(self, content: bytes, name: str) -> list[tuple[str, Acknowledgement]]:
        form = form_of(self.columns, "status")
        return [
            (
                row["number"],
                Acknowledgement(
                    means(row["status"], form, ACCEPTED),
                    row.get("remote_number", "")[:ID_LENGTH],
                    row.get("message", "") or row["status"],
                    name,
                ),
            )
            for row in csv_rows(content, self.columns, name)
            if row["number"] and row["status"]
        ]


async def payments_since(
    folder: DropFolder, path: str, columns: Sequence[Column], cursor: str
) -> PaymentPage:
    """Return the payments of files that the cursor does not know, one page for one or more files.

    The cursor holds a short digest of each file that was read and is still there. A file that
    cannot be read holds up no other one; it fails the poll once there is nothing else to read.
    """
    seen = set(cursor.split())
    entries = await files_in(folder, path)
    digests = {entry: seen_as(entry) for entry in entries}
    kept = seen & set(digests.values())
    wrong: Failure | None = None
    for entry, digest in digests.items():
        if digest in kept:
            continue
        content = await whole(folder, path, entry)
        if content is None:
            continue
        try:
            found = payments_in(content, columns, entry.name)
        except Failure as failed:
            wrong = wrong or failed
            continue
        kept.add(digest)
        if found:
            return PaymentPage(" ".join(sorted(kept)), tuple(found))
    if wrong is not None:
        raise wrong
    return PaymentPage(" ".join(sorted(kept)))


def payments_in(content: bytes, columns: Sequence[Column], name: str) -> list[Payment]:
    """Return the payments of a file; all of them or a failure that names the line."""
    found = []
    for row in csv_rows(content, columns, name):
        try:
            found.append(_payment(row, columns))
        except ValueError as error:
            raise unreadable_file(name, f"line {row['line']}: {error}") from error
    return found


def _payment(row: Mapping[str, Any], columns: Sequence[Column]) -> Payment:
    amount = amount_in(row["amount"], form_of(columns, "amount"))
    number = id_in(row["number"], "number")
    if not known_currency(row["currency"]):
        raise ValueError(f"{row['currency']!r} is no currency")
    cancelled = means(row.get("cancelled", ""), form_of(columns, "cancelled"), CANCELLED)
    return Payment(
        payment_id=id_in(row["payment_id"], "payment_id"),
        remote_id=remote_id_of("invoice", number),
        number=number,
        amount=amount,
        currency=row["currency"],
        paid_on=day_in(row["paid_on"], form_of(columns, "paid_on")),
        cancelled=cancelled,
    )


def remote_id_of(kind: DocumentType, number: str) -> str:
    """Return the id of a document: a file drop has no other one than ours."""
    return f"{kind}:{number}"


def form_of(columns: Sequence[Column], name: str) -> str:
    """Return the form of a field's column."""
    return next((each.form for each in columns if each.value == name), "")


async def files_in(folder: DropFolder, path: str) -> list[Entry]:
    """Return the files of a folder without checksum files, the oldest first."""
    entries = [
        each
        for each in await folder.entries(path)
        if not each.name.startswith(".") and not each.name.endswith(CHECKSUM)
    ]
    if len(entries) > MOST_FILES:
        raise Failure(
            "transient",
            "too_many_files",
            f"{path} has {len(entries):,} files, the limit is {MOST_FILES:,}: archive old ones",
            everywhere=True,
        )
    return sorted(entries, key=lambda entry: (entry.changed, entry.name))


async def whole(folder: DropFolder, path: str, entry: Entry) -> bytes | None:
    """Return a file that is complete; None for one that is still being written or is gone."""
    at = f"{path}/{entry.name}"
    content = await folder.read(at)
    if content is None or len(content) != entry.size:
        return None
    stated = await folder.read(at + CHECKSUM)
    if stated is not None:
        words = stated.decode("utf-8", "replace").split()
        same = bool(words) and words[0].lower() == hashlib.sha256(content).hexdigest()
        return content if same else None
    young = abs(clock.now().timestamp() - entry.changed) < GROWING_SECONDS
    return None if young and not content.endswith(b"\n") else content


def seen_as(entry: Entry) -> str:
    """Return a short digest of what is known of a file."""
    text = f"{entry.name}\n{entry.size}\n{int(entry.changed)}"
    return hashlib.sha256(text.encode()).hexdigest()[:SEEN_DIGITS]
