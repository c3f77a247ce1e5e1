"""What the console shows: statuses, pending amounts, numbers, explanations, history, files.

On a real PostgreSQL, under the role of the console.
"""

import json
from collections.abc import Awaitable, Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from services.console.queries import (
    dead_letters,
    invoices,
    pay_lines,
)
from services.console.queries.companies import companies_today
from services.console.queries.snapshot import open_snapshot
from services.fee_realizer.app import jobs
from shared.calendar import local_date
from shared.clock import now
from shared.errors import Refused
from tests.builders import product_line, realization, realization_line
from tests.conftest import Configure, EngineOf, Transact
from tests.fault_injection import InvoiceLine, RowInserter

MARCH = date(2026, 3, 31)
TODAY = {"acme-us": date(2026, 3, 31)}
VAT = {"code": "VAT", "rate": Decimal("8.875")}

Read = Callable[[Callable[..., Awaitable[Any]]], Awaitable[Any]]
Insert = Callable[[Callable[[RowInserter], Awaitable[Any]]], Awaitable[Any]]


@pytest.fixture
def read(database: str) -> Read:
    """`await read(lambda connection: ...)` reads as the console does."""

    async def run(work: Callable[..., Awaitable[Any]]) -> Any:
        async with open_snapshot(database) as connection:
            return await work(connection)

    return run


@pytest.fixture
def insert(engine_of: EngineOf) -> Insert:
    """`await plant(work)` puts rows in place as the owner."""

    async def run(work: Callable[[RowInserter], Awaitable[Any]]) -> Any:
        async with engine_of("owner").begin() as connection:
            return await work(RowInserter(connection))

    return run


async def sample_data(inserter: RowInserter) -> dict[str, int]:
    """An invoice of two timesheets, a credit of one of them on a credit note, and open lines in
    every status.
    """
    await inserter.company(name="Acme Inc.")
    ids: dict[str, int] = {}
    billed = {
        name: await inserter.pay_line(
            realization_line("40", tax_code="VAT", po_number="PO-1"), name, "invoice"
        )
        for name in ("T-1", "T-2")
    }
    await inserter.batch("B-1", [7, 8], MARCH)
    one, two = (
        InvoiceLine(billed[name], Decimal("2000.00"), Decimal("177.50"), **VAT)
        for name in ("T-1", "T-2")
    )
    seller, buyer = (
        json.dumps({"name": "Acme Inc.", "bank": "IBAN 1"}),
        json.dumps({"name": "Mercy Hospital", "address": "1 Main St"}),
    )
    first = await inserter.invoice("B-1", 7, MARCH, [one, two], seller=seller, buyer=buyer)
    ids["credit"] = await inserter.pay_line(
        realization_line("-2", tax_code="VAT"),
        "T-1",
        "invoice",
        realization_no=2,
        corrects=(first, 1),
    )
    await inserter.invoice(
        "B-1",
        8,
        MARCH,
        [InvoiceLine(ids["credit"], Decimal("-100.00"), Decimal("-8.88"), **VAT)],
        seller=seller,
        buyer=buyer,
    )
    await inserter.close_batch("B-1")
    await inserter.run(
        "INSERT INTO invoicer.number_jump VALUES ('acme-us', 'INV-', 9, 11, 'pat', 'a misprinted"
        " pad', 'c-2', now())"
    )
    await inserter.series(7, 12, MARCH)
    await inserter.seal()
    for said in (
        realization("T-1", 1, realization_line("40")),
        realization("T-1", 2, realization_line("38")),
        realization("T-3", 1, realization_line("8")),
    ):
        await inserter.realization(said)
    ids |= {"invoiced": billed["T-1"]}
    ids["pending"] = await inserter.pay_line(realization_line("8"), "T-3")
    ids["snoozed"] = await inserter.pay_line(realization_line("10"), "T-4")
    ids["woken"] = await inserter.pay_line(realization_line("11"), "T-5")
    ids["scheduled"] = await inserter.pay_line(product_line("10000.00", "2026-05-30"), "P-1")
    ids["product"] = await inserter.pay_line(product_line("250.50", "2026-03-31", 2), "P-2")
    ids["open credit"] = await inserter.pay_line(realization_line("-1"), "T-4", corrects=(first, 2))
    for document, until in (("T-4", None), ("T-5", date(2026, 3, 31))):
        await inserter.run(
            "INSERT INTO invoicer.snooze (document_kind, document_id, line_key, reason, actor,"
            " until_date, snoozed_at)"
            " VALUES ('timesheet', :id, :key, 'dispute', 'kim', :until, now())",
            id=document,
            key=realization_line("10").line_key,
            until=until,
        )
    return ids


