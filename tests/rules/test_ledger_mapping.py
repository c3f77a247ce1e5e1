"""What a mapping lacks, before a batch is numbered: the invoicer's answer is the one that the
delivery would give afterwards.
"""

import random
from datetime import date
from decimal import Decimal

import pytest

from services.arg_sync.deliveries.rules.mapping import _line
from services.invoicer.batches.rules.ledgers import (
    LedgerConnection,
    SoldItem,
    UnusableCode,
    relevant_connections,
    unmapped,
    unusable,
)
from shared.terms import ClosedLine

ITEMS, TIMES, TAXES, RATES = (
    ("", "DIRECT-HIRE", "LAPTOP"),
    ("", "REG", "OT"),
    ("", "VAT", "LOW"),
    (Decimal(0), Decimal("10.0000")),
)


def refused_for(sold: SoldItem, codes: set[tuple[str, str]]) -> set[str]:
    """What arg_sync would refuse a line of this for."""
    day = date(2026, 3, 1)
    kind = "timesheet" if sold.line_kind == "timesheet" else "placement"
    line = ClosedLine(
        invoice_id=1, line_no=1, description="", document_kind=kind, document_id="T-1",
        pay_line_id=1, worker_id="", requirement_id="", week_ending=day, service_from=day,
        service_to=day, time_type=sold.time_type, quantity=Decimal(1), unit="HUR",
        unit_price=Decimal(1), amount=Decimal(1), tax_code=sold.tax_code, tax_rate=sold.tax_rate,
        tax_amount=Decimal(0), po_number="", project="", cost_center="", corrects_invoice="",
        corrects_line=None, item_id=sold.item_id,
    )  # fmt: skip
    missing: set[str] = set()
    _line(line, dict.fromkeys(codes, "x"), 1, missing)
    return missing


@pytest.mark.parametrize("seed", range(20))
def test_both_name_the_same_codes(seed: int) -> None:
    """Whatever is sold and whatever is mapped: what the health check names is what the delivery
    would refuse the documents for.
    """
    rng = random.Random(seed)
    kinds, names = ("account", "item", "tax"), (*ITEMS, *TIMES, *TAXES, "time", "product")
    for _ in range(100):
        codes = {(rng.choice(kinds), rng.choice(names)) for _ in range(rng.randrange(4))}
        sold = [
            SoldItem(
                rng.choice(("timesheet", "product")),
                rng.choice(ITEMS),
                rng.choice(TIMES),
                rng.choice(TAXES),
                rng.choice(RATES),
            )
            for _ in range(rng.randrange(4))
        ]
        assert unmapped(sold, codes) == sorted(
            {one for each in sold for one in refused_for(each, codes)}
        )


def test_a_system_that_takes_items_lacks_an_item_where_only_an_account_is_mapped() -> None:
    """QuickBooks and NetSuite take the account from the item: the account alone is refused."""
    sold = [SoldItem("timesheet", "", "REG", "", Decimal(0))]
    assert unmapped(sold, {("account", "")}) == []
    assert unmapped(sold, {("account", "")}, "item") == ["item REG"]
    assert unmapped(sold, {("item", "time")}, "item") == []


def test_only_the_codes_that_a_batch_uses_refuse_it() -> None:
    """The most exact mapped code of a line counts, its tax, its currency and its terms."""
    known = [
        UnusableCode("account", "OT", "overtime"),
        UnusableCode("account", "time", "time"),
        UnusableCode("tax", "VAT", "vat"),
        UnusableCode("currency", "EUR", "euro"),
        UnusableCode("term", "", "terms"),
    ]
    codes = {("account", "OT"), ("account", "time"), ("tax", "VAT")}
    regular = SoldItem("timesheet", "", "REG", "", Decimal(0))
    overtime = SoldItem("timesheet", "", "OT", "VAT", Decimal(10))
    assert unusable([regular], codes, set(), known) == ["time"]
    assert unusable([overtime], codes, {("currency", "USD")}, known) == ["overtime", "vat"]
    others = {("currency", "EUR"), ("term", "")}
    assert unusable([], codes, others, known) == ["euro", "terms"]


def test_a_ledger_that_was_ended_counts_if_none_took_its_place() -> None:
    """Who moved to another accounting system is not warned of the old one."""
    old, new = LedgerConnection("old", "disconnected"), LedgerConnection("new", "connected")
    assert relevant_connections([old, new]) == [new]
    assert relevant_connections([old]) == [old] and "disconnected" in old.problem
    assert (
        new.problem == ""
        and "does not answer"
        in LedgerConnection("new", "connected", circuit_open=True, message="503").problem
    )
