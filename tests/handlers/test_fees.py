"""MSP fees and their volume tiers through all services (msp.md 9, first two points)."""

from typing import Any

from tests.builders import entry, timesheet
from tests.handlers.test_options import Programme, programme

__all__ = ["programme"]

FEES = (
    "SELECT i.invoice_number, f.charged_as, trim_scale(f.percent)::text, trim_scale(f.base)::text,"
    " trim_scale(f.amount)::text, trim_scale(f.volume)::text FROM invoicer.document_fee f"
    " JOIN invoicer.invoice i USING (invoice_id) ORDER BY i.number, f.fee_no"
)
TOTALS = (
    "SELECT invoice_number, trim_scale(net)::text, trim_scale(tax)::text, trim_scale(total)::text"
    " FROM invoicer.invoice ORDER BY number"
)


async def fee(programme: Programme, **fields: Any) -> dict[str, Any]:
    """Set the fee of the option US staffing: 3 % markup."""
    values = {"option": "US staffing", "charged_as": "markup", "percent": "3"} | fields
    answer = await programme.tell("set-fee", **values)
    assert answer["outcome"] == "accepted", answer
    return answer


async def work(
    programme: Programme, document: str, hours: str, revision: int = 1, **fields: Any
) -> None:
    """Send a timesheet of hours at 50.00."""
    worked = [entry(hours, "2026-03-04")]
    values = {"engagement_id": "E1", "worker_id": f"W-{document}"} | fields
    await programme.send("timesheet-approved", timesheet(document, revision, worked, **values))


async def test_a_markup_is_a_line_of_its_own(programme: Programme) -> None:
    """3 % markup on 1,000.00 is 30.00 (msp.md 9), with its own tax code."""
    await programme.tell(
        "set-billing-company", default_tax="VAT",
        taxes=[{"tax_code": "VAT", "percent": "20", "from_date": "2020-01-01"},
               {"tax_code": "FEE", "percent": "10", "from_date": "2020-01-01"}],
    )  # fmt: skip
    await programme.option()
    await fee(programme, tax_code="FEE")
    await work(programme, "T-1", "20")
    await programme.bill()
    assert await programme.rows(FEES) == [("INV-000001", "markup", "3", "1000", "30", None)]
    assert await programme.rows(TOTALS) == [("INV-000001", "1030", "203", "1233")]
