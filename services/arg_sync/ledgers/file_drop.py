"""File drop: closed documents as files in a folder of this machine or on an SFTP server.

A document is a file, or a batch is (`per`). `drop_box` says how a file is put there exactly once,
`drop_formats` what is in it, `drop_reads` what comes back. With an acknowledgement folder a
document is a draft until the other side has accepted it; one that it rejected may be sent again, as
a file of its own with `.2`, `.3` and so on in its name.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from services.arg_sync.ledgers.adapter import (
    AdapterContext,
    AdapterSpec,
    Capabilities,
    FrozenRequest,
    Setting,
)
from services.arg_sync.ledgers.column_files import read_columns
from services.arg_sync.ledgers.documents import ArDocument, Customer, PaymentPage, RemoteDocument
from services.arg_sync.ledgers.drop_box import DropBox, FileRecord, RecordedDocument
from services.arg_sync.ledgers.drop_formats import (
    REQUEST,
    DroppedDocument,
    Writer,
    dropped,
    stem_of,
)
from services.arg_sync.ledgers.drop_reads import (
    ACKNOWLEDGEMENT_FIELDS,
    PAYMENT_FIELDS,
    Acknowledgement,
    Acknowledgements,
    payments_since,
    remote_id_of,
)
from services.arg_sync.ledgers.failures import Failure
from services.arg_sync.ledgers.folders import DropFolder, LocalFolder
from services.arg_sync.ledgers.sftp import SftpFolder
from services.arg_sync.ledgers.webhook import yes_or_no
from shared.terms import DocumentType, listed

BATCH = "batch"
NAMED = 5
MOST_SENT = 20


class FileDrop:
    """One folder. It keeps no customers and needs no codes: what is mapped goes into the files."""

    def __init__(self, context: AdapterContext) -> None:
        settings = context.settings
        self.capabilities = context.capabilities
        self._rate_limiter = context.rate_limiter
        self._batch_requests = context.batch_requests
        self._writer = Writer.of(settings)
        self._by_batch = _choice(settings, "per", ("batch", "document")) == BATCH
        self._files_stay = yes_or_no(settings, "files_stay")
        self._folder: DropFolder = (
            SftpFolder(context)
            if settings["base_url"].startswith("sftp://")
            else LocalFolder(settings["base_url"])
        )
        self._box = DropBox(self._folder, checksums=yes_or_no(settings, "checksum_file"))
        self._acknowledgements = self._reads(
            settings, "acknowledgement", ACKNOWLEDGEMENT_FIELDS, ("remote_number", "message")
        )
        if self._acknowledgements is not None:
            self.capabilities = replace(context.capabilities, steps=2)
        self._payments = self._reads(settings, "payment", PAYMENT_FIELDS, ("cancelled",))
        self._batch_locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def _reads(
        self,
        settings: Mapping[str, str],
        what: str,
        fields: Sequence[str],
        optional: Sequence[str],
    ) -> Acknowledgements | None:
        """Return the folder in which files of the other side are, with their columns."""
        path = (settings.get(f"{what}_folder") or "").strip("/")
        if not path:
            return None
        if ".." in path.split("/"):
            raise ValueError(f"{what}_folder is {path}: name a folder below that of base_url")
        name = f"{what}_columns"
        columns = read_columns(settings.get(name) or "", fields, name)
        named = {each.value for each in columns}
        if missing := sorted(set(fields) - named - set(optional)):
            raise ValueError(f"{name} has no column for {', '.join(missing)}")
        if not (settings.get(name) or "").strip():
            columns = tuple(replace(each, optional=each.value in optional) for each in columns)
        return Acknowledgements(self._folder, path, columns)

    async def check(self) -> str:
        """Show the folder and how many files lie in it."""
        await self._rate_limiter()
        place = await self._folder.place()
        files = [each for each in await self._folder.entries("") if not each.name.startswith(".")]
        wrong = ""
        if self._acknowledgements is not None:
            await self._acknowledgements.of("")
            wrong = "".join(f"; {each}" for each in self._acknowledgements.unreadable[:NAMED])
        return f"{place}, {len(files):,} files in it{wrong}"

    async def renew(self) -> None:
        """Log in with the newest secrets; a refused login is not tried again with the same."""
        await self._folder.place()

    async def customer_for(self, customer: Customer) -> str | None:
        """Return the mapped code, else the Account Name."""
        return customer.mapped or customer.account_name

    async def add_customer(self, customer: Customer) -> str:
        """Return the same: nothing is created here."""
        return customer.mapped or customer.account_name

    def render(self, document: ArDocument, customer: str) -> str:
        """Return the closed document with its mapped codes; refuse what the format cannot carry."""
        content = dropped(document, customer)
        self._writer.require_fit(content)
        return REQUEST.dump_json(content).decode()

    async def create(self, requests: Sequence[FrozenRequest]) -> list[RemoteDocument | Failure]:
        """Put the file of a document, or that of its whole batch."""
        (one,) = requests
        await self._rate_limiter()
        content = REQUEST.validate_json(one.request)
        sent = await self._rejections(one.kind, one.number)
        await self._require_not_rejected(one, sent)
        record = await self._record_of(one.kind, one.number, sent)
        if record is not None and await self._gone(record):
            await self._box.forget(record)
            record = None
        if record is None:
            in_batch = self._by_batch and not sent and self._batch_requests is not None
            put = self._put_batch(one, content) if in_batch else None
            record = (await put if put else None) or await self._put_alone(one, content, sent)
        known = record.document(one.kind, one.number)
        if known is None or known.key != one.key:
            raise Failure("duplicate", "number_taken", f"{one.number} is in {record.name} already")
        return [await self._remote(record, known, sent)]

    async def _require_not_rejected(self, one: FrozenRequest, sent: int) -> None:
        """Refuse the request that was rejected; a retry after a fix has another key."""
        before = await self._record_of(one.kind, one.number, sent - 1) if sent else None
        known = before.document(one.kind, one.number) if before is not None else None
        if known is not None and known.key == one.key:
            raise await self._rejection(one.kind, one.number)

    async def _rejection(self, kind: DocumentType, number: str) -> Failure:
        said = [each for each in await self._said(kind, number) if not each.accepted]
        why = f"was rejected: {said[-1].message} ({said[-1].file})" if said else "is in no file"
        return Failure("permanent", "rejected", f"{number} {why}")

    async def _put_alone(
        self, one: FrozenRequest, content: DroppedDocument, sent: int
    ) -> FileRecord:
        """Put a document as a file of its own; after `sent` rejections under another name."""
        stem = _stem(one.kind, one.number, sent)
        body = await asyncio.to_thread(self._writer.content, [content])
        name = stem + self._writer.suffix(1)
        return await self._box.put(stem, name, body, [_recorded(one, content)])

    async def _put_batch(self, one: FrozenRequest, content: DroppedDocument) -> FileRecord | None:
        """Put the file of the whole batch as soon as every document of it has a stored request.

        None if the batch's file was delivered without this document, which then goes alone. Where a
        format has no currency, a file is for the documents of one.
        """
        document = content.document
        of_currency = self._writer.by_currency
        stem = _batch_stem(document.batch_id, document.currency if of_currency else "")
        async with self._batch_locks[stem]:
            if (known := await self._box.record(stem)) is not None:
                return known if known.document(one.kind, one.number) else None
            assert self._batch_requests is not None
            batch = await self._batch_requests(document.batch_id)
            if batch.waiting:
                raise Failure(
                    "transient",
                    "batch_incomplete",
                    f"the file of batch {document.batch_id} waits for"
                    f" {listed(batch.waiting, NAMED)}",
                )
            read = [(each, REQUEST.validate_json(each.request)) for each in batch.requests]
            if of_currency:
                read = [pair for pair in read if pair[1].document.currency == document.currency]
            body = await asyncio.to_thread(self._writer.content, [each for _, each in read])
            name = stem + self._writer.suffix(len(read))
            return await self._box.put(stem, name, body, [_recorded(*each) for each in read])

    async def post(self, remote_id: str, kind: DocumentType) -> RemoteDocument:
        """Wait for the acknowledgement: posted if it is there, refused if it is a rejection."""
        number = remote_id.partition(":")[2]
        found = await self._one(kind, number)
        if found is None:
            raise await self._rejection(kind, number)
        if found.state == "draft":
            assert self._acknowledgements is not None
            wrong = "".join(f"; {each}" for each in self._acknowledgements.unreadable[:1])
            raise Failure(
                "transient",
                "not_acknowledged",
                f"{found.remote_number} has no acknowledgement yet{wrong}",
            )
        return found

    async def discard(self, remote_id: str, kind: DocumentType) -> None:
        """Refuse: a file that was put down may have been read."""
        raise Failure("permanent", "no_drafts", f"{remote_id} is in a file: no file is taken back")

    async def allocate(self, credit: RemoteDocument, document: ArDocument) -> None:
        """Do nothing: the credit note names its invoices, and the other side applies it."""

    async def find(
        self, kind: DocumentType, numbers: Sequence[str]
    ) -> dict[str, list[RemoteDocument]]:
        """Look up in the records of our files."""
        await self._rate_limiter()
        found = {number: await self._one(kind, number) for number in numbers}
        return {number: [one] if one is not None else [] for number, one in found.items()}

    async def status(
        self, kind: DocumentType, remote_ids: Sequence[str]
    ) -> dict[str, RemoteDocument | None]:
        """Look up by id, which holds the number. A rejected document counts as voided."""
        await self._rate_limiter()
        return {each: await self._one(kind, each.partition(":")[2]) for each in remote_ids}

    async def payments(self, cursor: str) -> PaymentPage:
        """Return the payments of new files in the payment folder."""
        if self._payments is None:
            return PaymentPage(cursor)
        await self._rate_limiter()
        return await payments_since(
            self._folder, self._payments.path, self._payments.columns, cursor
        )

    async def close(self) -> None:
        """Close the connection."""
        await self._folder.close()

    async def _one(self, kind: DocumentType, number: str) -> RemoteDocument | None:
        """Return a document as it is there now; None if it is in no file or was rejected."""
        sent = await self._rejections(kind, number)
        record = await self._record_of(kind, number, sent)
        if record is None or await self._gone(record):
            return None
        known = record.document(kind, number)
        return None if known is None else await self._remote(record, known, sent)

    async def _record_of(self, kind: DocumentType, number: str, sent: int) -> FileRecord | None:
        """Return the record of the delivered file that has the document, after `sent` rejections.

        The first time it may be the file of a batch.
        """
        if (alone := await self._box.record(_stem(kind, number, sent))) is not None or sent:
            return alone
        for stem in await self._box.batch_stems():
            record = await self._box.record(stem)
            if record is not None and record.document(kind, number) is not None:
                return record
        return None

    async def _gone(self, record: FileRecord) -> bool:
        """Return whether a file that must stay is gone; one that may be taken away never is."""
        return self._files_stay and await self._box.difference(record) is None

    async def _said(self, kind: DocumentType, number: str) -> list[Acknowledgement]:
        """Return the acknowledgements of a document, by its number or by its file's name."""
        if self._acknowledgements is None:
            return []
        said = await self._acknowledgements.of(number)
        for sent in range(MOST_SENT):
            record = await self._record_of(kind, number, sent)
            if record is None:
                break
            said += await self._acknowledgements.of(record.name)
        return said

    async def _rejections(self, kind: DocumentType, number: str) -> int:
        """Return how often a document was rejected: so many files of it count no more."""
        return sum(not each.accepted for each in await self._said(kind, number))

    async def _remote(
        self, record: FileRecord, known: RecordedDocument, sent: int
    ) -> RemoteDocument:
        said = await self._said(known.kind, known.number)
        accepted = [each for each in said if each.accepted]
        waits = self._acknowledgements is not None and not accepted
        return RemoteDocument(
            remote_id=remote_id_of(known.kind, known.number),
            number=known.number,
            kind=known.kind,
            state="draft" if waits else "posted",
            currency=known.currency,
            total=known.total,
            customer=known.customer,
            remote_number=(accepted[-1].remote_number if accepted else "") or record.name,
            invoice_date=known.invoice_date,
            problem=await self._box.difference(record) or "",
        )


