"""Settlement on a real PostgreSQL: the result of realizations, however batched or repeated."""

import asyncio
import itertools
import json
from datetime import date
from pathlib import Path

import pytest

from services.invoicer.settlement.handlers import realizations as statements
from shared.broker.topics import PAY_LINES_REALIZED
from shared.database import lock_companies
from shared.errors import Unavailable
from shared.events.realizations import PayLinesRealized
from tests.builders import WEEK, product_line, realization, realization_line, record, time_key
from tests.conftest import Configure, EngineOf, UnitOfWorkFor, process
from tests.drafted import draft_of
from tests.fault_injection import InvoiceLine, RowInserter
from tests.handlers.settled import Invoicer, invoicer


@pytest.fixture
def harness(unit_of_work_for: UnitOfWorkFor, engine_of: EngineOf) -> Invoicer:
    """The invoicer's subscriptions."""
    return invoicer(unit_of_work_for, engine_of)


async def _digest(harness: Invoicer) -> list[str]:
    tables = (
        "pay_line",
        "open_line",
        "replaced_line",
        "settled_document",
        "snooze",
        "operator_edit",
        "invoice_line",
        "dead_letter",
        "outbox",
    )
    found = []
    for table in tables:
        found += [
            str(row)
            for row in await harness.rows(
                f"SELECT '{table}', t::text FROM invoicer.{table} t ORDER BY 2"
            )
        ]
    return found


async def test_a_first_realization_opens_its_lines(harness: Invoicer) -> None:
    """The first realization of a document opens its lines, in its order."""
    await harness.consume(
        realization(
            "T-1", 1, realization_line("40"), realization_line("5", "75.00", time_type="OT")
        ),
        realization("T-2", 1, realization_line("30")),
    )
    assert await harness.open() == [("40", "2000"), ("5", "375")]
    assert await harness.open("T-2") == [("30", "1500")]
    await harness.check()


async def test_every_column_comes_from_the_realization(harness: Invoicer) -> None:
    """A pay line has every field of the realization's line, but the date of its credits."""
    line = realization_line(
        "7.5",
        "33.33",
        project="P",
        cost_center="C",
        po_number="PO-1",
        tax_code="VAT",
        item_id="",
        worker_id="W-9",
        rate_book=3,
        description="A · B",
    )
    await harness.consume(realization("T-1", 4, line))
    (row,) = await harness.rows("SELECT * FROM invoicer.pay_line")
    for name, value in line:
        assert name == "credit_date" or getattr(row, name) == value, name
    assert (row.realization_no, row.accounting_period, row.corrects_invoice_id) == (4, 202603, None)


async def test_the_highest_realization_of_a_batch_counts(harness: Invoicer) -> None:
    """The higher realization number wins."""
    await harness.consume(
        realization("T-1", 1, realization_line("40")), realization("T-1", 2, realization_line("38"))
    )
    assert await harness.places() == [("T-1", "38", "1900", "open")]


async def test_a_repeat_changes_no_table(harness: Invoicer) -> None:
    """A replay of a whole topic changes no table and publishes nothing."""
    said = [
        realization("T-1", 1, realization_line("40")),
        realization("T-1", 2, realization_line("38")),
        realization("T-2", 1, realization_line("8")),
        realization("T-2", 2, realization_kind="withheld"),
    ]
    await harness.consume(*said)
    assert [place[0] for place in await harness.places() if place[-1] == "open"] == ["T-1"]
    before = await _digest(harness)
    await harness.consume(*said)
    for one in said:
        await harness.consume(one)
    assert await _digest(harness) == before


async def test_the_order_of_realizations_does_not_change_the_result(harness: Invoicer) -> None:
    """Batches are cut anywhere; what is open in the end does not depend on it."""
    said = [
        [
            realization(f"T-{number}", at, realization_line(hours))
            for at, hours in enumerate(("40", "38", "41"), 1)
        ]
        for number in range(8)
    ]
    cuts = list(itertools.product((True, False), repeat=2))
    for document, (first, second) in zip(said, cuts + cuts, strict=True):
        batch: list[PayLinesRealized] = []
        for one, cut in zip(document, (first, second, True), strict=True):
            batch.append(one)
            if cut:
                await harness.consume(*batch)
                batch = []
    for number in range(8):
        assert await harness.open(f"T-{number}") == [("41", "2050")]
    await harness.check()


