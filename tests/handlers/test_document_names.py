"""Names and details on documents, from the events of the ATS to the text of the PDF.

Issue 14, item 1: a document prints the name where it is known, else the id; names corrected later
do not change closed documents, and do change open lines.
"""

import json
from datetime import datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pypdf import PdfReader

from services.arg_sync.mail.handlers.composing import compose
from services.arg_sync.mail.store import content
from services.arg_sync.mail.store.mails import ClaimedMail
from services.console import files
from services.console.queries import batches
from shared.consumer.forgetting import pseudonym_of
from shared.verify import verify
from tests.builders import COMPANY, OFFICE, WEEK, command, days, entry, node, requirement, timesheet
from tests.conftest import Configure, EngineOf, UnitOfWorkFor
from tests.handlers.test_console_reads import Read, read
from tests.in_process import Pipeline

__all__ = ["read"]
WORKER = "W-1"
STAMPS = {"approved_at": "2026-03-09T17:30:00Z", "approved_by": "Kim Lee"}
NEXT_WEEK = WEEK + timedelta(days=7)
NEXT = {"week_ending": str(NEXT_WEEK), "entries": [entry("8", NEXT_WEEK)]}


class Firm:
    """fee_realizer, the invoicer, and the files that the console makes."""

    def __init__(self, pipeline: Pipeline, engine_of: EngineOf, read: Read, folder: Path) -> None:
        self.pipeline, self.engine_of, self.read, self.folder = pipeline, engine_of, read, folder

    async def send(self, topic: str, *events: BaseModel) -> None:
        """Send events and let everything settle."""
        self.pipeline.send(topic, *events)
        await self.pipeline.settle()

    async def tell(self, kind: str, **values: Any) -> dict[str, Any]:
        """Send a command; return its answer."""
        sent = command(kind, **values)
        await self.send("operator-commands", sent)
        answer: dict[str, Any] = json.loads(self.pipeline.answers()[sent.command_id])
        return answer

    async def batch(self, cut_off: str = "2026-03-31") -> str:
        """Close everything until a day; return the batch."""
        answer = await self.tell("generate-batch", billing_company=COMPANY, cut_off_date=cut_off)
        assert answer["outcome"] == "accepted", answer
        assert answer["details"]["batch_id"], answer
        return str(answer["details"]["batch_id"])

    async def files(self, batch_id: str, file_format: files.FileFormat = "pdf") -> dict[str, bytes]:
        """The files of a batch, by name."""
        out = self.folder / f"{batch_id}-{len(list(self.folder.iterdir()))}"

        async def save(connection: Any) -> files.Saved:
            batch = await batches.batch(connection, batch_id)
            return await files.save(connection, batch, file_format, out, country="US")

        await self.read(save)
        return {path.name: path.read_bytes() for path in sorted(out.iterdir())}

    async def text(self, batch_id: str, name: str) -> str:
        """The text of a PDF of a batch, with single spaces."""
        await self.files(batch_id)
        newest = max(self.folder.glob(f"{batch_id}-*"), key=lambda path: int(path.name[-1]))
        return " ".join(
            " ".join(page.extract_text() for page in PdfReader(newest / name).pages).split()
        )

    async def mailed(self, invoice_id: int, *attach: str) -> dict[str, bytes]:
        """The attachments of the e-mail of a document, by name."""
        claimed = ClaimedMail(
            1, 1, invoice_id, None, "", "ap@mercy.example", "s", "c", attach, "m", 0, 0
        )
        async with self.engine_of("arg_sync").connect() as connection:
            wanted = "timesheets" in attach
            printed = await content.printed(connection, invoice_id, with_timesheets=wanted)
        sent = message_from_bytes(
            compose(claimed, printed, {"sender": "b@acme.example"}, datetime(2026, 5, 1)),
            policy=policy.default,
        )
        return {
            str(each.get_filename()): each.get_content()
            for each in sent.iter_attachments()  # type: ignore[attr-defined]
        }

    async def change(self, *statements: str) -> None:
        """Run statements as the owner of the tables."""
        async with self.engine_of("owner").begin() as connection:
            for statement in statements:
                await connection.exec_driver_sql(statement)

    async def faults(self) -> list[Any]:
        """What `verify` finds."""
        async with self.engine_of("auditor").connect() as connection:
            return list((await verify(connection)).faults)


