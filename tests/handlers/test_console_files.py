"""Files of a batch, saved by the console on a real PostgreSQL: complete and right, or not there."""

import csv
import os
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader

from services.console import files
from services.console.files import merging
from services.console.queries import batches, invoices
from shared.errors import Refused
from shared.render.layout import read_layout
from tests.fault_injection import RowInserter
from tests.handlers.test_console_reads import Insert, Read, insert, read, sample_data

__all__ = ["insert", "read"]


async def test_the_csv_adds_up_to_the_batch(read: Read, insert: Insert, tmp_path: Path) -> None:
    """Every line once, in the order of the numbers, credits negative; its totals are those of
    the batch.
    """
    await insert(sample_data)
    place = tmp_path / "new" / "b.csv"

    async def save(connection: Any) -> files.Saved:
        return await files.save(connection, await batches.batch(connection, "B-1"), "csv", place)

    saved = await read(save)
    with place.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [
        (row["invoice_number"], row["line_no"], row["amount"], row["corrects_invoice"])
        for row in rows
    ] == [
        ("INV-000007", "1", "2000.00", ""),
        ("INV-000007", "2", "2000.00", ""),
        ("INV-000008", "1", "-100.00", "INV-000007"),
    ]
    assert (
        sum(Decimal(row["amount"]) for row in rows)
        == saved.totals.by_currency["USD"].net
        == Decimal(3900)
    )
    assert [path.name for path in place.parent.iterdir()] == ["b.csv"]


WRONG = {
    "other totals of the batch": "UPDATE invoicer.batch"
    " SET totals = jsonb_set(totals, '{0,net}', '\"3900.01\"')",
    "a cent off on a line": "UPDATE invoicer.pay_line"
    " SET amount = amount + 0.01 WHERE document_id = 'T-2'",
    "a currency without documents": "UPDATE invoicer.batch"
    """ SET totals = totals || '[{"currency": "EUR", "documents": 1}]'""",
}


@pytest.mark.parametrize("fault", WRONG)
async def test_a_file_that_does_not_add_up_is_not_kept(
    read: Read, insert: Insert, tmp_path: Path, fault: str
) -> None:
    """Lines, heads and the batch's announced totals are three separate sums: if two differ
    there is no file.
    """
    await insert(sample_data)

    async def spoil(inserter: RowInserter) -> None:
        await inserter.without_triggers()
        await inserter.run(WRONG[fault])
        await inserter.run("SET session_replication_role = DEFAULT")

    await insert(spoil)
    for name in ("b.csv", "b.zip", "folder"):

        async def work(connection: Any, name: str = name) -> None:
            await files.save(
                connection,
                await batches.batch(connection, "B-1"),
                "csv" if name == "b.csv" else "pdf",
                tmp_path / name,
            )

        with pytest.raises(Refused, match="control_totals_differ"):
            await read(work)
    assert os.listdir(tmp_path) == []


SIMPLE = b"""
rows = "tax"
dates = "%d/%m/%Y"
encoding = "utf-8-sig"
[[column]]
heading = "No."
field = "invoice_number"
[[column]]
field = "invoice_date"
[[column]]
field = "row_total"
"""
BOM = "\ufeff"


async def test_a_layout_is_written_by_batch_and_by_document(
    read: Read, insert: Insert, tmp_path: Path
) -> None:
    """The rows of a batch are those of its documents; a document has its own totals and no other
    row, in every format; downloaded again, the bytes are the same.
    """
    await insert(sample_data)
    layout = read_layout(SIMPLE, "simple.toml")

    async def by_batch(connection: Any) -> files.Saved:
        batch = await batches.batch(connection, "B-1")
        return await files.save(connection, batch, "csv", tmp_path / "b.csv", layout=layout)

    async def by_number(
        connection: Any, number: str, name: str, file_format: files.FileFormat = "csv"
    ) -> files.Saved:
        one = await invoices.one_document(connection, number)
        chosen = layout if file_format == "csv" else None
        return await files.save(connection, one, file_format, tmp_path / name, layout=chosen)

    await read(by_batch)
    rows = ["INV-000007,31/03/2026,4355.00", "INV-000008,31/03/2026,-108.88"]
    heading = f"{BOM}No.,invoice_date,row_total"
    text = (tmp_path / "b.csv").read_bytes().decode()
    assert text == "".join(f"{row}\r\n" for row in (heading, *rows))
    for name in ("one.csv", "again.csv"):
        saved = await read(lambda at, name=name: by_number(at, "INV-000008", name))
        assert (saved.totals.documents, saved.totals.lines) == (1, 1)
        assert (tmp_path / name).read_bytes().decode() == f"{heading}\r\n{rows[1]}\r\n"
    await read(lambda at: by_number(at, "INV-000007", "7.xlsx", "xlsx"))
    await read(lambda at: by_number(at, "INV-000007", "7.pdf", "pdf"))
    assert "INV-000007" in PdfReader(tmp_path / "7.pdf").pages[0].extract_text()
    with pytest.raises(Refused, match="unknown_invoice"):
        await read(lambda at: by_number(at, "INV-000009", "no.csv"))