async def test_unchanged_open_lines_are_not_written_again(harness: Invoicer) -> None:
    """An unchanged line keeps its location, id and creation date."""
    await harness.consume(
        realization(
            "T-1", 1, realization_line("40"), realization_line("5", "75.00", time_type="OT")
        )
    )
    await harness.consume(
        realization(
            "T-1", 2, realization_line("40"), realization_line("6", "75.00", time_type="OT")
        )
    )
    assert [place for *_, place in await harness.places()] == ["open", "replaced", "open"]


async def test_withheld_withdraws_and_a_later_realization_brings_back(harness: Invoicer) -> None:
    """Open lines are withdrawn, invoiced lines stay, nothing is credited.

    Until a later realization arrives.
    """
    await harness.consume(realization("T-1", 1, realization_line("40")))
    await harness.invoice()
    await harness.consume(realization("T-1", 2, realization_line("41")))
    await harness.consume(realization("T-1", 3, realization_kind="withheld"))
    assert [place for *_, place in await harness.places()] == ["invoiced", "replaced"]
    await harness.consume(realization("T-1", 4, realization_line("41")))
    assert await harness.open() == [("1", "50")]
    await harness.check()


async def test_a_draft_loses_its_line(harness: Invoicer) -> None:
    """What is on a draft is replaced like what is open."""
    await harness.consume(realization("T-1", 1, realization_line("40")))
    await harness.rows(draft_of("SELECT * FROM invoicer.pay_line WHERE document_id = 'T-1'"))
    await harness.rows("DELETE FROM invoicer.open_line")
    await harness.consume(realization("T-1", 2, realization_line("38")))
    assert [place for *_, place in await harness.places()] == ["replaced", "open"]


# -- what is invoiced


async def test_corrections_name_the_invoice_line(harness: Invoicer) -> None:
    """40 h on invoice 1, then 1 h on invoice 2, adjusted to 38 h: newest first."""
    await harness.consume(realization("T-1", 1, realization_line("40")))
    first = await harness.invoice()
    await harness.consume(realization("T-1", 2, realization_line("41")))
    second = await harness.invoice()
    await harness.consume(realization("T-1", 3, realization_line("38")))
    found = await harness.rows(
        "SELECT trim_scale(quantity)::text AS q, trim_scale(amount)::text AS a,"
        " corrects_invoice_id, corrects_line_no, correction"
        " FROM invoicer.open_line JOIN invoicer.pay_line USING (pay_line_id) ORDER BY pay_line_id"
    )
    assert [tuple(row) for row in found] == [
        ("-1", "-50", second, 1, True),
        ("-2", "-100", first, 1, True),
    ]
    await harness.check()


async def test_a_debit_of_an_invoiced_key_is_a_correction(harness: Invoicer) -> None:
    """A correction of an invoiced line is in whatever its week ending; an
    original is not one.
    """
    await harness.consume(realization("T-1", 1, realization_line("40")))
    assert [
        row.correction for row in await harness.rows("SELECT correction FROM invoicer.open_line")
    ] == [False]
    await harness.invoice()
    await harness.consume(
        realization(
            "T-1", 2, realization_line("41"), realization_line("3", "75.00", time_type="OT")
        )
    )
    found = await harness.rows(
        "SELECT correction, time_type FROM invoicer.open_line JOIN invoicer.pay_line USING"
        " (pay_line_id) ORDER BY time_type"
    )
    assert [tuple(row) for row in found] == [(False, "OT"), (True, "REG")]


async def test_open_credits_are_replaced_like_debits(harness: Invoicer) -> None:
    """Adjusted to 38 h, then 41 h, no batch between: one debit of 1 h; the 38 h
    left no trace on a document.
    """
    await harness.consume(realization("T-1", 1, realization_line("40")))
    await harness.invoice()
    await harness.consume(realization("T-1", 2, realization_line("38")))
    assert await harness.open() == [("-2", "-100")]
    await harness.consume(realization("T-1", 3, realization_line("41")))
    assert await harness.open() == [("1", "50")]
    await harness.check()