@pytest.fixture
async def firm(
    unit_of_work_for: UnitOfWorkFor,
    engine_of: EngineOf,
    configure: Configure,
    read: Read,
    tmp_path: Path,
) -> Firm:
    """A company, an office with a contact, and a requirement with the client's names."""
    configure(today="2026-04-30")
    made = Firm(Pipeline(unit_of_work_for), engine_of, read, tmp_path)
    await made.tell(
        "set-billing-company",
        billing_company=COMPANY,
        name="Acme Staffing LLC",
        address="1 Main St\nBoston, MA 02110",
        tax_id="04-3456789",
        bank="Harbor Bank, account 4711",
        remit_to="PO Box 99, Boston",
        payment_instructions="Pay by ACH",
        footer="Registered in Delaware",
    )
    contact = {"contact": "Accounts Payable", "reference": "MH-118"}
    await made.send("billto-changed", node(address="88 Way\nRaleigh, NC 27601", **contact))
    client = {"reference": "REQ-4711", "client_contact": "Dr. Berg", "client_reference": "CU-8841"}
    await made.send("requirement-changed", requirement(**client))
    return made


async def test_a_document_keeps_the_names_of_its_closing(firm: Firm) -> None:
    """The name where known, else the id; a corrected name changes open lines and no closed
    document, whose bytes and seal stay.
    """
    await firm.send(
        "timesheet-approved",
        timesheet(worker_name="Maya Tores"),
        timesheet("T-2", worker_id="W-2"),
    )
    first = await firm.batch()
    before = await firm.files(first)
    text = await firm.text(first, "INV-000001.pdf")
    for printed in (
        *("Registered Nurse · Maya Tores · REG", "Registered Nurse · W-2 · REG"),
        *("Attn. Accounts Payable", "Your reference MH-118", "Requirement REQ-4711"),
        *("Ordered by Dr. Berg", "Order reference CU-8841", "PO Box 99, Boston", "Pay by ACH"),
        "Registered in Delaware",
    ):
        assert printed in text, (printed, text)
    assert WORKER not in text
    await firm.send("timesheet-approved", timesheet("T-3", worker_name="Maya Torres", **NEXT))
    renamed = requirement(revision=2, reference="REQ-5", client_contact="Dr. Frei")
    await firm.send("requirement-changed", renamed)
    await firm.send("billto-changed", node(revision=2, contact="Kay Po"))
    await firm.send(
        "timesheet-approved", timesheet("T-5", worker_id="W-2", worker_name="Ty", **NEXT)
    )
    second = await firm.batch("2026-04-15")
    text = await firm.text(second, "INV-000002.pdf")
    for printed in (
        "Maya Torres",
        "· Ty ·",
        "Requirement REQ-5",
        "Ordered by Dr. Frei",
        "Attn. Kay Po",
    ):
        assert printed in text, (printed, text)
    assert await firm.files(first) == before
    assert await firm.faults() == []


async def test_the_newest_document_names_a_worker_in_any_order(firm: Firm) -> None:
    """By week ending, then revision, then id: a message that arrives late takes no name back."""
    await firm.send("timesheet-approved", timesheet("T-2", worker_name="Maya Torres", **NEXT))
    await firm.send("timesheet-approved", timesheet("T-1", 3, worker_name="Maya Tores"))
    await firm.send("timesheet-approved", timesheet("T-2", 2, **NEXT))
    batch = await firm.batch()
    text = await firm.text(batch, "INV-000001.pdf")
    assert text.count("Maya Torres") == 2 and "Tores" not in text


async def test_a_forgotten_worker_has_no_name_on_paper(firm: Firm) -> None:
    """The name goes from every table; the seal stays right; a new document has the pseudonym."""
    await firm.send("timesheet-approved", timesheet(worker_name="Maya Canary", workflow=STAMPS))
    batch = await firm.batch()
    assert "Maya Canary" in await firm.text(batch, "INV-000001.pdf")
    for service in ("fee_realizer", "invoicer"):
        await firm.tell("forget-worker", service=service, worker_id=WORKER, reason="asked for")
    again = timesheet("T-2", worker_name="Maya Canary", workflow=STAMPS, **NEXT)
    await firm.send("timesheet-approved", again)
    async with firm.engine_of("owner").connect() as connection:
        tables = await connection.exec_driver_sql(
            "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables"
            " WHERE table_schema IN ('fee_realizer', 'invoicer')"
        )
        for (table,) in tables.all():
            found = await connection.exec_driver_sql(f"SELECT t::text FROM {table} t")
            rows = "".join(row[0] for row in found.all())
            assert "Canary" not in rows and "Kim Lee" not in rows, table
    assert pseudonym_of(WORKER) in await firm.text(batch, "INV-000001.pdf")
    assert "Canary" not in await firm.text(await firm.batch(), "INV-000002.pdf")
    assert await firm.faults() == []


