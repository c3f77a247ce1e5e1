"""Files of a closed batch from a real database: each format adds up to the batch and gives the same
bytes again, and long documents stream.
"""

import asyncio
import csv
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Awaitable, Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import openpyxl
import pytest
from facturx import get_facturx_xml_from_pdf, parse_ubl_cii_xml

from services.console import files
from services.console.queries import batches
from services.console.queries.snapshot import open_snapshot
from shared.errors import Refused
from shared.render.layout import read_layout
from tests.builders import realization_line
from tests.conftest import EngineOf
from tests.fault_injection import InvoiceLine, RowInserter
from tests.rules.test_render_iif import read as read_iif

MARCH = date(2026, 3, 31)
VAT: dict[str, Any] = {"code": "VAT", "rate": Decimal("10")}
SELLER = json.dumps(
    {
        "name": "Acme B.V.",
        "address": "1 Main St\nNetherlands",
        "tax_id": "NL000044712B01",
        "bank": "IBAN 1",
    }
)
BUYER = json.dumps({"name": "Mercy Hospital", "address": "2 Main St\nBelgium", "tax_id": ""})
A_SHORT_DOCUMENT = 2_000
"""More than the cursor reads at once."""
A_LONG_DOCUMENT = 9_727
MORE_MEMORY_KB = 8_000
"""So much more may a long document take than a short one: buffers, not lines (its UBL alone has
18 MB).
"""

FORMATS = (*files.FORMATS, "layout")

Insert = Callable[[Callable[[RowInserter], Awaitable[Any]]], Awaitable[Any]]


@pytest.fixture
def insert(engine_of: EngineOf) -> Insert:
    """`await plant(work)` puts rows in place as the owner."""

    async def run(work: Callable[[RowInserter], Awaitable[Any]]) -> Any:
        async with engine_of("owner").begin() as connection:
            return await work(RowInserter(connection))

    return run


async def a_batch(inserter: RowInserter) -> None:
    """Two invoices, one in euro, and a credit note on the first."""
    await inserter.company(name="Acme B.V.")
    ids = {
        name: await inserter.pay_line(
            realization_line("40", tax_code="VAT", po_number="PO-1"), name, "invoice"
        )
        for name in ("T-1", "T-2")
    }
    ids["T-3"] = await inserter.pay_line(
        realization_line("8", tax_code="VAT", currency="EUR"), "T-3", "invoice"
    )
    await inserter.batch("B-1", [7, 8, 9], MARCH)
    parties = {"seller": SELLER, "buyer": BUYER}
    first = await inserter.invoice(
        "B-1",
        7,
        MARCH,
        [
            InvoiceLine(ids[name], Decimal("2000.00"), Decimal("200.00"), **VAT)
            for name in ("T-1", "T-2")
        ],
        **parties,
    )
    credit = await inserter.pay_line(
        realization_line("-2", tax_code="VAT"),
        "T-1",
        "invoice",
        realization_no=2,
        corrects=(first, 1),
    )
    await inserter.invoice(
        "B-1",
        8,
        MARCH,
        [InvoiceLine(credit, Decimal("-100.00"), Decimal("-10.00"), **VAT)],
        **parties,
    )
    await inserter.invoice(
        "B-1",
        9,
        MARCH,
        [InvoiceLine(ids["T-3"], Decimal("400.00"), Decimal("40.00"), **VAT)],
        currency="EUR",
        **parties,
    )
    await inserter.close_batch("B-1")


async def a_long_document(inserter: RowInserter, batch_id: str, number: int, lines: int) -> None:
    """A batch of one invoice of that many lines."""
    one = await inserter.pay_line(realization_line("40", tax_code="VAT"), f"T-{number}", "invoice")
    await inserter.batch(batch_id, [number], MARCH)
    net, tax = Decimal("2000.00") * lines, Decimal("200.00") * lines
    totals = json.dumps([{"code": "VAT", "rate": "10", "net": str(net), "tax": str(tax)}])
    head = {"net": net, "tax": tax, "total": net + tax, "line_count": lines, "tax_totals": totals}
    invoice = await inserter.invoice(
        batch_id, number, MARCH, [], seller=SELLER, buyer=BUYER, **head
    )
    names = (
        "SELECT string_agg(column_name, ', ') FROM information_schema.columns WHERE table_schema ="
        " 'invoicer' AND table_name = 'pay_line'"
    )
    columns = await inserter.run(f"{names} AND column_name <> 'pay_line_id'")
    await inserter.run(
        f"INSERT INTO invoicer.pay_line ({columns}) SELECT {columns} FROM invoicer.pay_line,"
        " generate_series(2, CAST(:lines AS integer))"
        " WHERE pay_line_id = :one",
        lines=lines,
        one=one,
    )
    await inserter.run(
        "INSERT INTO invoicer.invoice_line (invoice_id, line_no, pay_line_id, billto_node,"
        " billto_level, tax_code, tax_rate, tax_amount)"
        " SELECT :invoice, row_number() OVER (ORDER BY pay_line_id), pay_line_id, 'office-1', 3,"
        " 'VAT', 10, 200 FROM invoicer.pay_line WHERE document_id = :id",
        invoice=invoice,
        id=f"T-{number}",
    )
    await inserter.close_batch(batch_id)


