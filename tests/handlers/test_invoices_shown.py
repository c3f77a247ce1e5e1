"""What people see of closed documents: their state, what is left on their lines, who credited
them, and how old they are.
"""

from datetime import date
from decimal import Decimal
from typing import Any

from services.console.queries import ageing, history, invoices
from services.console.queries.closed_documents import closed_documents, closed_lines
from shared.render import pdf_document
from tests.builders import COMPANY, node, product_line, realization, realization_line
from tests.conftest import as_console
from tests.handlers.billed import Biller, biller

__all__ = ["biller"]

ONE = Decimal(1)


async def read(biller: Biller, work: Any, *arguments: Any, **values: Any) -> Any:
    """Reads as the console does."""
    async with as_console(biller.console) as connection:
        return await work(connection, *arguments, **values)


async def credit(biller: Biller, number: str, *lines: tuple[int, str], to: str = "rebill") -> None:
    """A credit by hand."""
    named = [{"line_no": line_no, "quantity": quantity} for line_no, quantity in lines]
    answer = await biller.tell(
        "credit-invoice", invoice_number=number, lines=named, to=to, reason="agreed with the client"
    )
    assert answer["outcome"] == "accepted", answer


async def states(biller: Biller, **conditions: Any) -> list[tuple[str, str, str]]:
    """Number, state and what is left over of the documents that are found."""
    rows, total = await read(biller, invoices.invoice_search, **conditions)
    assert total == len(rows)
    return [
        (row["invoice_number"], row["state"], str(row["after_credits"])) for row in reversed(rows)
    ]


async def balances(biller: Biller) -> list[tuple[str, str, str, str, str]]:
    """Number, type, total, paid, and state with balance of all documents, which add up to what
    each debtor owes by age.
    """
    rows, _ = await read(biller, invoices.invoice_search)
    owed = await read(biller, ageing.ageing, COMPANY, date(2026, 10, 31))
    assert sum(row["balance"] for row in rows) == sum(row["total"] for row in owed["totals"])
    assert sum(row["balance"] for row in rows) == sum(row["total"] - row["paid"] for row in rows)
    return [
        (
            row["invoice_number"],
            row["document_type"],
            str(row["total"]),
            str(row["paid"]),
            f"{row['state']} {row['balance']}",
        )
        for row in reversed(rows)
    ]


async def test_the_state_is_derived_from_lines_credits_and_payments(biller: Biller) -> None:
    """Issue: the search list shows the state: open, partly credited, credited; a credit note is
    applied to what it corrects.
    """
    await biller.company(default_tax="VAT")
    await biller.tax("VAT", "20")
    for at in (1, 2, 3):
        await biller.consume(realization(f"T-{at}", 1, realization_line("40")))
        await biller.generate()
    await credit(biller, "INV-000002", (1, "10"), to="write-off")
    await credit(biller, "INV-000003")
    await biller.consume(
        realization(
            "P-1",
            1,
            product_line().model_copy(
                update={"quantity": -ONE, "unit_price": 30 * ONE, "amount": -30 * ONE}
            ),
        )
    )
    await biller.terms("Mercy Hospital", zero_documents=True)
    await biller.consume(realization("T-4", 1, realization_line("1", "0.00", po_number="PO-0")))
    await biller.generate(invoice_date="2026-10-31")
    found = await states(biller)
    assert found[:5] == [
        ("INV-000001", "open", "2400.00"),
        ("INV-000002", "partly credited", "1800.00"),
        ("INV-000003", "credited", "0.00"),
        ("INV-000004", "applied", "0.00"),
        ("INV-000005", "applied", "0.00"),
    ]
    assert sorted(found[5:]) == [("INV-000006", "open", "2364.00"), ("INV-000007", "zero", "0.00")]
    assert [number for number, *_ in await states(biller, state="credited")] == ["INV-000003"]
    assert [
        number for number, *_ in await states(biller, state="applied", document_type="credit-note")
    ] == ["INV-000004", "INV-000005"]
    assert await states(biller, state="unapplied") == []


async def test_a_credit_that_corrects_nothing_is_unapplied(biller: Biller) -> None:
    """Unapplied credits age by their own date, whatever their terms; they are no
    part of an invoice.
    """
    await biller.consume(
        realization(
            "P-1",
            1,
            product_line().model_copy(
                update={"quantity": -ONE, "unit_price": 30 * ONE, "amount": -30 * ONE}
            ),
        )
    )
    await biller.generate(invoice_date="2026-08-01")
    assert await states(biller) == [("INV-000001", "unapplied", "-30.00")]
    found = await read(biller, ageing.ageing, COMPANY, date(2026, 8, 31))
    assert [
        (row["account_name"], str(row["1-30"]), str(row["total"])) for row in found["debtors"]
    ] == [("Mercy Hospital", "-30.00", "-30.00")]


