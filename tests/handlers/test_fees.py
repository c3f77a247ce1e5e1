"""MSP fees and their volume tiers through all services (msp.md 9, first two points)."""

import json
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import text

from services.console.cli.explaining import _fee as shown_fee
from services.console.importing.export import _fees as commands_of_fees
from services.console.queries.explanations import explain_pay_line
from services.console.queries.fees import volumes
from services.console.queries.invoices import invoice
from services.console.queries.snapshot import open_snapshot
from services.console.queries.why import why
from services.invoicer.fees.rules import markup
from shared.events.commands import SetFee, SetFeeTiers, SetOpeningVolume
from shared.money import split
from tests.builders import COMPANY, command, entry, placement, rate, requirement, timesheet
from tests.handlers.test_options import CLIENT, Programme, programme
from tests.report_totals import check_reports

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


def select(programme: Programme) -> Callable[..., Awaitable[Sequence[Any]]]:
    """A query as the owner, with named values."""

    async def found(statement: str, **values: Any) -> Sequence[Any]:
        async with programme.engine_of("owner").connect() as connection:
            return (await connection.execute(text(statement), values)).all()

    return found


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


async def test_people_see_a_fee(programme: Programme, database: str) -> None:
    """`why` of the line of a fee and of a line of its base; the invoice; the report; the export."""
    await programme.option()
    await fee(programme)
    of_option = {"option": "US staffing", "currency": "EUR"}
    await programme.tell("set-fee-tiers", tiers=[{"volume": "0", "percent": "2"}], **of_option)
    await programme.tell("set-opening-volume", amount="7", on_date="2026-01-01", **of_option)
    await work(programme, "T-1", "20")
    await programme.bill()
    lines = await programme.rows(
        "SELECT pay_line_id, document_kind FROM invoicer.pay_line ORDER BY pay_line_id"
    )
    async with open_snapshot(database) as connection:
        explained = [await explain_pay_line(connection, line_id) for line_id, _ in lines]
        chains = [await why(connection, line_id) for line_id, _ in lines]
        shown = await invoice(connection, "INV-000001")
        exported = await commands_of_fees(connection, command)
        reached = await volumes(connection, COMPANY, date(2026, 3, 31))
        reported = await check_reports(connection, select(programme), COMPANY)
    assert reported["fees"] == 1
    assert [kind for _, kind in lines] == ["timesheet", "fee"]
    assert explained[1]["derivation"]["fee"] | {"rule": ""} == {
        "rule": "", "option": "US staffing", "funded_by": "client", "percent": "3",
        "version": "1970-01-01", "base": "1000", "invoice": "INV-000001", "fee_no": 1,
    }  # fmt: skip
    assert shown_fee(explained[0]["fee"]).startswith("base of a markup of 3 % on 1,000.00 USD")
    assert chains[1].before[0].title == "MSP fee"
    assert ("MSP fee", "3 % markup on 1000.00") in chains[0].amount.facts
    assert [(str(each["base"]), str(each["amount"])) for each in shown["fees"]] == [
        ("1000.00", "30.00")
    ]
    assert [str(row["days_364"]) for row in reached] == ["7.00", "1000.00"]
    assert [type(each) for each in exported] == [SetFee, SetFeeTiers, SetOpeningVolume]


@pytest.mark.parametrize(
    ("name", "fields", "code"),
    [
        ("set-fee", {"funded_by": "supplier"}, "not_available_yet"),
        ("set-fee", {"option": "US stafing"}, "unknown_option"),
        ("set-fee", {"charged_as": "discount", "tax_code": "VAT"}, "tax_code_of_discount"),
        ("set-fee", {"tax_code": "VAT"}, "unknown_tax_code"),
        ("set-fee-tiers", {}, "no_fee"),
        ("set-opening-volume", {"option": "other"}, "unknown_option"),
    ],
)
async def test_what_is_refused(
    programme: Programme, name: str, fields: dict[str, Any], code: str
) -> None:
    """A fee of an unknown option or tax code, a supplier's fee, tiers without a fee."""
    values: dict[str, Any] = {
        "set-fee": {"charged_as": "markup", "percent": "3"},
        "set-fee-tiers": {"currency": "USD", "tiers": [{"volume": "0", "percent": "3"}]},
        "set-opening-volume": {"currency": "USD", "amount": "1.00", "on_date": "2026-01-01"},
    }[name]
    await programme.option()
    answer = await programme.tell(name, **{"option": "US staffing"} | values | fields)
    assert (answer["outcome"], answer["code"]) == ("refused", code), answer


