"""Credits by hand on a real PostgreSQL, through the invoicer's own desk: what is credited, what is open again, what stays forgiven."""

from typing import Any

from tests.builders import statement, statement_line
from tests.handlers.billed import Biller, biller

__all__ = ["biller"]


async def credit(biller: Biller, number: str = "INV-000001", *lines: tuple[int, str | None], to: str = "rebill", **values: Any) -> dict[str, Any]:
    """Credits lines of an invoice, (line number, quantity), or all of it; the answer."""
    named = [{"line_no": line_no} | ({"quantity": quantity} if quantity else {}) for line_no, quantity in lines]
    return await biller.tell("credit-invoice", invoice_number=number, lines=named, to=to, **values)


async def test_a_part_of_a_line_is_what_stands_minus_what_remains(biller: Biller) -> None:
    """Domain rules 5: what stands on that invoice line minus the rounded amount of the quantity that remains (0.25 h of 7.5 × 33.33 = 8.34)."""
    await biller.company(default_tax="VAT")
    await biller.tax("VAT", "8.875")
    await biller.hear(statement("T-1", 1, statement_line("7.5", "33.33", amount="249.98")))
    await biller.generate()
    answer = await credit(biller, "INV-000001", (1, "0.25"), to="write-off")
    assert answer["outcome"] == "accepted", answer
    assert (await biller.documents())[1:] == [("INV-000002", "credit-note", "Mercy Hospital", "-8.34", "-0.74", "USD")]
    assert answer["details"]["listed"] == [
        {"line_no": 1, "document_id": "T-1", "quantity": "0.25", "net": "8.34", "tax": "0.74", "left": "7.25", "left_net": "241.64"}
    ]
    assert await biller.open() == []
    await biller.check_seals()
