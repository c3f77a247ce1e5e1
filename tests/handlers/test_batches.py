"""Batches on a real PostgreSQL: from open lines to closed documents, by commands."""

import asyncio
import json

from shared.events.billing import BatchGenerated, InvoiceClosed
from tests.builders import (
    COMPANY,
    command,
    node,
    product_line,
    realization,
    realization_line,
    record,
    time_key,
)
from tests.conftest import Configure, process
from tests.handlers.billed import Biller, biller
from tests.running import Pauses

__all__ = ["biller"]


async def test_a_batch_closes_what_is_open(biller: Biller) -> None:
    """A batch closes pay lines on invoices.

    Each event is published once, and each line is in exactly one place.
    """
    await biller.consume(
        realization(
            "T-1", 1, realization_line("40"), realization_line("5", "75.00", time_type="OT")
        ),
        realization("T-2", 1, realization_line("30")),
    )
    answer = await biller.generate()
    assert answer["outcome"] == "accepted"
    details = answer["details"]
    assert (
        details["documents"],
        details["lines"],
        details["first_number"],
        details["last_number"],
    ) == (1, 3, "INV-000001", "INV-000001")
    assert details["totals"] == [
        {
            "currency": "USD",
            "documents": 1,
            "lines": 3,
            "net": "3875.00",
            "tax": "0.00",
            "total": "3875.00",
        }
    ]
    assert await biller.documents() == [
        ("INV-000001", "invoice", "Mercy Hospital", "3875", "0", "USD")
    ]
    # One worker, one week: by document, then by line key (OT before REG).
    assert await biller.lines("INV-000001") == [
        (1, "T-1", "375", "0"),
        (2, "T-1", "2000", "0"),
        (3, "T-2", "1500", "0"),
    ]
    assert await biller.open("T-1") == []
    await biller.check_seals()
    (said,) = biller.published("batch-generated")
    batch = BatchGenerated.model_validate_json(said.value)
    assert (batch.batch_id, batch.documents, said.key) == (details["batch_id"], 1, COMPANY)
    (said,) = biller.published("invoice-closed")
    closed = InvoiceClosed.model_validate_json(said.value)
    assert (said.key, closed.invoice_number, str(closed.due_date), closed.line_count) == (
        "Mercy Hospital",
        "INV-000001",
        "2026-11-30",
        3,
    )
    (seal,) = await biller.rows("SELECT content_hash FROM invoicer.invoice_seal")
    assert closed.content_hash == seal.content_hash
    (head,) = await biller.rows("SELECT seller, buyer, invoice_date FROM invoicer.invoice")
    assert head.seller == {
        "name": "Acme Staffing",
        "address": "1 Main St",
        "tax_id": "TX-1",
        "bank": "IBAN 1",
    }
    assert head.buyer == {"name": "office-1", "address": "2 Care Rd", "tax_id": "M-1"}
    assert str(head.invoice_date) == "2026-10-31"


async def test_nothing_to_bill_is_accepted_without_a_number(biller: Biller) -> None:
    """Accepted without documents, with a message; no number and no jump is used."""
    await biller.consume(
        realization(
            "T-1", 1, realization_line("40", effective_date="2026-11-02", week_ending="2026-11-02")
        )
    )
    answer = await biller.generate(first_number=500)
    assert answer["outcome"] == "accepted"
    assert answer["details"]["documents"] == 0
    assert "nothing to bill" in answer["message"]
    assert answer["details"]["left_out"] == {"scheduled": 1}
    for table in ("batch", "invoice", "number_series", "number_jump"):
        assert await biller.rows(f"SELECT 1 FROM invoicer.{table}") == []


async def test_an_unknown_company_is_refused_with_what_to_do(biller: Biller) -> None:
    """An unknown or disabled billing company refuses a command."""
    answer = await biller.generate(billing_company="acmee")
    assert (answer["outcome"], answer["code"]) == ("refused", "unknown_billing_company")
    assert "billing-company set" in answer["fix"]
    await biller.company(enabled=False)
    assert (await biller.generate())["code"] == "company_disabled"
    assert (await biller.preview())["code"] == "company_disabled"