async def test_tiers_rise_from_zero(programme: Programme) -> None:
    """Tiers that do not begin at 0 are refused; an empty list ends them; a fee line is no line to
    credit.
    """
    await programme.option()
    await fee(programme)
    of_option = {"option": "US staffing", "currency": "USD"}
    tiers = [{"volume": "5", "percent": "3"}]
    refused = await programme.tell("set-fee-tiers", tiers=tiers, **of_option)
    assert refused["code"] == "tiers_out_of_order"
    ended = await programme.tell("set-fee-tiers", tiers=[], **of_option)
    assert ended["outcome"] == "accepted", ended
    await work(programme, "T-1", "20")
    await programme.bill()
    refused = await programme.tell(
        "credit-invoice", invoice_number="INV-000001", to="rebill", lines=[{"line_no": 2}]
    )
    assert refused["code"] == "fee_line"
    whole = await programme.tell("credit-invoice", invoice_number="INV-000001", to="rebill")
    assert whole["details"]["fees"] == "30.00", whole
    await programme.bill()
    assert [row[1] for row in await programme.rows(TOTALS)] == ["1030", "-1030", "1030"]


async def test_the_effective_date_decides_the_percentage(programme: Programme) -> None:
    """A week before and a week after a change on one document: two fees (msp.md 9)."""
    await programme.option()
    await fee(programme)
    await fee(programme, percent="2.5", from_date="2026-03-10")
    await work(programme, "T-1", "20")
    await programme.send(
        "timesheet-approved",
        timesheet("T-2", 1, [entry("10", "2026-03-11")], engagement_id="E1", worker_id="W-2",
                  week_ending="2026-03-15"),
    )  # fmt: skip
    await programme.bill()
    assert [row[2:5] for row in await programme.rows(FEES)] == [
        ("3", "1000", "30"), ("2.5", "500", "12.5"),
    ]  # fmt: skip


async def test_loaded_volume_and_credits_count(programme: Programme) -> None:
    """Loaded volume counts from its day on, a credit lowers the volume; other days do not count."""
    await priced(programme, "60000")
    await programme.option()
    await fee(programme, charged_as="discount")
    of_option = {"option": "US staffing", "currency": "USD"}
    await programme.tell(
        "set-fee-tiers", volume_of="91-days", **of_option,
        tiers=[{"volume": "0", "percent": "3"}, {"volume": "100000", "percent": "2"}],
    )  # fmt: skip
    for on_date, amount in (("2025-12-29", "500000"), ("2025-12-30", "40000")):
        await programme.tell("set-opening-volume", amount=amount, on_date=on_date, **of_option)
    for number in range(3):
        await work(programme, f"T-{number}", "1")
        await programme.bill()
        if number == 1:
            await programme.tell(
                "credit-invoice", invoice_number="INV-000001", to="write-off",
                lines=[{"line_no": 1, "quantity": "0.5"}],
            )  # fmt: skip
    assert [row[2:] for row in await programme.rows(FEES)] == [
        ("3", "60000", "-1800", "40000"), ("2", "60000", "-1200", "100000"),
        ("3", "-30000", "900", None), ("2", "60000", "-1200", "130000"),
    ]  # fmt: skip


async def test_the_base_is_net_after_discounts(programme: Programme) -> None:
    """A discount of the debtor lowers the base, a surcharge does not raise it (msp.md 9)."""
    await programme.option()
    await programme.tell(
        "set-debtor-terms", account_name=CLIENT,
        allowances=[{"kind": "discount", "name": "Volume", "percent": "10"},
                    {"kind": "surcharge", "name": "Fuel", "percent": "5"}],
    )  # fmt: skip
    await fee(programme, charged_as="discount")
    await work(programme, "T-1", "20")
    await programme.bill()
    # 1,000.00 - 100.00 + 45.00 (5 % of 900.00) - 27.00 (3 % of 900.00)
    assert [row[3:5] for row in await programme.rows(FEES)] == [("900", "-27")]
    assert [row[1] for row in await programme.rows(TOTALS)] == ["918"]


