"""What the console shows of the books: statuses, pending amounts, numbers, explanations, history, files. On a real PostgreSQL, as its role."""

import csv
import json
import os
import re
from collections.abc import Awaitable, Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from asyncpg import PostgresError
from pypdf import PdfReader

from services.console.client import batches, files, history, invoices, lines, why
from services.console.client import dead_letters as letters
from services.console.client.books import companies_today, found, reading
from shared.errors import Refused, Unavailable
from tests.builders import product_line, statement, statement_line
from tests.conftest import Configure, EngineOf
from tests.fault_injection import InvoiceLine, Planter

MARCH = date(2026, 3, 31)
TODAY = {"acme-us": date(2026, 3, 31)}
VAT = {"code": "VAT", "rate": Decimal("8.875")}

Read = Callable[[Callable[..., Awaitable[Any]]], Awaitable[Any]]
Plant = Callable[[Callable[[Planter], Awaitable[Any]]], Awaitable[Any]]


@pytest.fixture
def read(database: str) -> Read:
    """`await read(lambda connection: ...)` reads as the console does."""

    async def run(work: Callable[..., Awaitable[Any]]) -> Any:
        async with reading(database) as connection:
            return await work(connection)

    return run


@pytest.fixture
def plant(engine_of: EngineOf) -> Plant:
    """`await plant(work)` puts rows in place as the owner."""

    async def run(work: Callable[[Planter], Awaitable[Any]]) -> Any:
        async with engine_of("owner").begin() as connection:
            return await work(Planter(connection))

    return run


async def books(planter: Planter) -> dict[str, int]:
    """An invoice of two timesheets, a credit of one of them on a credit note, and open lines in every status."""
    await planter.company(name="Acme Inc.")
    ids: dict[str, int] = {}
    billed = {
        name: await planter.pay_line(
            statement_line("40", tax_code="VAT", po_number="PO-1"), name, "invoice"
        )
        for name in ("T-1", "T-2")
    }
    await planter.batch("B-1", [7, 8], MARCH)
    one, two = (
        InvoiceLine(billed[name], Decimal("2000.00"), Decimal("177.50"), **VAT)
        for name in ("T-1", "T-2")
    )
    seller, buyer = (
        json.dumps({"name": "Acme Inc.", "bank": "IBAN 1"}),
        json.dumps({"name": "Mercy Hospital", "address": "1 Main St"}),
    )
    first = await planter.invoice("B-1", 7, MARCH, [one, two], seller=seller, buyer=buyer)
    ids["credit"] = await planter.pay_line(
        statement_line("-2", tax_code="VAT"),
        "T-1",
        "invoice",
        realization_no=2,
        corrects=(first, 1),
    )
    await planter.invoice(
        "B-1",
        8,
        MARCH,
        [InvoiceLine(ids["credit"], Decimal("-100.00"), Decimal("-8.88"), **VAT)],
        seller=seller,
        buyer=buyer,
    )
    await planter.close_batch("B-1")
    await planter.run(
        "INSERT INTO invoicer.number_jump VALUES ('acme-us', 'INV-', 9, 11, 'pat', 'a misprinted pad', 'c-2', now())"
    )
    await planter.series(7, 12, MARCH)
    await planter.seal()
    for said in (
        statement("T-1", 1, statement_line("40")),
        statement("T-1", 2, statement_line("38")),
        statement("T-3", 1, statement_line("8")),
    ):
        await planter.statement(said)
    ids |= {"invoiced": billed["T-1"]}
    ids["pending"] = await planter.pay_line(statement_line("8"), "T-3")
    ids["snoozed"] = await planter.pay_line(statement_line("10"), "T-4")
    ids["woken"] = await planter.pay_line(statement_line("11"), "T-5")
    ids["scheduled"] = await planter.pay_line(product_line("10000.00", "2026-05-30"), "P-1")
    ids["product"] = await planter.pay_line(product_line("250.50", "2026-03-31", 2), "P-2")
    ids["open credit"] = await planter.pay_line(statement_line("-1"), "T-4", corrects=(first, 2))
    for document, until in (("T-4", None), ("T-5", date(2026, 3, 31))):
        await planter.run(
            "INSERT INTO invoicer.snooze (document_kind, document_id, line_key, reason, actor, until_date, snoozed_at)"
            " VALUES ('timesheet', :id, :key, 'dispute', 'kim', :until, now())",
            id=document,
            key=statement_line("10").line_key,
            until=until,
        )
    return ids


