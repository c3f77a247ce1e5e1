"""The rules of MSP fees: versions, tiers, days of a volume, what credits return (msp.md 9)."""

import csv
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from facturx import parse_ubl_cii_xml, xml_check_xsd

from services.invoicer.fees.rules import (
    Fee,
    FeeGroup,
    Tier,
    Tiers,
    check_tiers,
    markup,
    returned_markups,
    segments,
    take_fees,
    volume_from,
)
from shared.errors import Refused
from shared.render import CSV_HEADER, csv_row
from shared.render.einvoice import EInvoice
from tests.rules.test_render_einvoice import ubl_of, with_fees

D = Decimal
DAY, LATER = date(2026, 1, 1), date(2026, 7, 1)
THEN_2 = (Tier(D(0), D(3)), Tier(D(100_000), D(2)))
FEE = Fee("US", "client", DAY, "markup", D(3))
TIERS = Tiers("US", "client", "USD", DAY, "364-days", THEN_2)


def test_a_markup_is_rounded_once() -> None:
    """3 % of 97.09 is 2.91; the smallest unit is that of the currency (msp.md 9)."""
    assert markup(D("97.09"), D(3), "USD") == D("2.91")
    assert markup(D("97.09"), D(3), "JPY") == D(3)


@pytest.mark.parametrize(
    ("credits", "returned"),
    [(["100", "900"], ["-3", "-27"]), (["333.33"] * 3 + ["0.01"], ["-10"] * 3 + ["0"])],
)
def test_credits_return_a_fee_in_proportion(credits: list[str], returned: list[str]) -> None:
    """1,000.00, fee 30.00, credit of 100.00: 3.00 back; the last one the rest (msp.md 9)."""
    given = [D(each) for each in credits]
    found = returned_markups(D(1000), D(30), D(3), (D(0), D(0)), given, "USD")
    assert found == [D(each) for each in returned]
    # One after the other it is the same.
    before = (D(0), D(0))
    for credit, expected in zip(given, found, strict=True):
        assert returned_markups(D(1000), D(30), D(3), before, [credit], "USD") == [expected]
        before = (before[0] - credit, before[1] + expected)


def test_documents_of_a_batch_add_up() -> None:
    """3 % up to 100,000.00, then 2 %: three documents of 60,000.00 take 3, 3 and 2 % (msp.md 9).

    Another currency has no tiers; a document that stays open adds nothing.
    """
    found = segments([FEE], [TIERS], [("US", "USD"), ("US", "EUR")])
    by_number = {each.segment_no: each for each in found}
    of = {each.currency: each.segment_no for each in found}
    groups = [
        FeeGroup(1, "US", "USD", D(60_000), True),
        FeeGroup(2, "US", "EUR", D(500_000), True),
        FeeGroup(3, "US", "USD", D(60_000), False),
        FeeGroup(4, "US", "USD", D(60_000), True),
        FeeGroup(5, "US", "USD", D(60_000), True),
    ]
    taken = take_fees(
        groups,
        {each.group_no: [of[each.currency]] for each in groups},
        by_number,
        lambda option, currency, since: D(0),
        LATER,
    )
    assert [(each.percent, each.volume) for each in taken] == [
        (D(3), D(0)), (D(3), None), (D(3), D(60_000)), (D(3), D(60_000)), (D(2), D(120_000)),
    ]  # fmt: skip


def test_a_tier_is_reached_at_its_volume() -> None:
    """At 100,000.00 the next tier holds; below zero the first one does."""
    for volume, percent in (("-5", 3), ("99999.99", 3), ("100000.00", 2)):
        assert TIERS.percent(D(volume)) == percent


def test_segments_change_with_fee_and_tiers() -> None:
    """Each change of a fee or of its tiers begins a segment; tiers before a fee mean nothing."""
    changed = FEE._replace(from_date=LATER, percent=D("2.5"))
    early = TIERS._replace(from_date=date(2025, 1, 1))
    ended = TIERS._replace(from_date=date(2026, 9, 1), tiers=())
    found = segments([FEE, changed], [early, ended], [("US", "USD"), ("other", "USD")])
    assert [(each.from_date, each.fee.percent, each.percent(D(200_000))) for each in found] == [
        (DAY, D(3), D(2)),
        (LATER, D("2.5"), D(2)),
        (date(2026, 9, 1), D("2.5"), D("2.5")),
    ]


def test_days_of_a_volume() -> None:
    """364 or 91 days before the invoice date, or the year of it."""
    assert volume_from("364-days", date(2026, 12, 31)) == date(2026, 1, 1)
    assert volume_from("91-days", date(2026, 4, 2)) == date(2026, 1, 1)
    assert volume_from("year-to-date", date(2026, 4, 2)) == date(2026, 1, 1)


def test_tiers_out_of_order_are_refused() -> None:
    """They begin at 0 and rise."""
    check_tiers(())
    check_tiers(THEN_2)
    for wrong in ([THEN_2[1]], [*THEN_2, Tier(D(5), D(1))]):
        with pytest.raises(Refused, match="the tiers begin at"):
            check_tiers(wrong)


def test_files_show_fees(tmp_path: Path) -> None:
    """UBL: a markup is a line with its own rate, a discount an AllowanceCharge; CSV has both."""
    document, lines = with_fees()
    assert (document.net, document.total) == (D("97.09"), D("116.22"))
    ubl = ubl_of(tmp_path / "a.xml", EInvoice(document, "US"), lines)
    xml_check_xsd(ubl)
    terms = parse_ubl_cii_xml(ubl)
    (allowance,) = terms["BG-20"]
    assert (allowance["rate"], allowance["base_amount"], allowance["amount"]) == (
        "3", "97.09", "2.91",
    )  # fmt: skip
    fee = terms["BG-25"][1]
    assert (fee["BT-153"], fee["BT-131"], fee["BT-152"]) == ("MSP fee 3 %", "2.91", "10")
    header = next(csv.reader([CSV_HEADER]))
    values = [dict(zip(header, next(csv.reader([csv_row(document, line)])), strict=True))
              for line in lines]  # fmt: skip
    assert [(each["amount"], each["tax_rate"]) for each in values] == [
        ("97.09", "20"), ("2.91", "10"),
    ]  # fmt: skip