async def test_each_line_that_is_out_has_one_reason(biller: Biller) -> None:
    """Each line that is out has one reason, and the others close.

    The reasons: scheduled, snoozed, after the cut-off, unknown node, no Account Name, no tax rate.
    """
    await biller.consume_nodes(node("office-2", account_name=""))
    await biller.consume(
        realization("IN", 1, realization_line("40")),
        realization("SCHEDULED", 1, product_line(effective="2026-11-01")),
        realization("SNOOZED", 1, realization_line("1")),
        realization(
            "LATER", 1, realization_line("2", week_ending="2026-10-25", effective_date="2026-10-25")
        ),
        realization("LATER-P", 1, product_line(effective="2026-10-20")),
        realization("NOWHERE", 1, realization_line("3", billto_node="office-9")),
        realization("NOBODY", 1, realization_line("4", billto_node="office-2")),
        realization("TAXLESS", 1, realization_line("5", tax_code="GST")),
    )
    (line,) = await biller.rows(
        "SELECT pay_line_id FROM invoicer.pay_line WHERE document_id = 'SNOOZED'"
    )
    await biller.tell("snooze-pay-lines", pay_line_ids=[line.pay_line_id])
    preview = await biller.preview("2026-10-18")
    expected = {
        "scheduled": 1,
        "snoozed": 1,
        "after_cut_off": 2,
        "unknown_node": 1,
        "no_account_name": 1,
        "no_tax_rate": 1,
    }
    assert preview["details"]["left_out"] == expected
    found = await biller.rows(
        "SELECT p.document_id, v.reason FROM invoicer.preview_line v JOIN invoicer.pay_line p"
        " USING (pay_line_id) ORDER BY 1"
    )
    assert {row.document_id: row.reason for row in found} == {
        "IN": None,
        "SCHEDULED": "scheduled",
        "SNOOZED": "snoozed",
        "LATER": "after_cut_off",
        "LATER-P": "after_cut_off",
        "NOWHERE": "unknown_node",
        "NOBODY": "no_account_name",
        "TAXLESS": "no_tax_rate",
    }
    answer = await biller.generate("2026-10-18", digest=preview["details"]["digest"])
    assert answer["outcome"] == "accepted"
    assert answer["details"]["left_out"] == expected
    assert {"no_account_name", "unknown_node", "no_tax_rate", "snoozed_lines"} <= {
        each["code"] for each in answer["findings"]
    }
    assert next(each for each in answer["findings"] if each["code"] == "no_account_name")[
        "ids"
    ] == ["office-2"]
    assert [line[1] for line in await biller.lines("INV-000001")] == ["IN"]
    await biller.check_seals()


async def test_split_keys_separate_documents_in_a_fixed_order(biller: Biller) -> None:
    """By Account Name, currency, terms and PO number.

    An invoice never has two PO numbers or currencies.
    """
    await biller.consume_nodes(
        node("office-2", account_name="Alpha"),
        node("office-3", account_name="Mercy Hospital", address="elsewhere"),
    )
    await biller.consume(
        realization("T-1", 1, realization_line("1", po_number="PO-2")),
        realization("T-2", 1, realization_line("2", po_number="PO-1")),
        realization("T-3", 1, realization_line("3", "1000", currency="JPY")),
        realization("T-4", 1, realization_line("4", billto_node="office-2")),
        realization("T-5", 1, realization_line("5", billto_node="office-3", po_number="PO-1")),
    )
    answer = await biller.generate()
    found = await biller.rows(
        "SELECT account_name, currency, po_number, trim_scale(net) AS net, buyer ->> 'address' AS"
        " address FROM invoicer.invoice ORDER BY number"
    )
    assert [(row[0], row[1], row[2], str(row[3])) for row in found] == [
        ("Alpha", "USD", "", "200"),
        ("Mercy Hospital", "JPY", "", "3000"),
        ("Mercy Hospital", "USD", "PO-1", "350"),
        ("Mercy Hospital", "USD", "PO-2", "50"),
    ]
    assert {row[4] for row in found[1:]} == {"2 Care Rd"}, (
        "two nodes with one name are one debtor: the one with the lowest id is shown"
    )
    assert [(each["currency"], each["total"]) for each in answer["details"]["totals"]] == [
        ("JPY", "3000"),
        ("USD", "600.00"),
    ]
    assert "debtor_in_two_currencies" in {each["code"] for each in answer["findings"]}
    await biller.check_seals()


async def test_each_timesheet_has_an_invoice_of_its_own(biller: Biller) -> None:
    """Where the billing company wants it; credits of two timesheets are on one credit note, unless
    they are netted.
    """
    await biller.company(invoice_per_timesheet=True)

    async def hours(number: int, first: str, second: str) -> None:
        lines = [realization_line(each) for each in (first, second)]
        await biller.consume(
            realization("T-1", number, lines[0], realization_line("1", time_type="OT")),
            realization("T-2", number, lines[1]),
        )

    await hours(1, "40", "20")
    await biller.generate()
    assert [each[1::2] for each in await biller.documents()] == [
        ("invoice", "2050", "USD"),
        ("invoice", "1000", "USD"),
    ]
    await hours(2, "39", "19")
    await biller.generate(cut_off="2026-10-31")
    assert [each[1::2] for each in await biller.documents()][2:] == [("credit-note", "-100", "USD")]
    await biller.terms("Mercy Hospital", credits="net")
    await hours(3, "38", "20")
    await biller.generate()
    assert [each[1::2] for each in await biller.documents()][3:] == [
        ("invoice", "50", "USD"),
        ("credit-note", "-50", "USD"),
    ]
    await biller.check_seals()


