"""What file drops write and read: formats, layouts, column files, acknowledgements, payments."""

import contextlib
import csv
import io
import os
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pypdf
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from services.arg_sync.ledgers import column_files, drop_reads, folders
from services.arg_sync.ledgers.adapter import BatchRequests, FrozenRequest, LedgerAdapter
from services.arg_sync.ledgers.column_files import csv_rows, read_columns
from services.arg_sync.ledgers.documents import ArDocument
from services.arg_sync.ledgers.drop_formats import Writer, dropped, stem_of
from services.arg_sync.ledgers.drop_reads import PAYMENT_FIELDS, payments_in
from services.arg_sync.ledgers.failures import Failure
from services.arg_sync.ledgers.file_drop import LEDGER
from services.arg_sync.ledgers.http_client import Response
from services.arg_sync.ledgers.intacct_xml import result_of
from services.arg_sync.ledgers.sftp import known_hosts
from tests.conftest import Configure
from tests.ledgers.suite import Stage, document, host, key

LAYOUT = """
separator = ";"
decimal = ","
dates = "%d.%m.%Y"
signs = "document"
[[column]]
heading = "Rechnung"
field = "invoice_number"
[[column]]
heading = "Art"
field = "document_type"
values = {invoice = "RE", credit-note = "GS"}
[[column]]
heading = "Datum"
field = "invoice_date"
[[column]]
heading = "Konto"
field = "mapped_account"
[[column]]
heading = "Steuer"
field = "mapped_tax"
[[column]]
heading = "Betrag"
field = "amount"
[[column]]
heading = "Mandant"
text = "0815"
"""


def a_document(number: str = "INV-000001", kind: str = "invoice", **changes: Any) -> ArDocument:
    """A document with its closed form."""
    codes = {"account": "4000", "tax": "T10"}
    return document(Stage(None, None, None, (), codes), number, kind, **changes)  # type: ignore[arg-type]


@pytest.fixture
def inbox(tmp_path: Path, configure: Configure) -> Path:
    """A folder that connections may use."""
    configure(file_drop_folder=str(tmp_path))
    for name in ("inbox", "inbox/acks", "inbox/paid"):
        (tmp_path / name).mkdir()
    return tmp_path / "inbox"


def drop(requests: Any = None, **settings: str) -> LedgerAdapter:
    """An adapter on the folder."""
    given = {"base_url": "inbox", "per": "document"} | settings
    context = host(LEDGER.capabilities, given, {}, LEDGER.settings)
    return LEDGER.make(replace(context, batch_requests=requests))


def frozen(adapter: LedgerAdapter, made: ArDocument, revision: str = "") -> FrozenRequest:
    """The stored request of a document."""
    request = adapter.render(made, made.customer.account_name)
    return FrozenRequest(key(made.number + revision), request, made.kind, made.number)


def names(folder: Path) -> set[str]:
    """The files that we delivered."""
    return {each.name for each in folder.iterdir() if each.suffix in (".csv", ".iif")}


def arrives(path: Path, text: str, age: float = 3600.0) -> None:
    """The other side put a file down some time ago."""
    path.write_text(text, encoding="utf-8")
    then = path.stat().st_mtime - age
    os.utime(path, (then, then))


# -- formats


def made_of(file_format: str, *documents: ArDocument, **settings: str) -> bytes:
    """A file, made twice: the bytes depend on nothing else."""
    contents = [dropped(one, "Mercy Hospital") for one in documents]
    first, again = (
        Writer.of({"format": file_format} | settings).content(contents) for _ in range(2)
    )
    assert first == again
    return first


def test_csv_has_our_columns_and_sums_to_the_documents() -> None:
    """Without a layout the columns are those of a batch download, with the same signs."""
    invoice, credit = a_document(), a_document("CN-000002", "credit-note")
    rows = list(csv.DictReader(io.StringIO(made_of("csv", invoice, credit).decode(), newline="")))
    worth = sum(Decimal(row["amount"]) + Decimal(row["tax_amount"]) for row in rows)
    assert (len(rows), worth) == (4, Decimal(0))


def test_a_layout_says_what_the_csv_has() -> None:
    """Headings, order, codes of the ledger, fixed texts, dates and decimal commas."""
    text = made_of("csv", a_document("CN-7", "credit-note"), layout=LAYOUT)
    assert text.decode().splitlines()[:2] == [
        "Rechnung;Art;Datum;Konto;Steuer;Betrag;Mandant",
        "CN-7;GS;31.03.2026;4000;T10;2000,00;0815",
    ]


