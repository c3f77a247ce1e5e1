"""Credits of a batch by the debtor's option: separate, net, or per corrected invoice.

Also documents with a total of zero, and the order of documents.
"""

from typing import Any

from shared.events.billing import InvoiceClosed
from tests.builders import node, realization, realization_line
from tests.handlers.billed import Biller, biller

__all__ = ["biller"]

Document = tuple[str, str, str]


async def three_invoices(biller: Biller) -> None:
    """T-1 on invoice 1, T-2 on 2, T-3 on 3."""
    for at in (1, 2, 3):
        await biller.consume(realization(f"T-{at}", 1, realization_line("40")))
        await biller.generate(invoice_date=f"2026-10-0{at}")


async def after(biller: Biller, number: int = 3) -> list[Document]:
    """Type, debtor and net of the documents after the first ones."""
    return [
        (kind, account, net) for _, kind, account, net, *_ in (await biller.documents())[number:]
    ]


async def corrected(biller: Biller, number: str) -> list[tuple[str, str, int, str]]:
    """What the lines of a document correct: number, date, line, and amount."""
    found = await biller.rows(
        "SELECT l.corrects_invoice, l.corrects_date, l.corrects_line_no,"
        " trim_scale(l.amount)::text AS amount FROM invoicer.closed_invoice_line l"
        " JOIN invoicer.invoice i USING (invoice_id) WHERE i.invoice_number = :number ORDER BY"
        " l.line_no",
        number=number,
    )
    return [(row[0], str(row[1]), row[2], row[3]) for row in found]


async def adjust(biller: Biller, realization_no: int, **hours: str) -> None:
    """Further realizations of T-1, T-2, T-3."""
    await biller.consume(
        *(
            realization(name.replace("_", "-"), realization_no, realization_line(count))
            for name, count in hours.items()
        )
    )


async def test_credits_of_several_invoices_on_one_credit_note(biller: Biller) -> None:
    """One credit note per debtor and split keys; its lines name number, date and
    line.
    """
    await three_invoices(biller)
    await adjust(biller, 2, T_1="38", T_2="39", T_3="41")
    await biller.generate()
    assert await after(biller) == [
        ("invoice", "Mercy Hospital", "50"),
        ("credit-note", "Mercy Hospital", "-150"),
    ]
    assert await corrected(biller, "INV-000005") == [
        ("INV-000001", "2026-10-01", 1, "-100"),
        ("INV-000002", "2026-10-02", 1, "-50"),
    ]
    await biller.check_seals()


async def test_a_credit_note_for_each_corrected_invoice(biller: Biller) -> None:
    """One credit note per corrected invoice, in the order of the
    invoices.
    """
    await biller.terms("Mercy Hospital", credits="per-invoice")
    await three_invoices(biller)
    await adjust(biller, 2, T_3="30", T_2="39", T_1="38")
    await biller.generate()
    assert await after(biller) == [
        ("credit-note", "Mercy Hospital", net) for net in ("-100", "-50", "-500")
    ]
    assert [(await corrected(biller, f"INV-00000{at}"))[0][0] for at in (4, 5, 6)] == [
        "INV-000001",
        "INV-000002",
        "INV-000003",
    ]
    await biller.check_seals()


async def test_one_correction_over_several_invoices(biller: Biller) -> None:
    """A correction of two invoices is one credit note, or one per invoice.

    40 h on invoice 1, 1 h on invoice 2, adjusted to 38 h.
    """
    await biller.consume(realization("T-1", 1, realization_line("40")))
    await biller.generate()
    await biller.consume(realization("T-1", 2, realization_line("41")))
    await biller.generate()
    await biller.terms("Mercy Hospital", credits="per-invoice")
    await biller.consume(realization("T-1", 3, realization_line("38")))
    await biller.generate()
    assert await after(biller, 2) == [
        ("credit-note", "Mercy Hospital", "-100"),
        ("credit-note", "Mercy Hospital", "-50"),
    ]
    await biller.check_seals()


async def test_netted_credits_and_debits_are_one_document(biller: Biller) -> None:
    """Netted lines with a positive sum are an invoice with credits as negative
    lines.
    """
    await biller.terms("Mercy Hospital", credits="net")
    await three_invoices(biller)
    await adjust(biller, 2, T_1="38", T_2="45")
    await biller.consume(realization("T-4", 1, realization_line("10")))
    await biller.generate()
    assert await after(biller) == [("invoice", "Mercy Hospital", "650")]
    assert [amount for *_, amount in await corrected(biller, "INV-000004")] == [
        "-100",
        "250",
        "500",
    ]
    await biller.check_seals()