async def test_what_was_written_off_is_forgiven(harness: Invoicer) -> None:
    """40 h invoiced, 2 h written off, by value of the document:

    40 → 0 open; 39 → 0; 38 → 0; 36 → credit 2 h; back to 39 → 1 h.
    """
    await harness.consume(realization("T-1", 1, realization_line("40")))
    await harness.invoice()
    await harness.consume(realization("T-1", 2, realization_line("38")))
    await harness.invoice()  # the credit note of the write-off
    await harness.rows(
        "INSERT INTO invoicer.write_off VALUES ('timesheet', 'T-1', :key, 'c-1', 2, 100, 'pat',"
        " 'goodwill')",
        key=time_key(),
    )
    for number, (hours, expected) in enumerate(
        [("40", []), ("39", []), ("38", []), ("36", [("-2", "-100")])], 3
    ):
        await harness.consume(realization("T-1", number, realization_line(hours)))
        assert await harness.open() == expected, hours
        await harness.check()
    await harness.invoice()
    await harness.consume(realization("T-1", 7, realization_line("39")))
    assert await harness.open() == [("1", "50")]
    await harness.check()


async def test_a_stale_price_basis_waits_for_the_next_realization(harness: Invoicer) -> None:
    """A realization with a stale price basis waits.

    If a batch closed in between, the document must be priced again first.
    """
    await harness.consume(realization("T-1", 1, realization_line("40")))
    await harness.invoice()
    newer = realization("T-1", 2, realization_line("40", "55.00", rate_book=2))
    await harness.consume(newer)
    assert await harness.open() == []
    stale = "SELECT realization_no, stale_realization_no FROM invoicer.stale_price_basis"
    assert [tuple(row) for row in await harness.rows(stale)] == [(1, 2)]
    before = await _digest(harness)
    await harness.consume(newer)
    assert await _digest(harness) == before
    await harness.consume(realization("T-1", 3, realization_line("38")))
    assert await harness.rows(stale) == []
    assert await harness.open() == [("-2", "-100")]
    await harness.check()


INVOICED, CREDITED, OPEN = "invoiced", "credited", "open"
REOPENED = [("REG", "R-NEW", INVOICED), ("REG", "R-NEW", CREDITED), ("REG", "R-NEW", OPEN)]
PRICED_AGAIN = {
    "reopened": REOPENED,
    "invoiced under another time type": [("OT", *each) for _, *each in REOPENED[:2]]
    + [("REG", "R-NEW", OPEN)],
    "invoiced under another requirement": [("REG", "R-OLD", state) for *_, state in REOPENED[:2]]
    + [("REG", "R-NEW", OPEN)],
    "open under another time type": [*REOPENED[:2], ("OT", "R-NEW", OPEN)],
    "open as a credit": [*REOPENED[:2], ("REG", "R-NEW", "open credit")],
    "still invoiced": [REOPENED[0], REOPENED[2]],
    "same rates": [("REG", "R-OLD", state) for *_, state in REOPENED],
}


async def test_only_what_was_invoiced_and_is_open_again_is_priced_again(
    engine_of: EngineOf,
) -> None:
    """Credits took all invoiced time of a requirement and time type off, and some is open again.

    Only then the open lines of a document take another rate; the rates of R-NEW have changed.
    """
    async with engine_of("owner").begin() as connection:
        inserter = RowInserter(connection)
        for requirement, book in (("R-NEW", 2), ("R-OLD", 1)):
            await inserter.run(
                "INSERT INTO fee_realizer.requirement (requirement_id, rate_book)"
                " VALUES (:requirement, :book)",
                requirement=requirement,
                book=book,
            )
        await inserter.batch("B-1", [1, 20], WEEK)
        numbers = itertools.count(1)
        for document_id, states in PRICED_AGAIN.items():
            lines = [
                realization_line(time_type=kind, requirement_id=requirement)
                for kind, requirement, _ in states
            ]
            await inserter.realization(realization(document_id, 1, *lines))
            invoiced: tuple[int, int] | None = None
            for line, (*_, state) in zip(lines, states, strict=True):
                credit = state in (CREDITED, "open credit")
                if credit:
                    gone = {"quantity": -line.quantity, "amount": -line.amount}
                    line = line.model_copy(update=gone)
                place = "open" if "open" in state else ""
                corrects = invoiced if credit else None
                pay_line = await inserter.pay_line(line, document_id, place, corrects=corrects)
                if not place:
                    row = InvoiceLine(pay_line, line.amount)
                    invoiced = (await inserter.invoice("B-1", next(numbers), WEEK, [row]), 1)
        await inserter.run("UPDATE invoicer.settled_document SET citation_ended_at = now()")
        found = await inserter.run("SELECT array_agg(document_id) FROM invoicer.stale_price_basis")
    assert found == ["reopened"]