@pytest.mark.parametrize("charged_as", ["markup", "discount"])
async def test_returns_by_hand_and_by_batch_are_alike(
    programme: Programme, charged_as: str
) -> None:
    """The same credits of two equal documents, one by hand (the rule in Python), one by revisions
    (its twin in SQL), drawn at random: the same base, fee and tax, and nothing of a fee is left.
    """
    draw = random.Random(charged_as)
    await programme.tell(
        "set-billing-company", default_tax="VAT",
        taxes=[{"tax_code": "VAT", "percent": "19", "from_date": "2020-01-01"}],
    )  # fmt: skip
    await priced(programme, "33.3333")
    await programme.tell(
        "set-debtor-terms", account_name=CLIENT,
        allowances=[{"kind": "discount", "name": "Volume", "percent": "7.5"},
                    {"kind": "surcharge", "name": "Fuel", "percent": "3.3"}],
    )  # fmt: skip
    await programme.option(group_by=["engagement.id"])
    await fee(programme, charged_as=charged_as, percent="2.75")
    hours = [draw.randrange(4, 96) / Decimal(4) for _ in range(3)]
    for engagement_id in ("E1", "E2"):
        for at, number in enumerate(hours):
            await work(programme, f"{engagement_id}-{at}", str(number),
                       engagement_id=engagement_id)  # fmt: skip
    await programme.bill()
    bases = await programme.rows(
        "SELECT f.base, f.share, d.amount FROM invoicer.line_fee f"
        " JOIN invoicer.document_fee d USING (invoice_id, fee_no) ORDER BY f.invoice_id, f.line_no"
    )
    of_first = [base for base, *_ in bases[:3]]
    taken = markup(sum(of_first), Decimal("2.75"), "USD")
    shares = split(-taken, of_first, Decimal("0.01")) if charged_as == "discount" else [0] * 3
    assert [share for _, share, _ in bases] == shares * 2
    assert {abs(amount) for *_, amount in bases} == {taken}
    lefts = [hours]
    for _ in range(2):
        lefts.append([draw.randrange(int(left * 4) + 1) / Decimal(4) for left in lefts[-1]])
    lefts.append([Decimal(0)] * 3)
    for number, (before, after) in enumerate(pairwise(lefts), start=2):
        lines = [
            {"line_no": at + 1, "quantity": str(before[at] - after[at])}
            for at in range(3)
            if after[at] < before[at]
        ]
        note = await programme.tell(
            "credit-invoice", invoice_number="INV-000001", to="write-off", lines=lines
        )
        assert note["outcome"] == "accepted", note
        for at in range(3):
            await work(programme, f"E2-{at}", str(after[at]), number, engagement_id="E2")
        await programme.bill()
    returned = {
        first: await programme.rows(
            "SELECT f.base, f.amount, l.tax_amount, i.net, i.tax FROM invoicer.document_fee f"
            " JOIN invoicer.invoice i USING (invoice_id)"
            " LEFT JOIN invoicer.invoice_line l USING (invoice_id, line_no)"
            f" WHERE '{first}' IN (SELECT c.invoice_number FROM invoicer.invoice c"
            " WHERE c.invoice_id IN (f.corrects_invoice_id, f.invoice_id)) ORDER BY i.number"
        )
        for first in ("INV-000001", "INV-000002")
    }
    assert returned["INV-000001"] == returned["INV-000002"]
    assert len(returned["INV-000001"]) == 4
    assert [sum(row[at] for row in returned["INV-000001"]) for at in (0, 1, 3, 4)] == [0] * 4


VAT = [{"tax_code": "VAT", "percent": "15", "from_date": "2020-01-01"}]