async def test_a_name_on_a_closed_document_cannot_be_changed(firm: Firm) -> None:
    """The database refuses it; where triggers are off, `verify` finds it."""
    await firm.send("timesheet-approved", timesheet(worker_name="Maya Torres"))
    await firm.batch()
    changes = (
        "UPDATE invoicer.invoice_detail SET detail = '{\"name\": \"Eve\"}' WHERE about = 'worker'",
        "UPDATE invoicer.invoice_detail SET detail = NULL WHERE about = 'requirement'",
        "DELETE FROM invoicer.invoice_detail",
    )
    for change in changes:
        with pytest.raises(Exception, match="issued is issued"):
            await firm.change(change)
        await firm.change("SET LOCAL session_replication_role = replica", change)
        assert await firm.faults(), change


@pytest.mark.parametrize("where", ["appendix", "file", "none"])
async def test_timesheets_are_shown_where_the_debtor_wants_them(firm: Firm, where: str) -> None:
    """Days, hours, approver and time that is not billable and worth 0: on the last pages, in a
    file beside the document, or nowhere. 37 h of 40 h are billed (domain-rules 12).
    """
    await firm.tell(
        "set-debtor-terms",
        billing_company=COMPANY,
        account_name=f"{OFFICE} account",
        timesheet_detail=where,
    )
    entries = [*days()[:4], entry("5", WEEK), entry("3", WEEK, billable=False)]
    await firm.send(
        "timesheet-approved",
        timesheet(worker_name="Maya Torres", workflow=STAMPS, entries=entries),
    )
    batch = await firm.batch()
    names = list(await firm.files(batch))
    extra = ["INV-000001-timesheets.pdf"] if where == "file" else []
    assert names == sorted(["INV-000001.pdf", *extra])
    assert await firm.mailed(1, "pdf") == await firm.files(batch), "an e-mail carries the same"
    of_timesheets = await firm.mailed(1, "timesheets")
    assert list(of_timesheets) == ["INV-000001-timesheets.pdf"]
    text = await firm.text(batch, names[0] if where == "file" else "INV-000001.pdf")
    shown = ("approved 2026-03-09 by Kim Lee", "REG · REQ-4711 · not billable", "3.00", "37.00")
    assert all(each in text for each in shown[:3]) is (where != "none"), text
    assert "37.00" in text
    await firm.tell(
        "set-debtor-terms",
        billing_company=COMPANY,
        account_name=f"{OFFICE} account",
        timesheet_detail="none",
    )
    assert list(await firm.files(batch)) == names
    assert "Maya Torres" in (await firm.files(batch, "ubl"))["INV-000001.xml"].decode()


async def test_a_credit_note_shows_its_reason_and_asks_for_nothing(firm: Firm) -> None:
    """Titled so, with number and date of each invoice that it corrects and the reason; no due
    date, terms, bank details or payment instructions (domain-rules 8, issue 14 3.7).
    """
    await firm.send("timesheet-approved", timesheet(), timesheet("T-2", worker_id="W-2"))
    await firm.batch()
    reason = "Agreed with Dr. Berg on 2 April"
    answer = await firm.tell(
        "credit-invoice",
        billing_company=COMPANY,
        invoice_number="INV-000001",
        lines=[{"line_no": 1, "quantity": "2"}],
        to="write-off",
        reason=reason,
    )
    by_hand = await firm.text(answer["details"]["batch_id"], "INV-000002.pdf")
    await firm.send("timesheet-approved", timesheet("T-2", 2, [], worker_id="W-2"))
    cancelled = await firm.text(await firm.batch(), "INV-000003.pdf")
    for text, why in ((by_hand, reason), (cancelled, "Correction of timesheet T-2")):
        assert f"REASON {why} THIS CREDIT NOTE CORRECTS INV-000001 of 2026-04-30" in text, text
        assert "Credit note number" in text and "TOTAL CREDIT" in text
        for absent in ("Due date", "Terms", "pay", "Bank", "4711", "ACH", "PO Box", "net 30"):
            assert absent not in text.replace("REQ-4711", ""), (absent, text)
    xml = (await firm.files(answer["details"]["batch_id"], "ubl"))["INV-000002.xml"].decode()
    assert reason in xml and "DueDate" not in xml and "30 days" not in xml
    assert await firm.faults() == []