# -- announcing


async def test_a_line_born_due_needs_no_announcement(
    harness: Invoicer, configure: Configure
) -> None:
    """Lines that were ever Scheduled are announced; without a watermark today of the
    company's zone decides.
    """
    configure(today="2026-03-10")
    await harness.consume(
        realization(
            "P-1", 1, product_line("10.00", "2026-03-10"), product_line("20.00", "2026-03-11", 2)
        )
    )
    found = await harness.rows(
        "SELECT effective_date, announce_when_due FROM invoicer.pay_line ORDER BY effective_date"
    )
    assert [tuple(row) for row in found] == [(date(2026, 3, 10), False), (date(2026, 3, 11), True)]


async def test_settlement_reads_the_watermark(harness: Invoicer, configure: Configure) -> None:
    """A line that is due after the watermark is announced later, whatever the clock
    shows.
    """
    configure(today="2026-03-10")
    await harness.rows(
        "INSERT INTO scheduler.watermark VALUES ('acme-us', '2026-01-01', '2026-03-01', now())"
    )
    await harness.consume(
        realization(
            "P-1", 1, product_line("10.00", "2026-03-01"), product_line("20.00", "2026-03-02", 2)
        )
    )
    found = await harness.rows(
        "SELECT effective_date, announce_when_due FROM invoicer.pay_line ORDER BY effective_date"
    )
    assert [tuple(row) for row in found] == [(date(2026, 3, 1), False), (date(2026, 3, 2), True)]


# -- unreadable statements


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"realization_kind": "withheld"}, "withheld_with_lines"),
        ({"lines": ["twice"]}, "line_key_twice"),
        ({"lines": ["no key"]}, "bad_line_key"),
        ({"realization_no": 0}, "too_low"),
        ({"surprise": 1}, "unknown_field"),
    ],
)
async def test_an_unreadable_realization_is_a_dead_letter_and_its_neighbours_are_processed(
    harness: Invoicer, change: dict[str, object], code: str
) -> None:
    """Raw bytes, a reason code and a message; the neighbours in the batch go
    through.
    """
    body = json.loads(realization("T-9", 1, realization_line("40")).model_dump_json()) | change
    if body["lines"] == ["twice"]:
        body["lines"] = [json.loads(realization_line("40").model_dump_json())] * 2
    if body["lines"] == ["no key"]:
        body["lines"] = [json.loads(realization_line("40", line_key="REG").model_dump_json())]
    bad = record(PAY_LINES_REALIZED.name, body)
    good = [
        record(PAY_LINES_REALIZED.name, realization(f"T-{number}", 1, realization_line("40")))
        for number in (1, 2)
    ]
    await process(harness.unit_of_work, statements.SUBSCRIPTION, [good[0], bad, good[1]])
    assert [row.code for row in await harness.rows("SELECT code FROM invoicer.dead_letter")] == [
        code
    ]
    assert len(await harness.rows("SELECT 1 FROM invoicer.open_line")) == 2


async def test_what_only_the_database_refuses_is_cut_out_of_the_batch(harness: Invoicer) -> None:
    """The batch is bisected; only the refused record is a dead letter."""
    said = [
        realization(f"T-{number}", 1, realization_line("40", rate_book=2**40 if number == 3 else 1))
        for number in range(1, 6)
    ]
    await harness.consume(*said)
    assert [row.code for row in await harness.rows("SELECT code FROM invoicer.dead_letter")] == [
        "number_too_large"
    ]
    assert len(await harness.rows("SELECT 1 FROM invoicer.open_line")) == 4