async def test_tax_over_the_document_includes_a_markup(programme: Programme) -> None:
    """25.06 and a fee of 0.75 at 15 % on their sum of 25.81: 3.87, not 3.76 and 0.11; netted with a
    credit that returns its own fee, cut by maximum lines that do not count the line of a fee.
    """
    await programme.tell("set-billing-company", default_tax="VAT", taxes=VAT, tax_basis="document")
    await programme.tell("set-debtor-terms", account_name=CLIENT, credits="net")
    await priced(programme, "25.06")
    await programme.option(max_lines=1)
    await fee(programme)
    await work(programme, "T-1", "1")
    await work(programme, "T-2", "1")
    await programme.bill()
    assert [row[1:3] for row in await programme.rows(TOTALS)] == [("25.81", "3.87")] * 2
    await programme.option()
    await work(programme, "T-1", "0", 2)
    await work(programme, "T-3", "3")
    await programme.bill()
    # 75.18 + 2.26 less 25.06 + 0.75
    assert (await programme.rows(TOTALS))[2][1] == "51.63"
    assert [row[3:5] for row in await programme.rows(FEES)][2:] == [
        ("75.18", "2.26"), ("-25.06", "-0.75"),
    ]  # fmt: skip


async def test_what_stays_open_takes_no_tier(programme: Programme) -> None:
    """A discount of 100 % leaves zero: the document stays open, and adds no volume; a markup whose
    tax code has no rate on the day leaves its lines out (`no_tax_rate`).
    """
    await programme.option(group_by=["engagement.id"])
    of_option = {"option": "US staffing", "currency": "USD"}
    await fee(programme, charged_as="discount", percent="100")
    await programme.tell(
        "set-fee-tiers", tiers=[{"volume": "0", "percent": "100"}], volume_of="year-to-date",
        **of_option,
    )  # fmt: skip
    await work(programme, "T-1", "20")
    await work(programme, "T-2", "20", engagement_id="E2")
    answer = await programme.bill()
    assert answer["details"]["left_out"] == {"zero_total": 2}
    assert await programme.rows(FEES) == []
    await programme.tell(
        "set-billing-company",
        taxes=[{"tax_code": "LATE", "percent": "15", "from_date": "2026-03-20"}],
    )
    await programme.tell("set-fee-tiers", tiers=[], **of_option)
    await fee(programme, tax_code="LATE", from_date="2020-01-01")
    answer = await programme.bill()
    assert answer["details"]["left_out"] == {"no_tax_rate": 2}


@pytest.mark.parametrize(("adds", "base"), [([], "100"), (["products"], "150")])
async def test_a_base_with_products(programme: Programme, adds: list[str], base: str) -> None:
    """The base is timesheets unless the option adds products or expenses (msp.md 9)."""
    item = command("set-catalog-item", item_id="FIXED", name="Fixed fee", amount="50.00",
                   currency="USD")  # fmt: skip
    await programme.send("operator-commands", item)
    await programme.option()
    await fee(programme, base_adds=adds)
    await work(programme, "T-1", "2")
    hired = placement(fees=[{"fee_id": "F-1", "item_id": "FIXED"}], engagement_id="E1")
    await programme.send("placement-created", hired)
    await programme.bill()
    assert [row[3] for row in await programme.rows(FEES)] == [base]
    ((net,),) = await programme.rows("SELECT trim_scale(sum(net))::text FROM invoicer.invoice")
    assert net == str(150 + Decimal(base) * 3 / 100).removesuffix(".0")


async def test_a_change_after_a_preview_is_named(programme: Programme) -> None:
    """A batch that cites a preview is refused when the fee changed since, and says so.

    A question about cut-offs and batch groups counts open lines, no fees.
    """
    await programme.option()
    await fee(programme)
    await work(programme, "T-1", "20")
    preview = await programme.tell("preview-batch", cut_off_date="2026-03-31")
    await fee(programme, percent="2", from_date="2026-01-01")
    refused = await programme.tell(
        "generate-batch", cut_off_date="2026-03-31", digest=preview["details"]["digest"]
    )
    assert refused["code"] == "digest_differs"
    assert refused["details"]["settings"] == ["fee of US staffing from 2026-01-01"], refused
    groups = await programme.tell("list-batch-groups", cut_off_date="2026-03-31")
    assert '"1000.00"' in json.dumps(groups["details"]), groups
    assert "1020" not in json.dumps(groups["details"])