def _recorded(one: FrozenRequest, content: DroppedDocument) -> RecordedDocument:
    document = content.document
    return RecordedDocument(
        kind=one.kind,
        number=one.number,
        key=one.key,
        currency=document.currency,
        total=document.sign * document.total,
        customer=content.customer,
        invoice_date=document.invoice_date,
    )


def _stem(kind: DocumentType, number: str, sent: int) -> str:
    return stem_of(kind, number) + (f".{sent + 1}" if sent else "")


def _batch_stem(batch_id: str, currency: str) -> str:
    return stem_of(BATCH, batch_id, *filter(None, [currency]))


def _choice(settings: Mapping[str, str], name: str, choices: Sequence[str]) -> str:
    text = settings.get(name) or choices[0]
    if text not in choices:
        raise ValueError(f"{name} is {text!r}: write {' or '.join(choices)}")
    return text


LEDGER = AdapterSpec(
    name="file-drop",
    title="a file drop",
    settings=(
        Setting(
            "base_url",
            "sftp://HOST[:PORT]/FOLDER, or a folder below file-drop in the data folder of arg_sync",
            required=True,
            binds=True,
        ),
        Setting("user", "logs in to the SFTP server", default="", binds=True),
        Setting(
            "host_key",
            "the server's public key, as in ssh-ed25519 AAAA...; several on lines of their own",
            default="",
            binds=True,
            from_file=True,
        ),
        Setting("private_key", "logs in, in OpenSSH's or PEM form", secret=True, from_file=True),
        Setting("passphrase", "of the private key", secret=True),
        Setting("password", "logs in if there is no private key", secret=True),
        Setting("format", "csv, xlsx, ubl, pdf or iif", default="csv"),
        Setting("per", "batch: a file for each batch; document: one for each", default=BATCH),
        Setting("layout", "layout of the CSV; empty: our columns", default="", from_file=True),
        Setting("country", "ubl: where an address names none, as in US", default=""),
        Setting("accounts", "iif: names, as in receivable=Debtors;income=Sales", default=""),
        Setting("class", "iif: the field of a line that is its class, as in item_id", default=""),
        Setting("class_names", "iif: classes for its values, as in A=East;B=West", default=""),
        Setting("checksum_file", "yes: NAME.sha256 is put before each file", default="yes"),
        Setting(
            "files_stay",
            "yes: files are left there, so one that is gone is a drift; no: it was taken",
            default="no",
        ),
        Setting("acknowledgement_folder", "below base_url; empty: none are awaited", default=""),
        Setting("acknowledgement_columns", "column file", default="", from_file=True),
        Setting("payment_folder", "below base_url; empty: none are read", default=""),
        Setting("payment_columns", "column file", default="", from_file=True),
    ),
    capabilities=Capabilities(
        request_key=True,
        unique_number=True,
        steps=1,
        concurrency=4,
        request_seconds=60.0,
        server_seconds=60.0,
        maps_codes=False,
        keeps_customers=False,
    ),
    make=FileDrop,
    needs="a folder, or an SFTP server with a login and its host key",
)