async def test_the_status_is_derived_from_the_date(read: Read, insert: Insert) -> None:
    """Scheduled after today; Snoozed until released or until its date; a credit is never on
    hold; the rest that is due is Pending.
    """
    ids = await insert(sample_data)

    async def status(connection: Any) -> dict[int, str]:
        rows, total = await pay_lines.pay_lines(connection, TODAY, statuses=pay_lines.STATUSES)
        assert total == len(rows) == 9
        return {row["pay_line_id"]: row["status"] for row in rows}

    statuses = await read(status)
    assert {name: statuses[ids[name]] for name in ids} == {
        "credit": "Invoiced",
        "invoiced": "Invoiced",
        "pending": "Pending",
        "snoozed": "Snoozed",
        "woken": "Pending",
        "scheduled": "Scheduled",
        "product": "Pending",
        "open credit": "Pending",
    }
    rows, total = await read(lambda connection: pay_lines.pay_lines(connection, TODAY, limit=2))
    assert (len(rows), total) == (2, 6)
    rows, _ = await read(
        lambda connection: pay_lines.pay_lines(connection, TODAY, statuses=["Snoozed"])
    )
    assert [(row["hold_reason"], row["held_by"], str(row["amount"])) for row in rows] == [
        ("dispute", "kim", "500.00")
    ]


async def test_pending_shows_two_amounts_net_of_credits(read: Read, insert: Insert) -> None:
    """Amount: Timesheets and Amount: Products & Services are net of what is pending today and
    not snoozed.
    """
    await insert(sample_data)
    (row,) = await read(lambda connection: pay_lines.pending_amounts(connection, TODAY))
    assert (
        row["currency"],
        str(row["amount_timesheets"]),
        str(row["amount_products_and_services"]),
    ) == ("USD", "900.00", "250.50")


async def test_today_is_the_companys_own(read: Read, insert: Insert, configure: Configure) -> None:
    """Each company has the date of its zone; the settings may put another in its place; an
    unknown one is asked about in UTC.
    """
    await insert(lambda inserter: inserter.company(time_zone="Pacific/Kiritimati"))
    configure(today="2026-02-03")
    assert await read(lambda connection: companies_today(connection)) == {
        "acme-us": date(2026, 2, 3)
    }
    assert await read(lambda connection: companies_today(connection, "no one")) == {
        "no one": date(2026, 2, 3)
    }


async def test_today_is_that_of_the_books(
    read: Read, insert: Insert, configure: Configure, transact: Transact
) -> None:
    """The date that the workers use as today holds, whatever this process believes; where they use
    the clock, the clock of the database does.
    """
    await insert(lambda inserter: inserter.company(time_zone="Pacific/Kiritimati"))
    configure(today="2026-02-03")
    for _, job in jobs():
        await transact("fee_realizer", job)
    configure(today="2031-12-24")
    assert await read(lambda connection: companies_today(connection)) == {
        "acme-us": date(2026, 2, 3)
    }
    configure(today="")
    for _, job in jobs():
        await transact("fee_realizer", job)
    configure(today="2031-12-24")
    assert await read(lambda connection: companies_today(connection)) == {
        "acme-us": local_date(now(), "Pacific/Kiritimati")
    }