async def test_the_status_is_derived_from_the_date(read: Read, plant: Plant) -> None:
    """Scheduled after today; Snoozed until released or until its date; a credit is never on hold; the rest that is due is Pending (domain rules 2)."""
    ids = await plant(books)

    async def status(connection: Any) -> dict[int, str]:
        rows, total = await lines.pay_lines(connection, TODAY, statuses=lines.STATUSES)
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
    rows, total = await read(lambda connection: lines.pay_lines(connection, TODAY, limit=2))
    assert (len(rows), total) == (2, 6)
    rows, _ = await read(
        lambda connection: lines.pay_lines(connection, TODAY, statuses=["Snoozed"])
    )
    assert [(row["hold_reason"], row["held_by"], str(row["amount"])) for row in rows] == [
        ("dispute", "kim", "500.00")
    ]


async def test_pending_shows_two_amounts_net_of_credits(read: Read, plant: Plant) -> None:
    """Amount: Timesheets and Amount: Products & Services are net of what is pending today and not snoozed (domain rules 2)."""
    await plant(books)
    (row,) = await read(lambda connection: lines.pending_amounts(connection, TODAY))
    assert (
        row["currency"],
        str(row["amount_timesheets"]),
        str(row["amount_products_and_services"]),
    ) == ("USD", "900.00", "250.50")


async def test_today_is_the_companys_own(read: Read, plant: Plant, configure: Configure) -> None:
    """Each company has the date of its zone; the settings may put another in its place; an unknown one is asked about in UTC."""
    await plant(lambda planter: planter.company(time_zone="Pacific/Kiritimati"))
    configure(today="2026-02-03")
    assert await read(lambda connection: companies_today(connection)) == {
        "acme-us": date(2026, 2, 3)
    }
    assert await read(lambda connection: companies_today(connection, "nobody")) == {
        "nobody": date(2026, 2, 3)
    }


async def test_the_gap_certificate_explains_every_number(read: Read, plant: Plant) -> None:
    """First, last, used, declared jumps with who and why, unexplained 0 (domain rules 8); a number that is missing is named."""
    await plant(books)
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
    await plant(
        lambda planter: planter.run(
            "UPDATE invoicer.number_series SET next_number = 15, first_number = 6"
        )
    )
    (series,) = await read(lambda connection: invoices.gap_certificate(connection, "acme-us"))
    assert series["unexplained"] == 4
    assert series["unexplained_ranges"] == [
        {"from_number": 6, "to_number": 6},
        {"from_number": 12, "to_number": 14},
    ]


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


async def test_documents_are_found_by_what_people_know(read: Read, plant: Plant) -> None:
    """By number, dates, debtor, type, amount whatever its sign, batch, text, and by the timesheet that stands on them."""
    await plant(books)
    for conditions, numbers in SEARCHES:
        rows, total = await read(
            lambda connection, asked=conditions: invoices.invoice_search(connection, **asked)
        )
        assert [row["invoice_number"] for row in rows] == numbers, conditions
        assert total == len(numbers)


async def test_why_names_document_statement_and_node(read: Read, plant: Plant) -> None:
    """An invoiced line: sheet and revision, statement, rate version, and the node of the document with its level."""
    ids = await plant(books)
    explained = await read(lambda connection: why.why(connection, ids["invoiced"]))
    assert explained["place"]["invoice_number"] == "INV-000007"
    assert {
        name: explained["document"][name]
        for name in ("document_id", "source_id", "revision", "realization_no")
    } == {
        "document_id": "T-1",
        "source_id": "T-1",
        "revision": 1,
        "realization_no": 1,
    }
    assert explained["rate"]["rate_version"] == "2020-01-01@50"
    assert explained["derivation"]["formula"] == "40 × 50.00 = 2000.00"
    assert (
        explained["billto"]["node"],
        explained["billto"]["level"],
        explained["billto"]["account_name"],
    ) == ("office-1", "office", "office-1 account")


async def test_why_of_a_credit_is_the_invoice_that_it_corrects(read: Read, plant: Plant) -> None:
    """A credit is never resolved again: it goes to the debtor of the invoice that it corrects, named with number and line (domain rules 5)."""
    ids = await plant(books)
    for name, line in (("credit", 1), ("open credit", 2)):
        billto = (await read(lambda connection, pay_line=ids[name]: why.why(connection, pay_line)))[
            "billto"
        ]
        assert billto == {
            "account_name": "office-1 account",
            "as": "the invoice that it corrects",
            "corrects_invoice": "INV-000007",
            "corrects_line": line,
        }