def test_rows_of_documents_have_the_customer_and_terms() -> None:
    """A layout may have a row for each document, with what the ledger maps for it."""
    fields = ("invoice_number", "total", "customer", "terms")
    layout = 'rows = "document"\n' + "".join(f'[[column]]\nfield = "{each}"\n' for each in fields)
    text = made_of("csv", a_document("INV-1"), a_document("INV-2"), layout=layout)
    assert text.decode().splitlines() == [
        "invoice_number,total,customer,terms",
        "INV-1,2310.01,Mercy Hospital,",
        "INV-2,2310.01,Mercy Hospital,",
    ]


def test_a_formula_in_a_name_stays_text() -> None:
    """A text of ours that a spreadsheet would take for a formula is made harmless."""
    layout = '[[column]]\nheading = "Name"\nfield = "account_name"\n'
    made = a_document()
    assert made.closed is not None
    made = replace(made, closed=replace(made.closed, account_name="=1+1"))
    assert made_of("csv", made, layout=layout).decode().splitlines()[1] == "'=1+1"


def test_a_value_without_a_word_is_refused_by_document(inbox: Path) -> None:
    """When the document is prepared, so that the file of a batch does not fail for it."""
    layout = '[[column]]\nfield = "tax_code"\nvalues = {X = "1"}\n'
    with pytest.raises(Failure, match=r"INV-000001 line 1, column 1 \(tax_code\)") as refused:
        frozen(drop(layout=layout), a_document())
    assert refused.value.code == "not_in_this_format"


def test_iif_lines_have_classes() -> None:
    """The setting names the field, and classes for its values."""
    settings = {"class": "billing_company", "class_names": "acme-us=US:Acme"}
    rows = made_of("iif", a_document(), **settings).decode("cp1252").splitlines()
    assert {"CLASS\tUS", "CLASS\tUS:Acme"} <= set(rows)
    income = [row for row in rows if row.startswith("SPL\t") and "Staffing Income" in row]
    assert income and all("\tUS:Acme\t" in row for row in income)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"format": "doc"}, "format"),
        ({"per": "month"}, "per is"),
        ({"checksum_file": "maybe"}, "yes or no"),
        ({"layout": '[[column]]\nfield = "no_such_field"\n'}, "no_such_field"),
        ({"layout": "column,value\nA,total\n"}, "layout: .* no TOML"),
        ({"layout": 'separator = "||"\n'}, "separator"),
        ({"layout": '[[column]]\nfield = "total"\n', "format": "xlsx"}, "layout"),
        ({"format": "iif", "accounts": "what=ever"}, "accounts"),
        ({"format": "iif", "class": "family"}, "class: 'family'"),
        ({"format": "iif", "class": "project", "class_names": "a"}, "class: 'a'"),
        ({"payment_folder": "../other"}, "payment_folder"),
        ({"payment_folder": "paid", "payment_columns": "column,value\nA,amount\n"}, "payment_id"),
    ],
)
def test_a_wrong_setting_is_named(inbox: Path, settings: dict[str, str], words: str) -> None:
    """`ledger connect` refuses it with the reason."""
    with pytest.raises(ValueError, match=words):
        drop(**settings)


def test_the_other_formats_hold_the_documents() -> None:
    """A workbook, an e-invoice, a PDF and a file for QuickBooks are read by other programs."""
    made = a_document()
    book = openpyxl.load_workbook(io.BytesIO(made_of("xlsx", made)))
    assert book["documents"]["A2"].value == "INV-000001"
    root = etree.fromstring(made_of("ubl", made), etree.XMLParser(resolve_entities=False))
    assert b"2310.01" in etree.tostring(root)
    pages = pypdf.PdfReader(io.BytesIO(made_of("pdf", made))).pages
    assert "INV-000001" in pages[0].extract_text()
    rows = made_of("iif", made, accounts="receivable=Debtors").decode("cp1252").splitlines()
    assert any(row.startswith("TRNS\tINVOICE") and "Debtors" in row for row in rows)


def test_formats_of_one_document_go_as_an_archive_of_a_batch() -> None:
    """UBL and PDF of a batch are a .zip with a file for each document."""
    content = made_of("ubl", a_document("INV-1"), a_document("INV-2"))
    assert zipfile.ZipFile(io.BytesIO(content)).namelist() == [
        "invoice-INV-1.xml",
        "invoice-INV-2.xml",
    ]