LAYOUT = b"""
signs = "row"
[[column]]
field = "invoice_number"
[[column]]
field = "row_type"
[[column]]
field = "currency"
[[column]]
field = "row_net"
[[column]]
field = "row_tax"
"""


def saved(database: str, batch_id: str, name: str, place: Path) -> files.Saved:
    """The files of a batch at that place; `layout` is a CSV by the layout above."""

    async def run() -> files.Saved:
        async with open_snapshot(database) as connection:
            batch = await batches.batch(connection, batch_id)
            if name == "layout":
                layout = read_layout(LAYOUT, name)
                return await files.save(connection, batch, "csv", place, layout=layout)
            return await files.save(connection, batch, cast("files.FileFormat", name), place)

    return asyncio.run(run())


async def take(database: str, file_format: str, place: Path, batch_id: str = "B-1") -> files.Saved:
    """The same, from a test that runs on a loop."""
    return await asyncio.to_thread(saved, database, batch_id, file_format, place)


def sums(places: list[Path]) -> dict[str, Decimal]:
    """What a folder of UBL files adds up to by currency, credit notes negative."""
    found: dict[str, Decimal] = {}
    for place in places:
        terms = parse_ubl_cii_xml(place.read_bytes())
        sign = -1 if terms["BT-3"] == "381" else 1
        found[terms["BT-5"]] = found.get(terms["BT-5"], Decimal(0)) + sign * Decimal(
            terms["BT-112"]
        )
    return found


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        str(place.relative_to(folder)): place.read_bytes()
        for place in sorted(folder.rglob("*"))
        if place.is_file()
    }


BATCH = {"USD": Decimal("4290.00"), "EUR": Decimal("440.00")}
NUMBERS = ["INV-000007", "INV-000008", "INV-000009"]


