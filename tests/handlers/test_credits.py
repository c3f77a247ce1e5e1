"""Credits by hand on a real PostgreSQL: what is credited, what is open again, and the answers."""

import asyncio
import json
from typing import Any

from shared.events.billing import BatchGenerated, InvoiceClosed
from tests.builders import (
    COMPANY,
    command,
    node,
    product_line,
    realization,
    realization_line,
    record,
)
from tests.conftest import Configure, process
from tests.handlers.billed import Biller, biller
from tests.running import Pauses

__all__ = ["biller"]


async def credit(
    biller: Biller,
    number: str = "INV-000001",
    *lines: tuple[int, str | None],
    to: str = "rebill",
    **values: Any,
) -> dict[str, Any]:
    """Credits lines of an invoice, (line number, quantity), or all of it; returns the answer."""
    named = [
        {"line_no": line_no} | ({"quantity": quantity} if quantity else {})
        for line_no, quantity in lines
    ]
    return await biller.tell("credit-invoice", invoice_number=number, lines=named, to=to, **values)


async def taxed(biller: Biller) -> None:
    """VAT of 8.875 % on everything."""
    await biller.company(default_tax="VAT")
    await biller.tax("VAT", "8.875")


async def test_a_credited_part_is_the_line_minus_what_remains(biller: Biller) -> None:
    """The amount is what is left minus the rounded amount of what remains.

    0.25 h of 7.5 × 33.33 = 8.34.
    """
    await taxed(biller)
    await biller.consume(realization("T-1", 1, realization_line("7.5", "33.33", amount="249.98")))
    await biller.generate()
    answer = await credit(biller, "INV-000001", (1, "0.25"), to="write-off")
    assert answer["outcome"] == "accepted", answer
    assert (await biller.documents())[1:] == [
        ("INV-000002", "credit-note", "Mercy Hospital", "-8.34", "-0.74", "USD")
    ]
    assert answer["details"]["listed"] == [
        {
            "line_no": 1,
            "document_id": "T-1",
            "quantity": "0.25",
            "net": "8.34",
            "tax": "0.74",
            "left": "7.25",
            "left_net": "241.64",
        }
    ]
    assert await biller.open() == []
    await biller.check_seals()


async def test_a_credit_closes_at_once_and_is_published(biller: Biller) -> None:
    """Issue: the credit note closes at once, as a batch of one document.

    It has a number from the series and a seal; `batch-generated` and `invoice-closed` are
    published.
    """
    await biller.consume(realization("T-1", 1, realization_line("40")))
    await biller.generate("2026-10-04", invoice_date="2026-10-05")
    answer = await credit(biller, "INV-000001", (1, "2"), to="write-off", reason="goodwill")
    (batch,) = [
        each
        for each in map(_batch, biller.published("batch-generated"))
        if each.batch_id == answer["details"]["batch_id"]
    ]
    assert (batch.documents, batch.first_number, batch.last_number, str(batch.cut_off_date)) == (
        1,
        "INV-000002",
        "INV-000002",
        "2026-10-04",
    )
    (note,) = [
        each
        for each in map(_closed, biller.published("invoice-closed"))
        if each.document_type == "credit-note"
    ]
    assert (note.invoice_number, str(note.total), str(note.invoice_date), note.line_count) == (
        "INV-000002",
        "-100",
        "2026-10-31",
        1,
    )
    assert note.content_hash
    (kept,) = await biller.rows(
        "SELECT actor, reason, command_id FROM invoicer.batch WHERE batch_id = :id",
        id=batch.batch_id,
    )
    (off,) = await biller.rows(
        "SELECT actor, reason, command_id, trim_scale(quantity)::text AS q,"
        " trim_scale(amount)::text AS a FROM invoicer.write_off"
    )
    assert (off.actor, off.reason, off.q, off.a) == ("pat", "goodwill", "2", "100")
    assert kept.command_id == off.command_id
    await biller.check_seals()