def test_a_document_that_a_format_cannot_carry_is_refused(inbox: Path) -> None:
    """Before anything is written, with what is wrong."""
    with pytest.raises(Failure, match="QuickBooks keeps 11 characters"):
        frozen(drop(format="iif"), a_document("INV-2026-0000001"))


def test_names_are_safe_and_no_two_are_alike() -> None:
    """A series with a slash makes no folder, and what looks alike afterwards is told apart."""
    names = {stem_of("invoice", number) for number in ("A/1", "A-1", "A 1", "..", "A1", "Ä1")}
    assert len(names) == 6 and all(name.startswith("invoice") for name in names)
    assert not any("/" in name or ".." in name for name in names)


# -- batches


async def test_a_batch_is_one_file_once_all_its_documents_are_there(inbox: Path) -> None:
    """Until then nothing is written, and the delivery says which document it waits for."""
    waiting: Sequence[str] = ("INV-2 (refused: not_in_this_format)",)
    stored: list[FrozenRequest] = []

    async def of_batch(batch_id: str) -> BatchRequests:
        assert batch_id == "B-1"
        return BatchRequests(tuple(stored), tuple(waiting))

    adapter = drop(of_batch, per="batch")
    stored.append(frozen(adapter, a_document("INV-1")))
    with pytest.raises(Failure, match=r"INV-2 \(refused") as failed:
        await adapter.create(stored)
    assert failed.value.failure == "transient" and names(inbox) == set()
    stored.append(frozen(adapter, a_document("INV-2")))
    waiting = ()
    for one in stored:
        (made,) = await adapter.create([one])
        assert not isinstance(made, Failure) and made.remote_number == "batch-B-1.csv"
    assert names(inbox) == {"batch-B-1.csv"}
    again = drop(of_batch, per="batch")
    found = await again.find("invoice", ["INV-1", "INV-2", "INV-3"])
    assert {number: len(there) for number, there in found.items()} == {
        "INV-1": 1,
        "INV-2": 1,
        "INV-3": 0,
    }
    stored.append(frozen(adapter, a_document("INV-3")))
    (late,) = await again.create([stored[-1]])
    assert not isinstance(late, Failure) and late.remote_number == "invoice-INV-3.csv"


@pytest.mark.parametrize(
    ("settings", "suffix"),
    [
        ({"format": "iif"}, "iif"),
        ({"layout": '[[column]]\nfield = "row_net"\n'}, "csv"),
    ],
)
async def test_a_format_without_currency_has_a_file_for_each(
    inbox: Path, settings: dict[str, str], suffix: str
) -> None:
    """An IIF file has no currency, and a layout none where no column says it."""
    stored: list[FrozenRequest] = []

    async def of_batch(batch_id: str) -> BatchRequests:
        return BatchRequests(tuple(stored), ())

    adapter = drop(of_batch, per="batch", **settings)
    stored += [
        frozen(adapter, a_document("INV-1")),
        frozen(adapter, a_document("INV-2", currency="EUR")),
    ]
    for one in stored:
        await adapter.create([one])
    assert names(inbox) == {f"batch-B-1-USD.{suffix}", f"batch-B-1-EUR.{suffix}"}


# -- acknowledgements

ACKS = """column,value,format
Beleg,number,
Status,status,OK|GEBUCHT
Nr,remote_number,
Text,message,
"""


async def test_a_document_is_posted_when_the_other_side_accepts_it(inbox: Path) -> None:
    """Until then it is a draft, and waiting says for what; the number of the other side is kept."""
    adapter = drop(acknowledgement_folder="acks", acknowledgement_columns=ACKS)
    (made,) = await adapter.create([frozen(adapter, a_document())])
    assert not isinstance(made, Failure) and made.state == "draft"
    with pytest.raises(Failure, match="no acknowledgement yet") as failed:
        await adapter.post(made.remote_id, "invoice")
    assert failed.value.failure == "transient"
    arrives(inbox / "acks" / "1.csv", "Beleg;Status;Nr;Text\nINV-000001;Gebucht;2026-77;\n")
    again = drop(acknowledgement_folder="acks", acknowledgement_columns=ACKS)
    posted = await again.post(made.remote_id, "invoice")
    assert (posted.state, posted.remote_number) == ("posted", "2026-77")