async def test_a_credit_repeats_what_it_corrects(biller: Biller) -> None:
    """A credit has debtor, snapshot, currency, tax and terms of its invoice line.

    Only debits use the billto hierarchy of now.
    """
    await biller.company(default_tax="VAT")
    await biller.tax("VAT", "20")
    await biller.consume(realization("T-1", 1, realization_line("40")))
    await biller.generate()
    await biller.tax("VAT", "25", "2020-02-01")
    await biller.consume_nodes(
        node("office-1", revision=2, account_name="New Owner", address="New Rd")
    )
    await biller.terms("Mercy Hospital", payment_terms="on-receipt")
    await biller.consume(
        realization(
            "T-1", 2, realization_line("38"), realization_line("5", "75.00", time_type="OT")
        )
    )
    await biller.generate()
    assert (await biller.documents())[1:] == [
        ("INV-000002", "credit-note", "Mercy Hospital", "-100", "-20", "USD"),
        ("INV-000003", "invoice", "New Owner", "375", "93.75", "USD"),
    ]
    (credit,) = await biller.rows(
        "SELECT payment_terms, buyer FROM invoicer.invoice WHERE number = 2"
    )
    assert (credit.payment_terms, credit.buyer["address"]) == ("net:30", "2 Care Rd")
    (line,) = await biller.rows(
        "SELECT l.corrects_invoice, l.corrects_line_no, l.tax_rate FROM"
        " invoicer.closed_invoice_line l"
        " JOIN invoicer.invoice i USING (invoice_id) WHERE i.number = 2"
    )
    assert (line.corrects_invoice, line.corrects_line_no, line.tax_rate) == ("INV-000001", 1, 20)
    await biller.check_seals()


async def test_credits_netted_against_debits(biller: Biller) -> None:
    """Netted lines are on one document, below zero on one credit note.

    Lines that come to exactly zero stay open.
    """
    await biller.terms("Mercy Hospital", credits="net")
    await biller.consume(
        realization("T-1", 1, realization_line("40"), realization_line("5", time_type="OT"))
    )
    await biller.generate()
    await biller.consume(
        realization("T-1", 2, realization_line("43"), realization_line("2", time_type="OT"))
    )
    zero = await biller.generate()
    assert zero["details"]["documents"] == 0
    assert zero["details"]["left_out"] == {"zero_total": 2}
    await biller.consume(
        realization("T-1", 3, realization_line("42"), realization_line("2", time_type="OT"))
    )
    await biller.generate()
    assert (await biller.documents())[1:] == [
        ("INV-000002", "credit-note", "Mercy Hospital", "-50", "0", "USD")
    ]
    assert sorted(line[2] for line in await biller.lines("INV-000002")) == ["-150", "100"]
    await biller.check_seals()


async def test_credits_have_documents_of_their_own_by_default(biller: Biller) -> None:
    """Credits are on credit notes by default, numbered after the invoices."""
    await biller.consume(
        realization("T-1", 1, realization_line("40"), realization_line("5", time_type="OT"))
    )
    await biller.generate()
    await biller.consume(
        realization("T-1", 2, realization_line("43"), realization_line("2", time_type="OT"))
    )
    await biller.generate()
    assert [(each[1], each[3]) for each in (await biller.documents())[1:]] == [
        ("invoice", "150"),
        ("credit-note", "-150"),
    ]
    await biller.check_seals()


async def test_a_correction_is_in_whatever_its_week_ending(biller: Biller) -> None:
    """The cut-off applies to new lines, not to corrections of invoiced ones."""
    late = {"week_ending": "2026-10-25", "effective_date": "2026-10-25"}
    await biller.consume(realization("T-1", 1, realization_line("40", **late)))
    await biller.generate()
    await biller.consume(
        realization("T-1", 2, realization_line("38", **late)),
        realization("T-2", 1, realization_line("8", **late)),
    )
    answer = await biller.generate("2026-10-04")
    assert answer["details"]["left_out"] == {"after_cut_off": 1}
    assert (await biller.documents())[-1][3] == "-100"