async def test_the_gap_certificate_explains_every_number(read: Read, insert: Insert) -> None:
    """First, last, used, declared jumps with who and why, unexplained 0; a
    number that is missing is named.
    """
    await insert(sample_data)
    (series,) = await read(lambda connection: invoices.gap_certificate(connection, "acme-us"))
    assert {
        name: series[name]
        for name in ("first", "last", "used", "passed_over", "unexplained", "unexplained_ranges")
    } == {
        "first": 7,
        "last": 11,
        "used": 2,
        "passed_over": 3,
        "unexplained": 0,
        "unexplained_ranges": [],
    }
    assert (series["jumps"][0]["actor"], series["jumps"][0]["reason"]) == (
        "pat",
        "a misprinted pad",
    )
    assert [series[f"{end}_invoice_number"] for end in ("first", "last")] == [
        "INV-000007",
        "INV-000011",
    ], "issue 11, 22: as documents show them"
    assert series["jumps"][0]["from_invoice_number"] == "INV-000009"
    await insert(
        lambda inserter: inserter.run(
            "UPDATE invoicer.number_series SET next_number = 15, first_number = 6"
        )
    )
    (series,) = await read(lambda connection: invoices.gap_certificate(connection, "acme-us"))
    assert series["unexplained"] == 4
    assert series["unexplained_ranges"] == [
        {"from_number": 6, "to_number": 6},
        {"from_number": 12, "to_number": 14},
    ]
    assert series["unexplained_invoice_numbers"] == ["INV-000006", "INV-000012 to INV-000014"]


SEARCHES: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["INV-000008", "INV-000007"]),
    ({"number": "7"}, ["INV-000007"]),
    ({"number": "INV-000008"}, ["INV-000008"]),
    ({"document_type": "credit-note"}, ["INV-000008"]),
    ({"amount": Decimal("108.88")}, ["INV-000008"]),
    ({"amount": Decimal(4000)}, ["INV-000007"]),
    ({"since": date(2026, 4, 1)}, []),
    (
        {
            "until": MARCH,
            "account_name": "office-1 account",
            "billing_company": "acme-us",
            "batch_id": "B-1",
        },
        ["INV-000008", "INV-000007"],
    ),
    ({"text": "mercy"}, ["INV-000008", "INV-000007"]),
    ({"text": "T-2"}, ["INV-000007"]),
    ({"text": "%"}, []),
]


async def test_documents_are_found_by_every_condition(read: Read, insert: Insert) -> None:
    """By number, dates, debtor, type, amount whatever its sign, batch, text, and by the
    timesheet that they invoice.
    """
    await insert(sample_data)
    for conditions, numbers in SEARCHES:
        rows, total = await read(
            lambda connection, asked=conditions: invoices.invoice_search(connection, **asked)
        )
        assert [row["invoice_number"] for row in rows] == numbers, conditions
        assert total == len(numbers)


async def test_a_dead_letter_is_shown_without_its_values(read: Read, insert: Insert) -> None:
    """Why and where, and the shape of the record; no value of it."""
    secret = {
        "timesheet_id": "CANARY",
        "entries": [{"hours": 40.5, "ok": True}, {}],
        "note": None,
        "names": [],
    }
    rows = [
        (json.dumps(secret).encode(), b"CANARY"),
        (b'{"cut": "CANARY', None),
        (None, b"k"),
        (b"\xff\xfe", b"k"),
    ]

    async def dead(inserter: RowInserter) -> None:
        for at, (value, key) in enumerate(rows):
            await inserter.run(
                "INSERT INTO invoicer.dead_letter (topic, partition_no, record_offset, sha256,"
                " record_key, record_value, headers, code, message)"
                " VALUES ('pay-lines-realized', 0, :at, '', :key, :value, CAST(:headers AS jsonb),"
                " 'bad_json', 'no good')",
                at=at,
                key=key,
                value=value,
                headers=json.dumps([["ce_id", "43414e415259"]]),
            )

    await insert(dead)
    listed, total = await read(lambda connection: dead_letters.dead_letters(connection))
    assert total == len(listed) == 4
    shown = [
        await read(
            lambda connection, number=row["dead_letter_id"]: dead_letters.dead_letter(
                connection, number
            )
        )
        for row in listed
    ]
    assert "CANARY" not in json.dumps(shown, default=str)
    whole = next(row for row in shown if row["offset"] == 0)
    assert whole["value"] == {
        "timesheet_id": "<text of 6>",
        "entries": [{"hours": "<number>", "ok": "<true or false>"}, "<1 more>"],
        "note": "<null>",
        "names": [],
    }
    with pytest.raises(Refused, match="no_such_dead_letter"):
        await read(lambda connection: dead_letters.dead_letter(connection, 1, "scheduler"))
    with pytest.raises(Refused, match="unknown_service"):
        await read(
            lambda connection: dead_letters.dead_letters(connection, "invoicer; DROP TABLE x")
        )