async def test_a_rejected_document_is_refused_and_may_be_sent_again(inbox: Path) -> None:
    """The reason is the other side's; the retry goes as a file of its own, and an old rejection
    does not count against it.
    """
    adapter = drop(acknowledgement_folder="acks", acknowledgement_columns=ACKS)
    (made,) = await adapter.create([frozen(adapter, a_document())])
    assert not isinstance(made, Failure)
    arrives(inbox / "acks" / "1.csv", "Beleg;Status;Nr;Text\nINV-000001;FEHLER;;Konto gesperrt\n")
    again = drop(acknowledgement_folder="acks", acknowledgement_columns=ACKS)
    with pytest.raises(Failure, match="Konto gesperrt") as failed:
        await again.post(made.remote_id, "invoice")
    assert failed.value.failure == "permanent"
    assert (await again.find("invoice", ["INV-000001"]))["INV-000001"] == []
    with pytest.raises(Failure, match="Konto gesperrt"):  # the same request is not sent again
        await again.create([frozen(again, a_document())])
    assert names(inbox) == {"invoice-INV-000001.csv"}
    (second,) = await again.create([frozen(again, a_document(), "r1")])
    assert not isinstance(second, Failure)
    assert (second.state, second.remote_number) == ("draft", "invoice-INV-000001.2.csv")
    name = "invoice-INV-000001.2.csv"
    arrives(inbox / "acks" / "2.csv", f"Beleg;Status;Nr;Text\n{name};OK;4711;\n", 60.0)
    last = drop(acknowledgement_folder="acks", acknowledgement_columns=ACKS)
    posted = await last.post(second.remote_id, "invoice")
    assert (posted.state, posted.remote_number) == ("posted", "4711")
    assert names(inbox) == {"invoice-INV-000001.csv", name}


async def test_a_damaged_acknowledgement_holds_up_no_other_document(inbox: Path) -> None:
    """It is named by the test of the connection."""
    arrives(inbox / "acks" / "0.csv", "Beleg;Nr\nINV-000001;1\n")
    arrives(inbox / "acks" / "1.csv", "Beleg;Status;Nr;Text\nINV-000001;OK;1;\n")
    adapter = drop(acknowledgement_folder="acks", acknowledgement_columns=ACKS)
    (made,) = await adapter.create([frozen(adapter, a_document())])
    assert not isinstance(made, Failure) and made.state == "posted"
    assert "0.csv cannot be read: it has no column Status, Text" in await adapter.check()


# -- payments

PAID = """column,value,format
Id,payment_id,
Re,number,
Betrag,amount,comma
Whg,currency,
Am,paid_on,%d.%m.%Y
Storno,cancelled,X
"""
HEAD = "Id;Re;Betrag;Whg;Am;Storno\n"


async def test_payments_are_read_from_files_once(inbox: Path) -> None:
    """By our number; whole, in part, cancelled; a file that is replaced is read again."""
    adapter = drop(payment_folder="paid", payment_columns=PAID)
    arrives(inbox / "paid" / "1.csv", HEAD + "P1;INV-000001;1.250,50;USD;20.04.2026;\n", 900)
    first = await adapter.payments("")
    (one,) = first.payments
    assert (one.payment_id, one.remote_id, one.amount, one.paid_on, one.cancelled) == (
        "P1",
        "invoice:INV-000001",
        Decimal("1250.50"),
        date(2026, 4, 20),
        False,
    )
    assert (await adapter.payments(first.cursor)).payments == ()
    arrives(inbox / "paid" / "2.csv", HEAD + "P1;INV-000001;1.250,50;USD;21.04.2026;x\n", 800)
    second = await adapter.payments(first.cursor)
    assert [(each.payment_id, each.cancelled) for each in second.payments] == [("P1", True)]
    (inbox / "paid" / "1.csv").unlink()
    third = await adapter.payments(second.cursor)
    assert third.payments == () and len(third.cursor.split()) == 1


async def test_our_own_headings_may_lack_the_optional_ones(inbox: Path) -> None:
    """Where a file has them they are read: a cancelled payment is none."""
    adapter = drop(payment_folder="paid")
    head, row = "payment_id,number,amount,currency,paid_on", "P1,INV-000001,9.50,USD,2026-04-20"
    arrives(inbox / "paid" / "1.csv", f"{head}\n{row}\n", 900)
    arrives(inbox / "paid" / "2.csv", f"{head},cancelled\n{row},yes\n", 800)
    first = await adapter.payments("")
    second = await adapter.payments(first.cursor)
    assert [one.cancelled for one in (*first.payments, *second.payments)] == [False, True]