async def test_a_zero_sum_joins_the_next_batch(biller: Biller) -> None:
    """A total of exactly zero stays open, unless zero documents are allowed."""
    await biller.consume(realization("T-1", 1, realization_line("40", "0.00")))
    assert (await biller.generate())["details"]["left_out"] == {"zero_total": 1}
    await biller.terms("Mercy Hospital", zero_documents=True)
    await biller.generate()
    assert await biller.documents() == [
        ("INV-000001", "invoice", "Mercy Hospital", "0", "0", "USD")
    ]


async def test_numbers_are_gapless_and_jumps_declared(biller: Biller) -> None:
    """Numbers have no gap; a jump needs a reason and is recorded.

    A number that was used before is refused.
    """
    await biller.consume(realization("T-1", 1, realization_line("1")))
    assert (await biller.generate(first_number=41))["details"]["first_number"] == "INV-000041"
    await biller.consume(realization("T-2", 1, realization_line("2")))
    used = await biller.generate(first_number=41)
    assert (used["code"], used["details"]["next_free"]) == ("number_used", 42)
    assert (await biller.generate(first_number=50, reason=""))["code"] == "reason_missing"
    assert (await biller.generate(first_number=50, reason="new book"))["details"][
        "first_number"
    ] == "INV-000050"
    (jump,) = await biller.rows(
        "SELECT from_number, to_number, actor, reason FROM invoicer.number_jump"
    )
    assert tuple(jump) == (42, 49, "pat", "new book")
    (series,) = await biller.rows("SELECT first_number, next_number FROM invoicer.number_series")
    assert tuple(series) == (41, 51)


async def test_the_invoice_date_never_goes_back(biller: Biller) -> None:
    """The invoice date is not before the last of its series nor after today.

    The due date counts from the invoice date, not from the cut-off.
    """
    await biller.consume(realization("T-1", 1, realization_line("1")))
    assert (await biller.generate(invoice_date="2026-11-01"))["code"] == "date_in_future"
    await biller.generate(invoice_date="2026-10-15")
    (head,) = await biller.rows("SELECT invoice_date, due_date, cut_off_date FROM invoicer.invoice")
    assert [str(day) for day in head] == ["2026-10-15", "2026-11-14", "2026-10-31"]
    await biller.consume(realization("T-2", 1, realization_line("1")))
    assert (await biller.generate(invoice_date="2026-10-14"))["code"] == "date_goes_back"


async def test_the_same_command_gives_the_first_answer(biller: Biller) -> None:
    """A repeated command returns its first result, and nothing is billed twice."""
    await biller.consume(realization("T-1", 1, realization_line("1")))
    asked = record(
        "operator-commands",
        command("generate-batch", billing_company=COMPANY, cut_off_date="2026-10-31"),
        COMPANY,
    )
    for _ in range(2):
        await process(biller.unit_of_work, biller.dispatcher.subscription(), [asked])
        await biller.consume(realization("T-2", 1, realization_line("2")))
    first, second = (json.loads(each.value) for each in biller.published("command-results"))
    assert first == second
    assert len(await biller.documents()) == 1
    assert len(biller.published("invoice-closed")) == 1


async def test_a_batch_and_a_settlement_wait_for_each_other(
    biller: Biller, configure: Configure, pauses: Pauses
) -> None:
    """With the locks, a settlement during a batch credits what was invoiced."""
    await biller.consume(realization("T-1", 1, realization_line("40")))
    configure(today="2026-10-31")
    pauses.hold("batch_selected")
    batch = asyncio.create_task(biller.generate())
    await pauses.reached("batch_selected")
    settled = asyncio.create_task(biller.consume(realization("T-1", 2, realization_line("38"))))
    await asyncio.sleep(0.3)
    assert not settled.done(), "settlement must wait for the company's lock"
    pauses.release("batch_selected")
    await asyncio.gather(batch, settled)
    assert await biller.places() == [
        ("T-1", "40", "2000", "invoiced"),
        ("T-1", "-2", "-100", "open"),
    ]
    await biller.check_seals()


async def test_line_keys_with_one_snoozed_key(biller: Biller) -> None:
    """A snooze holds one line key; the other keys and credits are billed."""
    await biller.consume(
        realization("T-1", 1, realization_line("40"), realization_line("5", time_type="OT"))
    )
    (overtime,) = await biller.rows(
        "SELECT pay_line_id FROM invoicer.pay_line WHERE line_key = :key",
        key=time_key(time_type="OT"),
    )
    await biller.tell("snooze-pay-lines", pay_line_ids=[overtime.pay_line_id], until="2026-10-31")
    await biller.generate()
    assert len(await biller.lines("INV-000001")) == 2, (
        "its until-date has come: the line is no longer on hold"
    )