async def test_every_format_adds_up_to_the_batch(
    database: str, insert: Insert, tmp_path: Path
) -> None:
    """Read back by readers that are not ours: CSV, XLSX, IIF, UBL and PDF/A-3 give the batch's
    total in each currency.
    """
    await insert(a_batch)
    announced = {
        name: (await take(database, "csv", tmp_path / "b.csv")).totals.by_currency[name].total
        for name in BATCH
    }
    assert announced == BATCH
    with (tmp_path / "b.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {
        name: sum(
            Decimal(row["amount"]) + Decimal(row["tax_amount"])
            for row in rows
            if row["currency"] == name
        )
        for name in BATCH
    } == BATCH

    await take(database, "layout", tmp_path / "l.csv")
    with (tmp_path / "l.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    turned = {"invoice": 1, "credit-note": -1}
    assert {
        name: sum(
            turned[row["row_type"]] * (Decimal(row["row_net"]) + Decimal(row["row_tax"]))
            for row in rows
            if row["currency"] == name
        )
        for name in BATCH
    } == BATCH

    await take(database, "xlsx", tmp_path / "b.xlsx")
    control = list(
        openpyxl.load_workbook(tmp_path / "b.xlsx", data_only=True)["control totals"].iter_rows(
            values_only=True
        )
    )
    assert {row[0]: Decimal(str(row[6])) for row in control[1:]} == BATCH and {
        row[-1] for row in control[1:]
    } == {0}

    assert (await take(database, "iif", tmp_path / "iif")).files == 2
    for currency, total in BATCH.items():
        _, transactions = read_iif(
            (tmp_path / "iif" / f"B-1-{currency}.iif").read_bytes().decode("cp1252")
        )
        assert sum(Decimal(transaction[0]["AMOUNT"]) for transaction in transactions) == total
    with pytest.raises(Refused, match="several_currencies"):
        await take(database, "iif", tmp_path / "b.iif")

    await take(database, "ubl", tmp_path / "ubl")
    assert sorted(place.name for place in (tmp_path / "ubl").iterdir()) == [
        f"{number}.xml" for number in NUMBERS
    ]
    assert sums(list((tmp_path / "ubl").iterdir())) == BATCH

    await take(database, "pdfa", tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as whole:
        assert whole.namelist() == [f"{number}.pdf" for number in NUMBERS]
        for name in whole.namelist():
            (tmp_path / f"{name}.xml").write_bytes(get_facturx_xml_from_pdf(whole.read(name))[1])
    assert sums([tmp_path / f"{number}.pdf.xml" for number in NUMBERS]) == BATCH


async def test_downloaded_again_the_bytes_are_the_same(
    database: str, insert: Insert, tmp_path: Path
) -> None:
    """Whenever a batch is taken again, two seconds or two years later: no clock, no random id,
    no order of a database is in a file.
    """
    await insert(a_batch)
    places = {
        "csv": "b.csv",
        "layout": "l.csv",
        "xlsx": "b.xlsx",
        "iif": "iif",
        "ubl": "ubl.zip",
        "pdf": "pdf.zip",
        "pdfa": "pdfa.zip",
    }

    async def all_bytes(folder: Path) -> dict[str, bytes]:
        for file_format in FORMATS:
            await take(database, file_format, folder / places[file_format])
        return contents(folder)

    first = await all_bytes(tmp_path / "first")
    await asyncio.sleep(2.1)  # the clock of a .zip has steps of two seconds
    assert await all_bytes(tmp_path / "second") == first
    assert len(first) == 8


FAULT = "UPDATE invoicer.pay_line SET amount = amount + 0.01 WHERE document_id = 'T-2'"


@pytest.mark.parametrize("file_format", FORMATS)
async def test_a_file_that_does_not_add_up_is_not_kept(
    database: str, insert: Insert, tmp_path: Path, file_format: str
) -> None:
    """A cent off on a line, and no format leaves a file or a draft behind."""
    await insert(a_batch)

    async def spoil(inserter: RowInserter) -> None:
        await inserter.without_triggers()
        await inserter.run(FAULT)

    await insert(spoil)
    with pytest.raises(Refused, match="control_totals_differ"):
        await take(database, file_format, tmp_path / "out")
    assert os.listdir(tmp_path) == []


async def test_what_does_not_fit_is_named_before_anything_is_written(
    database: str, insert: Insert, tmp_path: Path
) -> None:
    """A buyer without a country in one document of three: the refusal names the document, and
    what to do.
    """
    await insert(a_batch)

    async def homeless(inserter: RowInserter) -> None:
        await inserter.without_triggers()
        await inserter.run(
            "UPDATE invoicer.invoice SET buyer = jsonb_set(buyer, '{address}', '\"2 Main St\"')"
            " WHERE number = 8"
        )

    await insert(homeless)
    with pytest.raises(Refused, match="not_in_this_format") as refused:
        await take(database, "ubl", tmp_path / "ubl")
    assert (
        refused.value.message.startswith("INV-000008: ")
        and ";" not in refused.value.message
        and "--country" in refused.value.fix
    )
    assert os.listdir(tmp_path) == []


PEAK = """
import asyncio, sys
from pathlib import Path
from services.console.queries import batches
from services.console import files
from services.console.queries.snapshot import open_snapshot

async def save(database, batch_id, file_format, place, layout):
    options = {}
    if file_format == "layout":
        file_format, options["layout"] = "csv", files.layout_in(Path(layout))
    if file_format == "iif":
        options["classes"] = files.Classes.named("item_id", ["=Temporary"])
    async with open_snapshot(database) as connection:
        batch = await batches.batch(connection, batch_id)
        await files.save(connection, batch, file_format, Path(place), **options)

asyncio.run(save(*sys.argv[1:]))
print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""
"""The most memory of a process of its own; what getrusage reports would include the memory of the
process that started it.
"""


@pytest.mark.slow
async def test_a_long_document_streams(database: str, insert: Insert, tmp_path: Path) -> None:
    """A document of 9,727 lines takes no more memory than one of 2,000, in every format that has
    no pages.
    """
    for batch_id, number, lines in (
        ("B-short", 1, A_SHORT_DOCUMENT),
        ("B-long", 2, A_LONG_DOCUMENT),
    ):

        async def add(
            inserter: RowInserter,
            batch_id: str = batch_id,
            number: int = number,
            lines: int = lines,
        ) -> None:
            await a_long_document(inserter, batch_id, number, lines)

        await insert(add)

    def peak(batch_id: str, file_format: str) -> int:
        words = [
            sys.executable,
            "-c",
            PEAK,
            database,
            batch_id,
            file_format,
            str(tmp_path / f"{batch_id}.{file_format}"),
            str(tmp_path / "layout.toml"),
        ]
        return int(
            subprocess.run(
                words, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
            ).stdout
        )

    (tmp_path / "layout.toml").write_bytes(LAYOUT)
    for batch_id in ("B-short", "B-long"):
        (tmp_path / f"{batch_id}.ubl").mkdir()
    peaks = {
        each: (peak("B-short", each), peak("B-long", each))
        for each in ("csv", "layout", "xlsx", "iif", "ubl")
    }
    more = {file_format: long - short for file_format, (short, long) in peaks.items()}
    print(f"memory in KB for {A_SHORT_DOCUMENT} and for {A_LONG_DOCUMENT} lines: {peaks}")
    assert max(more.values()) < MORE_MEMORY_KB, peaks
    terms = parse_ubl_cii_xml((tmp_path / "B-long.ubl" / "INV-000002.xml").read_bytes())
    assert (
        len(terms["BG-25"]) == A_LONG_DOCUMENT
        and Decimal(terms["BT-112"]) == Decimal("2200.00") * A_LONG_DOCUMENT
    )