async def test_why_of_an_open_line_walks_up_to_the_account_name(read: Read, plant: Plant) -> None:
    """The lowest node with a non-empty Account Name wins; without one the line is billed to nobody (domain rules 9)."""
    ids = await plant(books)
    nodes = [
        ("office-1", 3, "client-1", ""),
        ("client-1", 2, "company-1", "Mercy"),
        ("company-1", 1, None, "Mercy Group"),
    ]

    async def grow(planter: Planter) -> None:
        for node, level, parent, account in nodes:
            await planter.run(
                "INSERT INTO invoicer.billto_node (node_id, revision, level, parent_id, name, account_name, address, tax_id, body)"
                " VALUES (:node, 1, :level, :parent, :node, :account, '', '', '{}')",
                node=node,
                level=level,
                parent=parent,
                account=account,
            )

    assert (await read(lambda connection: why.why(connection, ids["pending"])))["billto"][
        "account_name"
    ] is None
    await plant(grow)
    billto = (await read(lambda connection: why.why(connection, ids["pending"])))["billto"]
    assert (billto["account_name"], billto["node"], billto["level"], len(billto["path"])) == (
        "Mercy",
        "client-1",
        "client",
        3,
    )
    await plant(lambda planter: planter.run("UPDATE invoicer.billto_node SET account_name = ''"))
    assert (await read(lambda connection: why.why(connection, ids["pending"])))["billto"][
        "account_name"
    ] is None
    with pytest.raises(Refused, match="unknown_pay_line"):
        await read(lambda connection: why.why(connection, 999_999))


async def test_history_says_who_and_why(read: Read, plant: Plant) -> None:
    """By document, line, invoice, bare number, debtor: commands with actor and reason, accepted or refused, and what happened in between."""
    ids = await plant(books)

    async def commands(planter: Planter) -> None:
        for command_id, service, subjects, outcome in (
            ("B-1", "invoicer", ["acme-us", "B-1"], "accepted"),
            ("c-9", "invoicer", [f"pay-line {ids['pending']}"], "refused"),
            ("c-10", "fee_realizer", ["T-3"], "accepted"),
        ):
            await planter.run(
                f"INSERT INTO {service}.command (command_id, command, actor, reason, body, body_sha256, outcome, result, before, after, subjects)"
                " VALUES (:id, 'some-command', 'kim', 'because', '{}', '', :outcome, CAST(:result AS jsonb), '{\"x\": 1}', NULL, :subjects)",
                id=command_id,
                outcome=outcome,
                result=json.dumps({"code": "ok", "message": "done"}),
                subjects=subjects,
            )

    await plant(commands)

    async def ids_of(subject: str) -> set[str]:
        return {
            entry["command_id"]
            for entry in await read(lambda connection: history.history(connection, subject))
            if entry.get("command_id")
        }

    assert await ids_of("T-3") == {"c-9", "c-10"}
    assert await ids_of(str(ids["pending"])) == {"c-9"}
    assert await ids_of("INV-000007") == {"B-1"}
    assert await ids_of("7") == {"B-1"} | ({"c-9"} if ids["pending"] == 7 else set())
    assert await ids_of("office-1 account") == {"B-1"}
    assert await ids_of("c-10") == {"c-10"}
    assert "c-2" in await ids_of("10")
    entries = await read(lambda connection: history.history(connection, "T-1"))
    assert {"statement 1", "statement 2", "invoiced"} <= {entry["what"] for entry in entries}
    assert [entry["message"] for entry in entries if entry["what"] == "invoiced"] == [
        "invoice INV-000007 of office-1 account, line 1",
        "credit-note INV-000008 of office-1 account, line 1",
    ]
    assert (
        await read(lambda connection: history.history(connection, "nothing of the kind' OR 1=1"))
        == []
    )