async def test_netted_below_zero_is_one_credit_note_with_all_lines(biller: Biller) -> None:
    """Netted lines with a negative sum are one credit note with all of them.

    No debtor is parked for the sign.
    """
    await biller.company(default_tax="VAT", tax_basis="document")
    await biller.tax("VAT", "15")
    await biller.terms("Mercy Hospital", credits="net")
    await three_invoices(biller)
    await adjust(biller, 2, T_1="30")
    await biller.consume(
        realization("T-4", 1, realization_line("1", "25.06")),
        realization("T-5", 1, realization_line("1", "25.61")),
    )
    await biller.generate()
    assert [(kind, net, tax) for _, kind, _, net, tax, _ in (await biller.documents())[3:]] == [
        ("credit-note", "-449.33", "-67.4")
    ]
    (head,) = await biller.rows("SELECT tax_basis FROM invoicer.invoice WHERE number = 4")
    assert head.tax_basis == "line", "a credit note never computes per document"
    await biller.check_seals()


async def test_only_what_shares_the_split_keys_is_netted(biller: Biller) -> None:
    """A credit keeps PO number and terms of its invoice.

    Debits with other split keys are on a document of their own.
    """
    await biller.terms("Mercy Hospital", credits="net")
    await biller.consume(realization("T-1", 1, realization_line("40", po_number="PO-1")))
    await biller.generate()
    await biller.consume(
        realization("T-1", 2, realization_line("38", po_number="PO-1")),
        realization("T-2", 1, realization_line("8", po_number="PO-2")),
    )
    await biller.generate()
    assert await after(biller, 1) == [
        ("credit-note", "Mercy Hospital", "-100"),
        ("invoice", "Mercy Hospital", "400"),
    ]
    await biller.rows("UPDATE invoicer.debtor_terms SET payment_terms = 'on-receipt'")
    await biller.consume(
        realization("T-1", 3, realization_line("37", po_number="PO-1")),
        realization("T-3", 1, realization_line("8", po_number="PO-1")),
    )
    await biller.generate()
    assert sorted(await after(biller, 3)) == [
        ("credit-note", "Mercy Hospital", "-50"),
        ("invoice", "Mercy Hospital", "400"),
    ]
    await biller.check_seals()


async def test_a_debtor_who_moved_is_not_netted_with_the_new_one(biller: Biller) -> None:
    """After an office moved, the credit goes to the old debtor.

    It is not netted with lines of the new debtor.
    """
    await biller.terms("Mercy Hospital", credits="net")
    await biller.terms("Alpha", credits="net")
    await biller.consume(
        realization(
            "T-1", 1, realization_line("40"), realization_line("5", "75.00", time_type="OT")
        )
    )
    await biller.generate()
    await biller.consume_nodes(node("office-1", revision=2, account_name="Alpha"))
    await biller.consume(
        realization(
            "T-1", 2, realization_line("38"), realization_line("6", "75.00", time_type="OT")
        )
    )
    await biller.generate()
    assert await after(biller, 1) == [
        ("invoice", "Alpha", "75"),
        ("credit-note", "Mercy Hospital", "-100"),
    ]
    await biller.check_seals()


async def test_a_netted_sum_of_zero_waits_or_is_a_document(biller: Biller) -> None:
    """A sum of zero stays open as `zero_total` and joins the next batch.

    Unless the option requests documents with a total of zero.
    """
    await biller.terms("Mercy Hospital", credits="net")
    await three_invoices(biller)
    await adjust(biller, 2, T_1="38", T_2="42")
    assert (await biller.generate())["details"]["left_out"] == {"zero_total": 2}
    await biller.rows("UPDATE invoicer.debtor_terms SET zero_documents = true")
    await biller.generate()
    assert await after(biller) == [("invoice", "Mercy Hospital", "0")]
    assert len(await biller.lines("INV-000004")) == 2
    await biller.check_seals()