async def test_a_layout_that_does_not_fit_leaves_no_file(
    read: Read, insert: Insert, tmp_path: Path
) -> None:
    """Two currencies need a folder where no column says which; a value without a word is named."""
    await insert(sample_data)

    async def save(connection: Any, column: str, name: str) -> files.Saved:
        layout = read_layout(f"[[column]]\n{column}".encode(), "l.toml")
        batch = await batches.batch(connection, "B-1")
        return await files.save(connection, batch, "csv", tmp_path / name, layout=layout)

    with pytest.raises(Refused, match="not_in_this_layout") as refused:
        await read(lambda at: save(at, 'field = "tax_code"\nvalues = {A = "1"}', "b.csv"))
    assert refused.value.message.startswith("INV-000007 line 1, column 1 (tax_code): ")
    assert os.listdir(tmp_path) == []
    assert (await read(lambda at: save(at, 'field = "row_net"', "folder"))).files == 1
    assert os.listdir(tmp_path / "folder") == ["B-1-USD.csv"]


async def test_pdf_is_saved_to_the_named_path(read: Read, insert: Insert, tmp_path: Path) -> None:
    """A folder takes one file a document, a .zip all of them; one .pdf cannot hold two
    documents.
    """
    await insert(sample_data)

    async def save(connection: Any, name: str) -> files.Saved:
        return await files.save(
            connection, await batches.batch(connection, "B-1"), "pdf", tmp_path / name
        )

    saved = await read(lambda connection: save(connection, "out"))
    assert sorted(path.name for path in saved.path.iterdir()) == [
        "INV-000007.pdf",
        "INV-000008.pdf",
    ]
    text = PdfReader(tmp_path / "out" / "INV-000008.pdf").pages[0].extract_text()
    assert "Credit note" in text
    assert re.search(r"INV-000007\s+of\s+2026-03-31", text)
    await read(lambda connection: save(connection, "all.zip"))
    assert (tmp_path / "all.zip").read_bytes()[:2] == b"PK"
    with pytest.raises(Refused, match="several_documents"):
        await read(lambda connection: save(connection, "one.pdf"))
    assert sorted(os.listdir(tmp_path)) == ["all.zip", "out"]


async def test_pdfs_are_joined_for_a_printer(
    read: Read, insert: Insert, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order of their numbers, with the same bytes again; beyond the limit in parts."""
    await insert(sample_data)

    async def save(connection: Any, name: str) -> files.Saved:
        batch = await batches.batch(connection, "B-1")
        return await files.save(connection, batch, "pdf", tmp_path / name, merged=True)

    for name in ("all.pdf", "again.pdf"):
        assert (await read(lambda connection, name=name: save(connection, name))).files == 1
    pages = [page.extract_text() for page in PdfReader(tmp_path / "all.pdf").pages]
    assert ["INV-000007" in pages[0], "INV-000008" in pages[-1]] == [True, True]
    assert (tmp_path / "all.pdf").read_bytes() == (tmp_path / "again.pdf").read_bytes()
    with pytest.raises(Refused, match="path_unusable"):
        await read(lambda connection: save(connection, "folder"))
    monkeypatch.setattr(merging, "DOCUMENTS_AT_MOST", 1)
    assert (await read(lambda connection: save(connection, "part.pdf"))).files == 2
    assert sorted(os.listdir(tmp_path)) == ["again.pdf", "all.pdf", "part-1.pdf", "part-2.pdf"]
    assert "INV-000008" in PdfReader(tmp_path / "part-2.pdf").pages[0].extract_text()


async def test_text_without_a_font_is_named_before_a_file_is_written(
    read: Read, insert: Insert, tmp_path: Path
) -> None:
    """The refusal names document, character and word, and leaves no file; an emoji
    and full-width characters have a font.
    """
    await insert(sample_data)

    async def describe(inserter: RowInserter, text: str) -> None:
        await inserter.without_triggers()
        for column in ("description", "worker_id"):
            await inserter.run(f"UPDATE invoicer.pay_line SET {column} = '{text}'")

    async def save(connection: Any, file_format: files.FileFormat, name: str) -> files.Saved:
        batch = await batches.batch(connection, "B-1")
        return await files.save(connection, batch, file_format, tmp_path / name)

    await insert(lambda inserter: describe(inserter, "Nurse 😀 Ａｃｍｅ"))
    assert (await read(lambda connection: save(connection, "pdf", "out"))).files == 2
    await insert(lambda inserter: describe(inserter, "Nurse 𠮷野家"))
    with pytest.raises(Refused) as refused:
        await read(lambda connection: save(connection, "pdf", "no"))
    assert refused.value.code == "no_font"
    assert "INV-000007: U+20BB7 CJK UNIFIED IDEOGRAPH-20BB7 in '𠮷野家'" in refused.value.message
    assert os.listdir(tmp_path) == ["out"]