async def test_credits_are_applied_to_the_invoice_that_they_correct(biller: Biller) -> None:
    """By days past due, per debtor and currency, as of a day: a credit counts
    from its own date, on the invoice's age. On a netted invoice it pays the debits of that invoice:
    the debtor owes its total.
    """
    await biller.consume_nodes(node("office-2", account_name="Alpha"))
    await biller.terms("Mercy Hospital", credits="net")
    await biller.consume(
        realization("T-1", 1, realization_line("40")),
        realization(
            "T-2", 1, realization_line("3", "1000", currency="JPY", billto_node="office-2")
        ),
    )
    await biller.generate(invoice_date="2026-08-15")
    await biller.consume(
        realization("T-1", 2, realization_line("38")), realization("T-3", 1, realization_line("10"))
    )
    await biller.generate(invoice_date="2026-09-20")
    assert [row[3] for row in await biller.documents()] == ["3000", "2000", "400"]

    async def look(as_of: str) -> list[tuple[str, str, dict[str, str]]]:
        found = await read(biller, ageing.ageing, COMPANY, date.fromisoformat(as_of))
        return [
            (
                row["account_name"],
                row["currency"],
                {age: str(row[age]) for age in (*found["ages"], "total") if row[age]},
            )
            for row in found["debtors"]
        ]

    yen = {"current": "3000", "total": "3000"}
    assert await look("2026-08-14") == []
    assert await look("2026-09-14") == [
        ("Alpha", "JPY", yen),
        ("Mercy Hospital", "USD", {"current": "2000.00", "total": "2000.00"}),
    ]
    assert await look("2026-10-14") == [
        ("Alpha", "JPY", {"1-30": "3000", "total": "3000"}),
        ("Mercy Hospital", "USD", {"current": "400.00", "1-30": "2000.00", "total": "2400.00"}),
    ]
    assert (await look("2026-10-21"))[1][2] == {
        "1-30": "400.00",
        "31-60": "2000.00",
        "total": "2400.00",
    }
    await credit(biller, "INV-000002")
    assert (await look("2026-10-31"))[1][2] == {
        "1-30": "400.00",
        "31-60": "100.00",
        "total": "500.00",
    }


async def test_a_netted_document_is_worth_its_total(biller: Biller) -> None:
    """Issue 11, 19: credits on a netted document pay its debits first. So a credit note is never
    open above zero, an invoice is open by its total, and the balances add up to what is owed.
    """
    await biller.company(default_tax="VAT")
    await biller.tax("VAT", "20")
    await biller.terms("Mercy Hospital", credits="net", zero_documents=True)

    async def bill(*documents: Any) -> None:
        await biller.consume(*documents)
        assert (await biller.generate())["outcome"] == "accepted"

    def week(name: str, revision: int, hours: str) -> Any:
        return realization(name, revision, realization_line(hours))

    changes = {"quantity": -ONE, "unit_price": 30 * ONE, "amount": -30 * ONE, "tax_code": "NONE"}
    fee = product_line().model_copy(update=changes)
    await biller.tax("NONE", "0")
    await bill(week("T-1", 1, "40"))
    await bill(week("T-1", 2, "38"), week("T-2", 1, "1"))
    await bill(week("T-1", 3, "37"), week("T-3", 1, "10"))
    await bill(week("T-1", 4, "36"), week("T-4", 1, "1"))
    await bill(realization("P-1", 1, fee))
    await bill(realization("P-1", 2, document_kind="placement"))
    (netted,) = await biller.rows("SELECT invoice_id FROM invoicer.invoice WHERE number = 3")
    await biller.rows(
        "INSERT INTO invoicer.payment VALUES"
        " ('gl', 'pay-1', :id, 1, 540, 'USD', '2026-10-31', 'r-1', now())",
        id=netted.invoice_id,
    )
    assert (await balances(biller))[2][3:] == ("540.00", "paid 0.00")
    await credit(biller, "INV-000003", (2, "10"))
    assert [(*row[:3], row[4]) for row in await balances(biller)] == [
        ("INV-000001", "invoice", "2400.00", "partly credited 2340.00"),
        ("INV-000002", "credit-note", "-60.00", "applied 0.00"),
        ("INV-000003", "invoice", "540.00", "overpaid -600.00"),
        ("INV-000004", "invoice", "0.00", "zero 0.00"),
        ("INV-000005", "credit-note", "-30.00", "unapplied -30.00"),
        ("INV-000006", "invoice", "30.00", "open 30.00"),
        ("INV-000007", "credit-note", "-600.00", "applied 0.00"),
    ]