async def test_the_credit_note_repeats_the_invoice(biller: Biller) -> None:
    """Debtor, snapshot, currency, tax and terms with wording are the invoice's."""
    await biller.terms(
        "Mercy Hospital",
        tax_regime="exempt",
        tax_wording="Exempt: health care",
        payment_terms="day:15",
    )
    await biller.consume(realization("T-1", 1, realization_line("40", po_number="PO-1")))
    await biller.generate()
    await biller.rows(
        "UPDATE invoicer.debtor_terms SET tax_regime = 'standard', payment_terms = 'on-receipt'"
    )
    await biller.consume_nodes(
        node("office-1", revision=2, account_name="New Owner", address="New Rd")
    )
    await credit(biller, to="write-off")
    (head,) = await biller.rows(
        "SELECT * FROM invoicer.invoice WHERE document_type = 'credit-note'"
    )
    terms = (head.tax_wording, head.payment_terms, str(head.due_date), head.po_number)
    assert (head.account_name, *terms) == (
        "Mercy Hospital", "Exempt: health care", "day:15", "2026-11-15", "PO-1",
    )  # fmt: skip
    assert head.buyer["address"] == "2 Care Rd"
    await biller.check_seals()


async def test_a_rebill_is_a_line_that_names_the_credit(biller: Biller) -> None:
    """Issue: to rebill, a new open line of the same document and key names the credit.

    The debtor is resolved when the line is billed.
    """
    await biller.consume(realization("T-1", 1, realization_line("40")))
    await biller.generate()
    await biller.consume_nodes(node("office-1", revision=2, account_name="New Owner"))
    await credit(biller, "INV-000001", (1, "3.5"))
    (line,) = await biller.rows(
        "SELECT p.* FROM invoicer.open_line JOIN invoicer.pay_line p USING (pay_line_id)"
    )
    assert (str(line.quantity), str(line.amount), line.document_id) == ("3.5000", "175.0000", "T-1")
    assert line.derivation["bills_again"] == [{"credit_note": "INV-000002", "line": 1}]
    await biller.generate()
    assert (await biller.documents())[2:] == [
        ("INV-000003", "invoice", "New Owner", "175", "0", "USD")
    ]
    await biller.consume(realization("T-1", 2, realization_line("41")))
    (line,) = await biller.rows(
        "SELECT p.* FROM invoicer.open_line JOIN invoicer.pay_line p USING (pay_line_id)"
    )
    assert "bills_again" not in line.derivation, (
        "what was credited has been billed again: this hour is new"
    )
    await biller.check_seals()


async def test_a_whole_document_to_rebill_or_to_write_off(biller: Biller) -> None:
    """Issue: without lines, all that is left of the document is credited, with its tax."""
    await taxed(biller)
    await biller.consume(
        realization(
            "T-1", 1, realization_line("40"), realization_line("5", "75.00", time_type="OT")
        ),
        realization("T-2", 1, realization_line("3", "33.33")),
    )
    await biller.generate()
    await credit(biller, "INV-000001", (1, "2"), to="write-off")
    await credit(biller)
    assert [(net, tax) for *_, net, tax, _ in await biller.documents()] == [
        ("2474.99", "219.65"),
        ("-150", "-13.31"),
        ("-2324.99", "-206.34"),
    ]
    assert sorted(await biller.open("T-1")) == [("3", "225"), ("40", "2000")]
    assert await biller.open("T-2") == [("3", "99.99")]
    await biller.generate()
    await credit(biller, "INV-000004", to="write-off")
    assert await biller.open("T-1") == []
    await biller.check_seals()