async def test_a_bad_payment_file_is_named_and_holds_up_no_other(inbox: Path) -> None:
    """The good ones are booked first; then the poll fails with file and line, and again until the
    file is corrected. Nothing of a bad file is booked.
    """
    adapter = drop(payment_folder="paid", payment_columns=PAID)
    arrives(
        inbox / "paid" / "1.csv",
        HEAD + "P1;INV-1;1,00;USD;20.04.2026;\nP2;INV-1;x;USD;20.04.2026;\n",
        900,
    )
    arrives(inbox / "paid" / "2.csv", HEAD + "P3;INV-1;2,00;USD;20.04.2026;\n", 800)
    page = await adapter.payments("")
    assert [each.payment_id for each in page.payments] == ["P3"]
    for _ in range(2):
        with pytest.raises(Failure, match=r"1\.csv cannot be read: line 3: 'x' is no amount"):
            await adapter.payments(page.cursor)
    arrives(inbox / "paid" / "1.csv", HEAD + "P1;INV-1;1,00;USD;20.04.2026;\n", 700)
    assert [each.payment_id for each in (await adapter.payments(page.cursor)).payments] == ["P1"]


@given(content=st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_whatever_a_file_holds_it_is_read_or_named(content: bytes) -> None:
    """A file of the other side gives rows or a failure, never another exception."""
    columns = read_columns(PAID, PAYMENT_FIELDS, "payment_columns")
    for before in (b"", HEAD.encode()):
        with contextlib.suppress(Failure):
            list(csv_rows(before + content, columns, "1.csv"))
            payments_in(before + content, columns, "1.csv")
    for text in (content.decode("latin-1"), "column,value\n" + content.decode("latin-1")):
        with contextlib.suppress(ValueError):
            read_columns(text, PAYMENT_FIELDS, "columns")
        with contextlib.suppress(Failure):
            known_hosts(text)
    with contextlib.suppress(Failure):
        result_of(Response(200, {}, b"<response>" + content + b"</response>"), writes=False)


@pytest.mark.parametrize(
    ("field", "value"),
    [("Id", "a\x1fb"), ("Id", "x" * 201), ("Betrag", "1e300"), ("Betrag", "NaN"), ("Whg", "usd")],
)
def test_a_value_that_cannot_be_stored_is_named(field: str, value: str) -> None:
    """A worker never stops on it."""
    row = {"Id": "P1", "Re": "INV-1", "Betrag": "1,00", "Whg": "USD", "Am": "20.04.2026"}
    line = ";".join((row | {field: value}).values()) + ";\n"
    columns = read_columns(PAID, PAYMENT_FIELDS, "payment_columns")
    with pytest.raises(Failure, match="line 2"):
        payments_in((HEAD + line).encode(), columns, "1.csv")


async def test_a_payment_file_that_is_still_written_is_left_alone(inbox: Path) -> None:
    """A young file without a line end at its end, or with a checksum file that does not fit."""
    adapter = drop(payment_folder="paid", payment_columns=PAID)
    (inbox / "paid" / "1.csv").write_text(HEAD + "P1;INV-1;1")
    arrives(inbox / "paid" / "2.csv", HEAD + "P2;INV-1;1,00;USD;20.04.2026;\n")
    (inbox / "paid" / "2.csv.sha256").write_text("0" * 64 + "  2.csv\n")
    assert (await adapter.payments("")).payments == ()


async def test_files_beyond_the_limits_are_not_read(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too large, too many rows, too many files: a failure each, and nothing is booked."""
    adapter = drop(payment_folder="paid", payment_columns=PAID)
    row = "P1;INV-1;1,00;USD;20.04.2026;\n"
    arrives(inbox / "paid" / "1.csv", HEAD + row * 3)
    for module, name, value, code in (
        (folders, "FILE_BYTES", 100, "file_too_large"),
        (column_files, "MAX_ROWS", 2, "file_unreadable"),
        (drop_reads, "MOST_FILES", 0, "too_many_files"),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(module, name, value)
            with pytest.raises(Failure) as failed:
                await adapter.payments("")
        assert failed.value.code == code
    assert len((await adapter.payments("")).payments) == 3