async def test_a_document_shows_what_is_left_and_who_credited_it(biller: Biller) -> None:
    """Issue: view with lines and history: what is left on each line, on which document, by whom,
    why and to what end it was credited.
    """
    await biller.consume(
        realization(
            "T-1", 1, realization_line("40"), realization_line("5", "75.00", time_type="OT")
        )
    )
    await biller.generate()
    await credit(biller, "INV-000001", (2, "2"), to="write-off")
    await biller.consume(
        realization(
            "T-1", 2, realization_line("30"), realization_line("5", "75.00", time_type="OT")
        )
    )
    await biller.generate()
    head = await read(biller, invoices.invoice, "INV-000001", COMPANY)
    assert (head["state"], str(head["after_credits"])) == ("partly credited", "1875.00")
    lines = await read(biller, invoices.invoice_lines, head["invoice_id"])
    assert [
        (row["line_no"], str(row["quantity_left"]), str(row["amount_left"])) for row in lines
    ] == [(1, "5", "375.00"), (2, "30", "1500.00")]
    credits = await read(biller, invoices.invoice_credits, head["invoice_id"])
    assert [
        (
            row["corrects_line"],
            row["invoice_number"],
            str(row["quantity"]),
            row["credited_to"],
            row["reason"],
        )
        for row in credits
    ] == [
        (2, "INV-000002", "-2", "write-off", "agreed with the client"),
        (2, "INV-000003", "-8", "correction", "test"),
    ]
    (line,) = await read(biller, invoices.invoice_lines, credits[0]["line_no"] + head["invoice_id"])
    assert (line["quantity_left"], line["corrects_invoice"]) == (None, "INV-000001")


async def test_a_credit_note_by_hand_can_be_printed(biller: Biller) -> None:
    """A credit note is titled so, with number and date of every invoice it
    corrects; its signs are turned.
    """
    await biller.company(default_tax="VAT")
    await biller.tax("VAT", "8.875")
    await biller.consume(realization("T-1", 1, realization_line("7.5", "33.33", amount="249.98")))
    await biller.generate(invoice_date="2026-10-30")
    await credit(biller, "INV-000001", (1, "0.25"), to="write-off")
    async with as_console(biller.console) as connection:
        (row,) = await biller.rows(
            "SELECT batch_id FROM invoicer.batch ORDER BY generated_at DESC LIMIT 1"
        )
        (documents,) = [
            page async for page in closed_documents(connection, {"batch_id": row.batch_id})
        ]
        lines = [line async for _, line in closed_lines(connection, documents)]
    (document,) = documents
    corrected = [(each.number, str(each.invoice_date)) for each in document.corrects]
    assert (document.document_type, corrected) == (
        "credit-note", [("INV-000001", "2026-10-30")],
    )  # fmt: skip
    assert pdf_document(document, lines).startswith(b"%PDF")


async def test_the_history_of_an_invoice_shows_its_credits(biller: Biller) -> None:
    """Every accepted or refused command is kept, and found by the number of the
    invoice, the debtor, and the document.
    """
    await biller.consume(realization("T-1", 1, realization_line("40")))
    await biller.generate()
    await biller.tell(
        "credit-invoice",
        invoice_number="INV-000001",
        lines=[{"line_no": 1, "quantity": "41"}],
        to="rebill",
    )
    await credit(biller, "INV-000001", (1, "2"), to="write-off")
    for subject in ("INV-000001", "INV-000002", "Mercy Hospital", "T-1"):
        entries = [
            (row["what"], row["outcome"])
            for row in await read(biller, history.history, subject)
            if row["what"] == "credit-invoice"
        ]
        assert entries[-1] == ("credit-invoice", "accepted"), subject
    events = [
        (row["what"], row["outcome"], row["before"])
        for row in await read(biller, history.history, "INV-000001")
    ]
    assert [(what, outcome) for what, outcome, _ in events] == [
        ("generate-batch", "accepted"),
        ("credit-invoice", "refused"),
        ("credit-invoice", "accepted"),
    ]
    assert events[2][2] == {"1": {"quantity": "40", "amount": "2000"}}


async def test_a_cancelled_timesheet_is_credited_and_not_only_invoiced(biller: Biller) -> None:
    """Issue 11, 21: why-not tells invoices from credit notes, says what is forgiven, and names a
    document of which nothing is left; the history shows what was forgiven and taken back, and no
    question.
    """

    async def why_not() -> tuple[str, str]:
        answer = await biller.tell("explain", document_id="T-1")
        return answer["details"]["reason"], answer["message"]

    await biller.consume(realization("T-1", 1, realization_line("40")))
    await biller.generate()
    await credit(biller, "INV-000001", (1, "2"), to="write-off")
    forgiven = "T-1 is invoiced: INV-000001; credited on INV-000002; forgiven: quantity 2, 100.00"
    assert await why_not() == ("invoiced", f"{forgiven} USD")
    await biller.consume(realization("T-1", 2))
    await biller.generate()
    credited = "T-1 is invoiced: INV-000001; credited in full on INV-000002, INV-000003"
    assert await why_not() == ("credited", f"{credited}; forgiven: quantity 2, 100.00 USD")
    await biller.tell("health-check")
    await biller.tell(
        "credit-invoice", invoice_number="INV-000001", lines=[], to="reissue", reason="bill it all"
    )
    entries = await read(biller, history.history, "T-1")
    kinds = {row["what"]: row for row in entries}
    assert "explain" not in kinds
    assert kinds["written off"]["message"].startswith("2 HUR, 100.00 USD of ")
    assert kinds["written off"]["reason"] == "agreed with the client"
    assert kinds["write-off taken back"]["reason"] == "bill it all"
    assert [row["at"] for row in entries] == sorted(row["at"] for row in entries)
    asked = {row["what"] for row in await read(biller, history.history, COMPANY)}
    assert "generate-batch" in asked and "health-check" not in asked