async def test_reissue_opens_all_lines_again_at_the_same_prices(biller: Biller) -> None:
    """Issue: reissue credits all and opens the lines again at the same prices.

    In one transaction; the next batch bills them.
    """
    await biller.consume(
        realization(
            "T-1", 1, realization_line("40"), realization_line("5", "75.00", time_type="OT")
        ),
        realization("P-1", 1, product_line("10000.00")),
    )
    await biller.generate()
    answer = await credit(biller, to="reissue")
    assert answer["details"]["open_again"] == {
        "lines": 3,
        "net": "12375.00",
        "was_open": "0.00",
        "currency": "USD",
    }
    found = await biller.rows(
        "SELECT p.unit_price FROM invoicer.open_line JOIN invoicer.pay_line p USING (pay_line_id)"
        " ORDER BY 1"
    )
    assert [str(row[0]) for row in found] == ["50.0000", "75.0000", "10000.0000"]
    await biller.generate()
    assert [(kind, net) for _, kind, _, net, *_ in await biller.documents()] == [
        ("invoice", "12375"),
        ("credit-note", "-12375"),
        ("invoice", "12375"),
    ]
    await biller.check_seals()


async def test_a_further_debit_of_a_snoozed_key_is_snoozed(biller: Biller) -> None:
    """A line that is opened to be billed again inherits the snooze of its key.

    The credit is not on hold.
    """
    await biller.consume(realization("T-1", 1, realization_line("40")))
    await biller.generate()
    await biller.consume(realization("T-1", 2, realization_line("41")))
    (extra,) = await biller.rows("SELECT pay_line_id FROM invoicer.open_line")
    await biller.tell("snooze-pay-lines", pay_line_ids=[extra.pay_line_id])
    answer = await credit(biller, "INV-000001", (1, "10"))
    assert (answer["outcome"], await biller.open()) == ("accepted", [("11", "550")])
    assert (await biller.generate())["details"]["left_out"] == {"snoozed": 1}


async def test_an_open_credit_and_one_by_hand_never_exceed_the_line(biller: Biller) -> None:
    """An open credit of the same line reserves nothing.

    Once the credit by hand is closed, settlement opens only what is still to credit.
    """
    await biller.consume(realization("T-1", 1, realization_line("40")))
    await biller.generate()
    await biller.consume(realization("T-1", 2, realization_line("30")))
    assert await biller.open() == [("-10", "-500")]
    await credit(biller, "INV-000001", (1, "38"), to="write-off")
    assert await biller.open() == [], (
        "2 h are on the invoice; they and the 28 h written off settle the value of 30 h"
    )
    await biller.consume(realization("T-1", 3))
    assert await biller.open() == [("-2", "-100")]
    await biller.generate()
    assert (await credit(biller))["code"] == "nothing_left"
    await biller.check_seals()


async def test_an_earlier_write_off_forgives_what_is_credited_later(biller: Biller) -> None:
    """The forgiven part is computed anew at every settlement.

    40 h invoiced, 2 h written off, adjusted to 38 h: crediting 3 h to rebill opens 1 h, and the
    answer explains why it is not 3 h.
    """
    await biller.consume(realization("T-1", 1, realization_line("40")))
    await biller.generate()
    await credit(biller, "INV-000001", (1, "2"), to="write-off")
    await biller.consume(realization("T-1", 2, realization_line("38")))
    answer = await credit(biller, "INV-000001", (1, "3"))
    assert await biller.open() == [("1", "50")]
    (finding,) = answer["findings"]
    assert (finding["code"], finding["message"].split(":")[0]) == (
        "other_than_credited",
        "50.00 more is open for 150.00 credited or taken back",
    )
    await biller.check_seals()


async def test_edited_lines_are_credited_and_opened_with_their_edit(biller: Biller) -> None:
    """An edit is part of the value: a rebilled line is opened with it."""
    await biller.consume(realization("T-1", 1, realization_line("40")))
    (line,) = await biller.rows("SELECT pay_line_id FROM invoicer.open_line")
    await biller.tell(
        "edit-pay-line", pay_line_id=line.pay_line_id, amount="1800.00", reason="agreed"
    )
    await biller.generate()
    answer = await credit(biller, "INV-000001", (1, "10"))
    assert answer["details"]["listed"][0]["net"] == "450.00", (
        "the price does not hold any more: in proportion"
    )
    assert await biller.open() == [("10", "450")]
    await biller.check_seals()