@pytest.mark.parametrize("character", ["\x1f", "\x1e"])
async def test_a_text_that_the_database_would_split_is_cut_out_of_the_batch(
    harness: Invoicer, character: str
) -> None:
    """Only the record whose text has the separator or the NULL mark becomes a
    dead letter.
    """
    said = [
        realization(
            f"T-{number}", 1, realization_line("40", unit=character if number == 3 else "HUR")
        )
        for number in range(1, 6)
    ]
    await harness.consume(*said)
    found = {
        row.document_id for row in await harness.rows("SELECT document_id FROM invoicer.pay_line")
    }
    assert found == {"T-1", "T-2", "T-4", "T-5"}
    assert len(await harness.rows("SELECT 1 FROM invoicer.dead_letter")) == 1


async def test_the_same_realization_with_other_values_is_a_conflict(harness: Invoicer) -> None:
    """The same number with other values is a dead letter and changes nothing.

    40 equals 40.0.
    """
    await harness.consume(realization("T-1", 1, realization_line("40")))
    same = json.loads(realization("T-1", 1, realization_line("40")).model_dump_json())
    same["lines"][0]["quantity"] = "40.0"
    await process(
        harness.unit_of_work, statements.SUBSCRIPTION, [record(PAY_LINES_REALIZED.name, same)]
    )
    await harness.consume(realization("T-1", 1, realization_line("41")))
    assert [row.code for row in await harness.rows("SELECT code FROM invoicer.dead_letter")] == [
        "conflict"
    ]
    assert await harness.open() == [("40", "2000")]


# -- together


async def test_settlement_waits_for_a_batch_of_its_company(
    harness: Invoicer, engine_of: EngineOf
) -> None:
    """Shared lock to change lines, exclusive to generate: what a batch closes is
    seen by the settlement that waited.
    """
    await harness.consume(realization("T-1", 1, realization_line("40")))
    async with engine_of("invoicer").begin() as batch:
        await lock_companies(batch, ["acme-us"], exclusive=True)
        waiting = asyncio.create_task(
            harness.consume(realization("T-1", 2, realization_line("38")))
        )
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await harness.invoice()
    await waiting
    assert await harness.open() == [("-2", "-100")]
    await harness.check()


async def test_two_workers_on_one_document_settle_one_after_the_other(
    harness: Invoicer, configure: Configure, tmp_path: Path, unit_of_work_for: UnitOfWorkFor
) -> None:
    """A worker that was taken for dead may finish beside its successor: the head
    row's lock makes that harmless.
    """
    await harness.consume(realization("T-1", 1, realization_line("40")))
    hold = tmp_path / "after_locks.hold"
    hold.touch()
    configure(pause=tmp_path)
    slow = asyncio.create_task(
        harness.consume(
            realization("T-1", 2, realization_line("38")),
            realization("T-2", 1, realization_line("1")),
        )
    )
    while not (tmp_path / "after_locks.reached").exists():
        await asyncio.sleep(0.01)
    hold.unlink()
    hold.touch()
    second = Invoicer(
        unit_of_work_for("invoicer"), harness.owner, harness.dispatcher, harness.console
    )
    quick = asyncio.create_task(
        second.consume(
            realization("T-2", 1, realization_line("1")),
            realization("T-1", 3, realization_line("41")),
        )
    )
    await asyncio.sleep(0.2)
    assert not quick.done()
    hold.unlink()
    await asyncio.gather(slow, quick)
    assert (await harness.open(), await harness.open("T-2")) == ([("41", "2050")], [("1", "50")])
    await harness.check()


async def test_a_company_that_turns_up_late_is_tried_again() -> None:
    """What must be locked may depend on what is stored; what turns up unlocked is
    right at the next try.
    """
    with pytest.raises(Unavailable, match="globex"):
        statements.require_locked({"acme"}, ["acme", "globex"])