async def test_a_dead_letter_is_shown_without_its_values(read: Read, plant: Plant) -> None:
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

    async def dead(planter: Planter) -> None:
        for at, (value, key) in enumerate(rows):
            await planter.run(
                "INSERT INTO invoicer.dead_letter (topic, partition_no, record_offset, sha256, record_key, record_value, headers, code, message)"
                " VALUES ('pay-lines-realized', 0, :at, '', :key, :value, CAST(:headers AS jsonb), 'bad_json', 'no good')",
                at=at,
                key=key,
                value=value,
                headers=json.dumps([["ce_id", "43414e415259"]]),
            )

    await plant(dead)
    listed, total = await read(lambda connection: letters.dead_letters(connection))
    assert total == len(listed) == 4
    shown = [
        await read(
            lambda connection, number=row["dead_letter_id"]: letters.dead_letter(connection, number)
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
        await read(lambda connection: letters.dead_letter(connection, 1, "scheduler"))
    with pytest.raises(Refused, match="unknown_service"):
        await read(lambda connection: letters.dead_letters(connection, "invoicer; DROP TABLE x"))


async def test_the_csv_adds_up_to_the_batch(read: Read, plant: Plant, tmp_path: Path) -> None:
    """Every line once, in the order of the numbers, credits negative; its totals are those of the batch."""
    await plant(books)
    place = tmp_path / "new" / "b.csv"

    async def save(connection: Any) -> files.Saved:
        return await files.save(connection, await batches.batch(connection, "B-1"), "csv", place)

    saved = await read(save)
    with place.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [
        (row["invoice_number"], row["line_no"], row["amount"], row["corrects_invoice"])
        for row in rows
    ] == [
        ("INV-000007", "1", "2000.00", ""),
        ("INV-000007", "2", "2000.00", ""),
        ("INV-000008", "1", "-100.00", "INV-000007"),
    ]
    assert (
        sum(Decimal(row["amount"]) for row in rows)
        == saved.totals.by_currency["USD"].net
        == Decimal(3900)
    )
    assert [path.name for path in place.parent.iterdir()] == ["b.csv"]


WRONG = {
    "a line that nobody announced": "UPDATE invoicer.batch SET totals = jsonb_set(totals, '{0,net}', '\"3900.01\"')",
    "a cent off on a line": "UPDATE invoicer.pay_line SET amount = amount + 0.01 WHERE document_id = 'T-2'",
    "a currency that is not there": 'UPDATE invoicer.batch SET totals = totals || \'[{"currency": "EUR", "documents": 1}]\'',
}


@pytest.mark.parametrize("fault", WRONG)
async def test_a_file_that_does_not_add_up_is_not_kept(
    read: Read, plant: Plant, tmp_path: Path, fault: str
) -> None:
    """Lines, heads and the batch's announced totals are three sums made apart: if two differ there is no file."""
    await plant(books)

    async def spoil(planter: Planter) -> None:
        await planter.without_triggers()
        await planter.run(WRONG[fault])
        await planter.run("SET session_replication_role = DEFAULT")

    await plant(spoil)
    for name in ("b.csv", "b.zip", "folder"):

        async def work(connection: Any, name: str = name) -> None:
            await files.save(
                connection,
                await batches.batch(connection, "B-1"),
                "csv" if name == "b.csv" else "pdf",
                tmp_path / name,
            )

        with pytest.raises(Refused, match="control_totals_differ"):
            await read(work)
    assert os.listdir(tmp_path) == []


async def test_pdf_goes_where_it_was_asked(read: Read, plant: Plant, tmp_path: Path) -> None:
    """A folder takes one file a document, a .zip all of them; one .pdf cannot hold two documents."""
    await plant(books)

    async def save(connection: Any, name: str) -> files.Saved:
        return await files.save(
            connection, await batches.batch(connection, "B-1"), "pdf", tmp_path / name
        )

    saved = await read(lambda connection: save(connection, "out"))
    assert sorted(path.name for path in saved.path.iterdir()) == [
        "INV-000007.pdf",
        "INV-000008.pdf",
    ]
    text = PdfReader(tmp_path / "out" / "INV-000008.pdf").pages[0].extract_text()
    assert "Credit note" in text
    assert re.search(r"INV-000007\s+of\s+2026-03-31", text)
    await read(lambda connection: save(connection, "all.zip"))
    assert (tmp_path / "all.zip").read_bytes()[:2] == b"PK"
    with pytest.raises(Refused, match="several_documents"):
        await read(lambda connection: save(connection, "one.pdf"))
    assert sorted(os.listdir(tmp_path)) == ["all.zip", "out"]


async def test_the_console_cannot_change_the_books(read: Read) -> None:
    """Reads go through a role and a transaction that refuse every write."""
    with pytest.raises(PostgresError, match=r"read-only|permission denied"):
        await read(
            lambda connection: found(connection, "DELETE FROM invoicer.open_line RETURNING 1")
        )


async def test_a_database_that_is_away_is_said_so() -> None:
    """A message with what to do, not a traceback."""
    with pytest.raises(Unavailable, match="the database does not answer"):
        async with reading("postgresql+asyncpg://postgres@127.0.0.1:9/backoffice"):
            pass