async def test_the_order_of_documents_is_the_same_whenever_it_is_made(biller: Biller) -> None:
    """A rerun gives the same numbers.

    Documents are sorted by Account Name, then the split keys, invoices before credit notes.
    """
    await biller.consume_nodes(node("office-2", account_name="Alpha"))
    await biller.consume(
        realization("T-1", 1, realization_line("40", po_number="PO-2")),
        realization("T-2", 1, realization_line("40")),
        realization("T-3", 1, realization_line("40", billto_node="office-2")),
    )
    await biller.generate()
    await biller.consume(
        realization("T-1", 2, realization_line("39", po_number="PO-2")),
        realization("T-2", 2, realization_line("38")),
        realization("T-3", 2, realization_line("37", billto_node="office-2")),
        realization("T-4", 1, realization_line("4", po_number="PO-2")),
        realization("T-5", 1, realization_line("5")),
    )
    looked = (await biller.preview())["details"]["listed"]
    await biller.generate()
    expected = [
        ("credit-note", "Alpha", "-150"),
        ("invoice", "Mercy Hospital", "250"),
        ("credit-note", "Mercy Hospital", "-100"),
        ("invoice", "Mercy Hospital", "200"),
        ("credit-note", "Mercy Hospital", "-50"),
    ]
    assert await after(biller) == expected
    assert [
        (each["document_type"], each["account_name"], each["net"].removesuffix(".00"))
        for each in looked
    ] == expected


async def test_every_closed_document_is_announced_as_ready(biller: Biller) -> None:
    """FT: `invoice-closed` is published once for each closed document, credit notes too.

    With head, totals, taxes and hash.
    """
    await biller.company(default_tax="VAT")
    await biller.tax("VAT", "20")
    await biller.consume(realization("T-1", 1, realization_line("40")))
    await biller.generate()
    await biller.consume(realization("T-1", 2, realization_line("38")))
    await biller.generate()
    said = [
        InvoiceClosed.model_validate_json(each.value) for each in biller.published("invoice-closed")
    ]
    assert [
        (each.invoice_number, each.document_type, str(each.total), each.line_count) for each in said
    ] == [
        ("INV-000001", "invoice", "2400", 1),
        ("INV-000002", "credit-note", "-120", 1),
    ]
    stored: list[Any] = await biller.rows(
        "SELECT content_hash FROM invoicer.invoice_seal ORDER BY invoice_id"
    )
    assert [each.content_hash for each in said] == [row[0] for row in stored]


async def test_nothing_is_closed_when_tax_over_the_sum_is_what_the_credit_takes(
    biller: Biller,
) -> None:
    """0.15 billed on one line and then on three comes to zero, 0.02 tax
    taken and 0.02 charged, though three lines of 0.05 at
    15 % round to 0.03: the lines stay open, and no number is taken by an invoice of zero.
    """
    await biller.company(tax_basis="document", default_tax="VAT")
    await biller.tax("VAT", "15")
    await biller.terms("Mercy Hospital", credits="net")
    await biller.consume(realization("T-1", 1, realization_line("3", "0.05")))
    assert (await biller.generate())["details"]["totals"][0]["total"] == "0.17"
    await biller.consume(
        realization("T-1", 2),
        *(realization(f"T-{at}", 1, realization_line("1", "0.05")) for at in (2, 3, 4)),
    )
    for answer in (await biller.preview(), await biller.generate()):
        assert (answer["details"]["documents"], answer["details"]["left_out"]) == (
            0,
            {"zero_total": 4},
        )
    assert len(await biller.documents()) == 1
    await biller.consume(realization("T-5", 1, realization_line("1")))
    await biller.generate()
    assert await biller.documents() == [
        ("INV-000001", "invoice", "Mercy Hospital", "0.15", "0.02", "USD"),
        ("INV-000002", "invoice", "Mercy Hospital", "50", "7.5", "USD"),
    ]
    await biller.check_seals()


async def test_what_lowers_the_debt_is_a_credit_note_whatever_its_net(biller: Biller) -> None:
    """2,000.00 billed with 15 % tax turn out to be untaxed, and 1 h more: net
    50.00 more, tax 300.00 less. An accounting system refuses an invoice of -250.00.
    """
    await biller.tax("VAT", "15")
    await biller.terms("Mercy Hospital", credits="net")
    await biller.consume(realization("T-1", 1, realization_line("40", tax_code="VAT")))
    await biller.generate()
    await biller.consume(realization("T-1", 2), realization("T-2", 1, realization_line("41")))
    answer = await biller.generate()
    assert answer["details"]["totals"] == [
        {
            "currency": "USD",
            "documents": 1,
            "lines": 2,
            "net": "50.00",
            "tax": "-300.00",
            "total": "-250.00",
        }
    ]
    assert (await biller.documents())[1] == (
        "INV-000002",
        "credit-note",
        "Mercy Hospital",
        "50",
        "-300",
        "USD",
    )
    await biller.check_seals()