async def test_a_refusal_states_what_is_left_and_what_to_do(biller: Biller) -> None:
    """Issue: never more than can be credited; a credit note cannot be credited.

    A refusal changes nothing and says what is left and what to do.
    """
    await biller.consume(realization("T-1", 1, realization_line("40")))
    await biller.generate()
    await credit(biller, "INV-000001", (1, "2"))
    refusals = {
        "more_than_left": await credit(biller, "INV-000001", (1, "39")),
        "no_such_line": await credit(biller, "INV-000001", (2, "1")),
        "is_credit_note": await credit(biller, "INV-000002"),
        "unknown_invoice": await credit(biller, "INV-000009"),
        "date_in_future": await credit(biller, "INV-000001", (1, "1"), invoice_date="2026-11-01"),
        "date_goes_back": await credit(biller, "INV-000001", (1, "1"), invoice_date="2026-10-30"),
        "unknown_billing_company": await credit(
            biller, "INV-000001", (1, "1"), billing_company="no one"
        ),
    }
    assert {code: answer.get("code") for code, answer in refusals.items()} == {
        code: code for code in refusals
    }
    assert (
        refusals["more_than_left"]["message"]
        == "line 1 of INV-000001: 39 requested, 38 HUR and 1,900.00 USD left"
    )
    await biller.company(enabled=False)
    assert (await credit(biller, "INV-000001", (1, "1")))["code"] == "company_disabled"
    assert len(await biller.documents()) == 2
    assert (await biller.rows("SELECT next_number FROM invoicer.number_series"))[0].next_number == 3
    await biller.check_seals()


async def test_the_same_credit_twice_is_one_credit_note(biller: Biller) -> None:
    """The same command again returns the first result and credits nothing."""
    await biller.consume(realization("T-1", 1, realization_line("40")))
    await biller.generate()
    lines = [{"line_no": 1, "quantity": "2"}]
    asked = record(
        "operator-commands",
        command(
            "credit-invoice",
            billing_company=COMPANY,
            invoice_number="INV-000001",
            lines=lines,
            to="rebill",
        ),
        COMPANY,
    )
    for _ in range(2):
        await process(biller.unit_of_work, biller.dispatcher.subscription(), [asked])
    first, second = (json.loads(each.value) for each in biller.published("command-results")[-2:])
    assert first == second
    assert len(await biller.documents()) == 2


async def test_a_credit_waits_for_a_batch(
    biller: Biller, configure: Configure, pauses: Pauses
) -> None:
    """A credit that arrives while a batch runs is numbered after it."""
    await biller.consume(realization("T-1", 1, realization_line("40")))
    await biller.generate()
    await biller.consume(realization("T-1", 2, realization_line("41")))
    configure(today="2026-10-31")
    pauses.hold("batch_selected")
    batch = asyncio.create_task(biller.generate())
    await pauses.reached("batch_selected")
    crediting = asyncio.create_task(credit(biller, "INV-000001", (1, "3.5")))
    await asyncio.sleep(0.3)
    assert not crediting.done(), "the credit must wait for the company's lock"
    pauses.release("batch_selected")
    await asyncio.gather(batch, crediting)
    assert [(number, net) for number, _, _, net, *_ in await biller.documents()] == [
        ("INV-000001", "2000"),
        ("INV-000002", "50"),
        ("INV-000003", "-175"),
    ]
    assert await biller.open() == [("3.5", "175")]
    await biller.check_seals()


def _batch(said: Any) -> BatchGenerated:
    return BatchGenerated.model_validate_json(said.value)


def _closed(said: Any) -> InvoiceClosed:
    return InvoiceClosed.model_validate_json(said.value)
