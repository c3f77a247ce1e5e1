"""What people see of pay lines, previews and batches: debtors, dates, hours, lines in and out."""

from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError

from services.console.queries import batches, invoices, pay_lines
from tests.builders import COMPANY, command, node, product_line, realization, realization_line
from tests.handlers.billed import TODAY, Biller, biller
from tests.handlers.test_invoices_shown import read

__all__ = ["biller"]

OCTOBER = {"week_ending": "2026-10-25", "effective_date": "2026-10-25"}


async def lines_of_two_debtors(biller: Biller) -> None:
    """An invoiced week of which two hours are credited, and an open week of another debtor."""
    await biller.consume_nodes(node("office-2", account_name="Alpha"))
    await biller.consume(realization("T-1", 1, realization_line("40")))
    await biller.generate()
    await biller.consume(
        realization("T-1", 2, realization_line("38")),
        realization(
            "T-2",
            1,
            realization_line(
                "10",
                billto_node="office-2",
                **OCTOBER,
                service_from="2026-10-19",
                service_to="2026-10-23",
            ),
        ),
    )


async def listed(biller: Biller, **conditions: Any) -> list[dict[str, Any]]:
    """The lines in any status that meet these conditions."""
    rows, total = await read(
        biller, pay_lines.pay_lines, {COMPANY: TODAY}, statuses=pay_lines.STATUSES, **conditions
    )
    assert total == len(rows)
    return list(rows)


async def test_a_line_says_who_pays_when_it_was_and_what_it_corrects(biller: Biller) -> None:
    """Issue 11, 26: debtor, billing company, service dates and corrected document; filters by
    each.
    """
    await lines_of_two_debtors(biller)
    alpha, credit, invoiced = await listed(biller)
    names = ("account_name", "corrects_invoice", "corrects_line", "billing_company")
    assert [tuple(row[name] for name in names) for row in (credit, alpha, invoiced)] == [
        ("Mercy Hospital", "INV-000001", 1, COMPANY),
        ("Alpha", None, None, COMPANY),
        ("Mercy Hospital", None, None, COMPANY),
    ]
    assert (alpha["service_from"], alpha["service_to"]) == (date(2026, 10, 19), date(2026, 10, 23))
    for conditions, found in (
        ({"account_name": "Alpha"}, [alpha]),
        ({"account_name": "Mercy Hospital"}, [credit, invoiced]),
        ({"corrects": "INV-000001"}, [credit]),
        ({"since": date(2026, 10, 23)}, [alpha]),
        ({"until": date(2026, 10, 19), "account_name": "Alpha"}, [alpha]),
        ({"until": date(2026, 10, 18), "account_name": "Alpha"}, []),
    ):
        assert await listed(biller, **conditions) == found, conditions


async def test_a_preview_shows_hours_totals_and_the_lines_in_and_out(biller: Biller) -> None:
    """Issue 11, 26: hours of documents and totals; every line with its document or its reason."""
    await lines_of_two_debtors(biller)
    await biller.consume(realization("P-1", 1, product_line(effective="2026-11-30")))
    answer = await biller.preview()
    details = answer["details"]
    assert details["hours"] == {"USD": "8"}
    assert [(row["account_name"], row["hours"], row["total"]) for row in details["listed"]] == [
        ("Alpha", "10", "500.00"),
        ("Mercy Hospital", "-2", "-100.00"),
    ]
    shown = await read(biller, batches.preview, details["preview_id"])
    assert [
        (row["account_name"], str(row["hours"]), str(row["total"])) for row in shown["documents"]
    ] == [("Alpha", "10", "500.00"), ("Mercy Hospital", "-2", "-100.00")]
    assert [
        (row["document_no"], row["document_id"], row["account_name"], row["corrects_invoice"])
        for row in shown["lines_in"]
    ] == [(1, "T-2", "Alpha", None), (2, "T-1", "Mercy Hospital", "INV-000001")]
    assert [
        (row["reason"], row["document_id"], row["account_name"]) for row in shown["lines_out"]
    ] == [("scheduled", "P-1", "Mercy Hospital")]
    assert (shown["in_total"], shown["out_total"]) == (2, 1)
    assert {currency: str(hours) for currency, hours in shown["hours"].items()} == {"USD": "8"}
    groups = (await biller.tell("list-batch-groups", cut_off_date="2026-10-31"))["details"][
        "groups"
    ]
    assert [(group["hours"], row["hours"]) for group in groups for row in group["listed"]] == [
        ("8", "10"),
        ("8", "-2"),
    ]


async def test_a_batch_shows_its_documents_with_hours_and_its_reason(biller: Biller) -> None:
    """Issue 11, 26 and 28: documents with numbers and totals, the reason, numbers passed over."""
    await lines_of_two_debtors(biller)
    details = (await biller.generate(first_number=5, reason="a new pad"))["details"]
    assert (details["reason"], details["numbers_passed_over"]) == (
        "a new pad",
        "INV-000002 to INV-000004",
    )
    rows = [("INV-000005", "10", "500.00"), ("INV-000006", "-2", "-100.00")]
    assert [
        (row["invoice_number"], row["hours"], row["total"]) for row in details["listed"]
    ] == rows
    documents = await read(biller, batches.batch_documents, details["batch_id"])
    assert [
        (row["invoice_number"], str(row["hours"]), str(row["total"])) for row in documents
    ] == rows
    hours = await read(biller, batches.batch_hours, details["batch_id"])
    assert {currency: str(number) for currency, number in hours.items()} == {"USD": "8"}
    found, _ = await read(biller, invoices.invoice_search, batch_id=details["batch_id"])
    assert [str(row["hours"]) for row in found] == ["-2", "10"]


def test_leaving_debtors_out_of_a_batch_needs_a_reason() -> None:
    """Issue 11, 28: generate takes a reason where the rules want one."""
    values = {"billing_company": COMPANY, "cut_off_date": "2026-10-31", "exclude_debtors": ["A"]}
    command("preview-batch", **values, reason="")
    command("generate-batch", **values, reason="they asked us to wait")
    with pytest.raises(ValidationError, match="leaving debtors out of a batch needs a reason"):
        command("generate-batch", **values, reason="")
