"""MSP fees and their volume tiers through all services (msp.md 9, first two points)."""

from typing import Any

import pytest

from tests.builders import entry, rate, requirement, timesheet
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


async def priced(programme: Programme, price: str) -> None:
    """Set the bill rate of the requirement before anything is priced."""
    changed = requirement(revision=2, rates=[rate(price=price)])
    await programme.send("requirement-changed", changed)


@pytest.mark.parametrize(
    ("charged_as", "amount", "expected"),
    [("markup", "97.09", ("2.91", "100")), ("discount", "100", ("-3", "97"))],
)
async def test_a_fee_of_3_percent(
    programme: Programme, charged_as: str, amount: str, expected: tuple[str, str]
) -> None:
    """3 % markup on 97.09 is 2.91 (100.00); 3 % discount on 100.00 is 3.00 (msp.md 9)."""
    await priced(programme, amount)
    await programme.option()
    await fee(programme, charged_as=charged_as)
    await work(programme, "T-1", "1")
    await programme.bill()
    ((_, _, _, base, fee_amount, _),) = await programme.rows(FEES)
    ((_, net, _, _),) = await programme.rows(TOTALS)
    assert (base, (fee_amount, net)) == (amount, expected)


@pytest.mark.parametrize("charged_as", ["markup", "discount"])
@pytest.mark.parametrize("by", ["hand", "revision"])
async def test_a_credit_returns_the_fee(programme: Programme, charged_as: str, by: str) -> None:
    """Base 1,000.00, fee 30.00, credit of 100.00: 3.00 back; the last credit the rest (msp.md 9).

    At the original percentage: the fee is 5 % when the credits are made.
    """
    sign = 1 if charged_as == "markup" else -1
    await programme.option()
    await fee(programme, charged_as=charged_as)
    await work(programme, "T-1", "20")
    await programme.bill()
    await fee(programme, charged_as=charged_as, percent="5")
    if by == "hand":
        for lines in ([{"line_no": 1, "quantity": "2"}], [{"line_no": 1}]):
            note = await programme.tell(
                "credit-invoice", invoice_number="INV-000001", to="write-off", lines=lines
            )
            assert note["outcome"] == "accepted", note
    else:
        await work(programme, "T-1", "18", 2)
        await programme.bill()
        await work(programme, "T-1", "0", 3)
    await programme.bill()
    assert [row[3:5] for row in await programme.rows(FEES)] == [
        ("1000", f"{30 * sign}"), ("-100", f"{-3 * sign}"), ("-900", f"{-27 * sign}"),
    ]  # fmt: skip
    assert [row[1] for row in await programme.rows(TOTALS)] == [
        f"{1000 + 30 * sign}", f"{-100 - 3 * sign}", f"{-900 - 27 * sign}",
    ]  # fmt: skip


async def test_tiers_by_the_volume_before_each_document(programme: Programme) -> None:
    """3 % up to 100,000.00, then 2 %; three of 60,000.00: 1,800, 1,800, 1,200 (msp.md 9).

    The preview shows the same, and its digest is accepted.
    """
    await priced(programme, "60000")
    await programme.option(group_by=["bill.document"])
    await fee(programme)
    answer = await programme.tell(
        "set-fee-tiers", option="US staffing", currency="USD",
        tiers=[{"volume": "0", "percent": "3"}, {"volume": "100000.00", "percent": "2"}],
    )  # fmt: skip
    assert answer["outcome"] == "accepted", answer
    for number in range(3):
        await work(programme, f"T-{number}", "1")
    preview = await programme.tell("preview-batch", cut_off_date="2026-03-31")
    assert [each["fees"][0]["amount"] for each in preview["details"]["listed"]] == [
        "1800.00", "1800.00", "1200.00",
    ]  # fmt: skip
    await programme.bill(digest=preview["details"]["digest"])
    assert [row[2:] for row in await programme.rows(FEES)] == [
        ("3", "60000", "1800", "0"), ("3", "60000", "1800", "60000"),
        ("2", "60000", "1200", "120000"),
    ]  # fmt: skip
