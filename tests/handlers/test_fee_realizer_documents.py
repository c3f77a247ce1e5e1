"""fee_realizer on a real PostgreSQL, message by message as the protocol brings them: what is held, realized, withheld and priced again.

Sources: design 1 (what the ATS says, what we say), domain rules 2, 3, 5, 6; protocol 2.
"""

import itertools
from typing import Any

import pytest

from services.fee_realizer.handlers import pricing
from shared.events.realizations import DocumentHeld, DocumentReleased
from tests.builders import (
    COMPANY,
    command,
    days,
    entry,
    placement,
    rate,
    record,
    requirement,
    timesheet,
)
from tests.conftest import nothing
from tests.handlers.realizing import COMPANY_SET, ITEM_SET, Realizer, as_record, ready, realizer

__all__ = ["ready", "realizer"]
STAMPS = dict.fromkeys(
    ("submitted_at", "approved_at", "released_at", "interpreted_at", "reviewed_at"),
    "2026-03-09T10:00:00Z",
)


def approved(at: str, **changes: Any) -> dict[str, Any]:
    """A workflow whose approval has this stamp."""
    return {"workflow": STAMPS | {"approved_at": at} | changes}


UNAPPROVED = {"workflow": STAMPS | {"approved_at": None}}
HOURS_38 = days("7.6")


async def test_a_timesheet_is_realized_in_full(ready: Realizer) -> None:
    """Approved hours × the bill rate: 40 h × 50.00 is one line of 2,000.00 with its derivation (domain rules 2)."""
    await ready.hear(timesheet())
    (said,) = ready.statements()
    (line,) = said.lines
    assert (said.realization_no, said.realization_kind, said.source_id, said.revision) == (
        1,
        "realized",
        "T-1",
        1,
    )
    assert (line.line_key, line.effective_date.isoformat(), line.billto_node) == (
        '["t","REQ-1","REG","2020-01-01@50","","",""]',
        "2026-03-08",
        "office-1",
    )
    assert (
        line.service_from.isoformat(),
        line.service_to.isoformat(),
        line.derivation["formula"],
    ) == ("2026-03-02", "2026-03-06", "40 × 50.00 = 2000.00")
    assert line.description == "Registered Nurse · W-1 · REG · week ending 2026-03-08"
    assert await ready.held() == {}


ARRIVALS = {
    "company": COMPANY_SET,
    "item": ITEM_SET,
    "requirement": requirement(),
    "rates": requirement(revision=2, rates=[rate(price="55.00"), rate("OT", "80.00")]),
    "timesheet": timesheet(),
    "placement": placement(),
}


@pytest.mark.parametrize(
    "order",
    [order for at, order in enumerate(itertools.permutations(ARRIVALS)) if at % 29 == 0],
    ids="-".join,
)
async def test_any_order_of_arrival_ends_in_the_same_state(
    realizer: Realizer, order: tuple[str, ...]
) -> None:
    """A document that lacks a fact waits and is released by itself when it arrives (domain rules 2); a changed rate re-prices it (6)."""
    await realizer.hear(*(ARRIVALS[name] for name in order))
    assert await realizer.held() == {}
    assert realizer.worth() == [("REG", "40", "55", "2200")]
    assert [line[3] for line in realizer.worth("P-1")] == ["10000", "10000"]
    assert await realizer.select("SELECT * FROM fee_realizer.pricing_queue") == []


ADJUSTED = {
    "original": timesheet(**approved("2026-03-09T10:00:00Z")),
    "adjustment": timesheet(
        "T-2", adjusts="T-1", entries=HOURS_38, **approved("2026-03-10T10:00:00Z")
    ),
    "second": timesheet(
        "T-3", adjusts="T-1", entries=days("8.2"), **approved("2026-03-11T10:00:00Z")
    ),
    "lost": timesheet("T-3", 2, adjusts="T-1", entries=days("8.2"), **UNAPPROVED),
    "again": timesheet(
        "T-3", 3, adjusts="T-1", entries=days("7.8"), **approved("2026-03-09T11:00:00Z")
    ),
    "draft": timesheet("T-4", adjusts="T-1", entries=[entry("1")], **UNAPPROVED),
}


@pytest.mark.parametrize("batched", [True, False], ids=["one batch", "one by one"])
@pytest.mark.parametrize(
    "order",
    [order for at, order in enumerate(itertools.permutations(ADJUSTED)) if at % 101 == 0],
    ids="-".join,
)
async def test_adjustments_and_revisions_in_any_order(
    ready: Realizer, order: tuple[str, ...], batched: bool
) -> None:
    """The newest revision of each sheet, the highest (approved_at, id) among those approved: T-3 fell back to 03-09, so T-2 is it."""
    events = [ADJUSTED[name] for name in order]
    for batch in [events] if batched else [[event] for event in events]:
        await ready.hear(*batch)
    (head,) = await ready.select(
        "SELECT source_id, revision, hold_code FROM fee_realizer.source_document WHERE document_id = 'T-1'"
    )
    assert tuple(head) == ("T-2", 1, None)
    assert ready.worth() == [("REG", "38", "50", "1900")]
    assert [said.realization_no for said in ready.statements()] == list(
        range(1, len(ready.statements()) + 1)
    )
    assert await ready.letters() == []
    if batched:
        assert len(ready.statements()) == 1, "several revisions in one batch are priced once"


async def test_a_repeat_changes_no_table_and_says_nothing(ready: Realizer) -> None:
    """The same revision with the same values, 40 written as 40.0, has no effect at all (design 1)."""
    await ready.hear(timesheet(entries=[entry("8")]), placement(), ITEM_SET)
    before, said = await ready.dump(), len(ready.heard)
    stored = await ready.select(
        "SELECT * FROM fee_realizer.realization ORDER BY document_id, realization_no"
    )
    await ready.hear(requirement(), timesheet(entries=[entry("8.00")]), placement())
    assert await ready.dump() == before
    assert (
        await ready.select(
            "SELECT * FROM fee_realizer.realization ORDER BY document_id, realization_no"
        )
        == stored
    )
    assert len(ready.heard) == said


async def test_the_same_revision_with_other_values_is_a_conflict(ready: Realizer) -> None:
    """... and goes to the dead letters, in the same batch as in a later one; its neighbours go through (design 1)."""
    await ready.hear(timesheet(), timesheet(entries=HOURS_38), timesheet("T-9"))
    await ready.hear(
        timesheet(entries=HOURS_38),
        requirement(job_title="Other"),
        placement(),
        placement(salary="1"),
    )
    assert await ready.letters() == ["conflict"] * 4
    assert ready.worth() == ready.worth("T-9") == [("REG", "40", "50", "2000")]


async def test_an_older_revision_is_kept_without_effect(ready: Realizer) -> None:
    """An older revision after a newer one is recorded without effect (design 1)."""
    await ready.hear(timesheet(revision=5))
    await ready.hear(
        timesheet(revision=2, entries=HOURS_38), requirement(revision=0, rates=[rate(price="1.00")])
    )
    assert ready.kinds() == [(1, "realized")]
    assert ready.worth() == [("REG", "40", "50", "2000")]
    assert [
        row.revision
        for row in await ready.select(
            "SELECT revision FROM fee_realizer.source_revision ORDER BY 1"
        )
    ] == [2, 5]
    assert [
        row.revision
        for row in await ready.select(
            "SELECT revision FROM fee_realizer.requirement_revision ORDER BY 1"
        )
    ] == [0, 1]


async def test_a_sheet_never_changes_its_original(ready: Realizer) -> None:
    """A sheet that names another original than before, or is an original elsewhere, is a conflict; so is a chain of adjustments."""
    await ready.hear(timesheet("T-1"), timesheet("T-2", adjusts="T-1"))
    await ready.hear(timesheet("T-2", 2, adjusts="T-8"))
    await ready.hear(timesheet("T-2", 3))
    await ready.hear(timesheet("T-1", 2, adjusts="T-7"))
    await ready.hear(timesheet("T-3", adjusts="T-2"))
    await ready.hear(timesheet("T-4", adjusts="T-4"))
    await ready.hear(timesheet("T-5", adjusts="T-6"), timesheet("T-5", 2))
    assert await ready.letters() == [
        "conflict",
        "conflict",
        "conflict",
        "adjusts_adjustment",
        "adjusts_itself",
        "conflict",
    ]
    documents = await ready.select(
        "SELECT document_id, source_id FROM fee_realizer.document_state ORDER BY 1"
    )
    assert [tuple(row) for row in documents] == [("T-1", "T-2"), ("T-6", "T-5")]


async def test_a_lost_approval_withholds_what_was_realized(ready: Realizer) -> None:
    """The hold of a document that was realized is a statement `withheld` without lines; the approval brings it back (domain rules 3)."""
    await ready.hear(timesheet(**approved("2026-03-09T10:00:00Z")))
    await ready.hear(timesheet(revision=2, **UNAPPROVED))
    held = DocumentHeld.model_validate_json(
        next(one.value for one in ready.heard if one.topic == "document-held")
    )
    assert (held.code, held.realization_no, held.revision) == ("not_approved", 2, 2)
    await ready.hear(
        timesheet(revision=3, **UNAPPROVED),
        timesheet(revision=4, **approved("2026-03-12T10:00:00Z")),
    )
    assert ready.kinds() == [(1, "realized"), (2, "withheld"), (3, "realized")]
    assert ready.statements()[1].lines == ()
    assert ready.waits() == ["held not_approved", "released"]


@pytest.mark.parametrize(
    ("gate", "missing", "code"),
    [("approved", "reviewed_at", None), ("approved", "approved_at", "not_approved")]
    + [
        ("reviewed", f"{step}_at", f"not_{step}")
        for step in ("submitted", "approved", "released", "interpreted", "reviewed")
    ],
)
async def test_the_gate_of_the_billing_company(
    ready: Realizer, gate: str, missing: str, code: str | None
) -> None:
    """Gate `approved` asks for the approval, `reviewed` for every step; held with the first missing one (domain rules 3)."""
    await ready.hear(
        command("set-billing-company", billing_company=COMPANY, gate=gate),
        timesheet(workflow=STAMPS | {missing: None}),
    )
    assert (await ready.held()).get("T-1") == code


async def test_a_gate_that_is_loosened_releases_and_one_that_closes_withholds(
    ready: Realizer,
) -> None:
    """Whoever changes a billing company prices its documents again."""
    await ready.hear(timesheet(workflow=STAMPS | {"reviewed_at": None}))
    await ready.hear(command("set-billing-company", billing_company=COMPANY, gate="reviewed"))
    await ready.hear(command("set-billing-company", billing_company=COMPANY, gate="approved"))
    await ready.hear(command("set-billing-company", billing_company=COMPANY, enabled=False))
    assert ready.kinds() == [(1, "realized"), (2, "withheld"), (3, "realized"), (4, "withheld")]
    assert ready.waits() == ["held not_reviewed", "released", "held billing_company_disabled"]


async def test_each_missing_fact_is_named_in_turn(realizer: Realizer) -> None:
    """Held with a code and a message for each missing fact; another reason is said, the same again is not (domain rules 2)."""
    await realizer.hear(timesheet())
    assert (
        await realizer.message() == "requirement REQ-1 is not known: send it on requirement-changed"
    )
    await realizer.hear(requirement(rates=[], statuses=[]))
    await realizer.hear(COMPANY_SET)
    await realizer.hear(
        requirement(
            revision=2,
            statuses=[{"from_date": "2026-03-09", "status": "Filled", "position_type": "Temp"}],
            rates=[],
        )
    )
    await realizer.hear(
        requirement(
            revision=3,
            statuses=[{"from_date": "2026-01-01", "status": "Filled", "position_type": "Perm"}],
            rates=[],
        )
    )
    await realizer.hear(requirement(revision=4, rates=[rate(since="2026-03-03")]))
    assert "requirement REQ-1 has no bill rate for REG on 2026-03-02" in await realizer.message()
    await realizer.hear(requirement(revision=5))
    assert realizer.waits() == [
        *(
            "held unknown_requirement",
            "held unknown_billing_company",
            "held requirement_not_filled",
        ),
        *("held position_type_not_billable", "held no_bill_rate", "released"),
    ]
    assert realizer.kinds() == [(1, "realized")]


async def test_an_order_closed_since_does_not_block_its_last_timesheets(ready: Realizer) -> None:
    """Status and position type are judged as of the week ending; a tombstone closes and never deletes (domain rules 3, design 1)."""
    ended = [
        {"from_date": "2020-01-01", "status": "Filled", "position_type": "Contract"},
        {"from_date": "2026-03-09", "status": "Closed"},
    ]
    await ready.hear(requirement(revision=2, statuses=ended))
    await ready.hear(record("requirement-changed", None, key="REQ-1"))
    await ready.hear(timesheet(), timesheet("T-2", week_ending="2026-03-15"))
    assert await ready.held() == {"T-2": "requirement_not_filled"}
    assert [
        row.closed
        for row in await ready.select("SELECT closed FROM fee_realizer.known_requirement")
    ] == [True]


async def test_a_cancelled_timesheet_and_one_of_zero_hours_are_worth_nothing(
    ready: Realizer,
) -> None:
    """A revision without entries is realized without lines; zero hours is good input, worth 0 (domain rules 5, protocol 2)."""
    await ready.hear(
        timesheet(), timesheet("T-2", entries=[entry("0", time_type="NEVER"), entry("0")])
    )
    await ready.hear(timesheet(revision=2, entries=[]))
    assert ready.kinds() == [(1, "realized"), (2, "realized")]
    assert ready.worth() == ready.worth("T-2") == []
    assert ready.kinds("T-2") == [(1, "realized")]


async def test_a_rate_change_reprices_open_documents_at_once(ready: Realizer) -> None:
    """Whatever changes a rate, open lines are re-priced at once; a change inside the week gives two lines (domain rules 2 and 6)."""
    await ready.hear(
        timesheet(), timesheet("T-2", week_ending="2026-02-01", entries=[entry("8", "2026-01-31")])
    )
    await ready.hear(
        requirement(
            revision=2, rates=[rate(), rate(price="52.00", since="2026-03-04"), rate("OT", "75.00")]
        )
    )
    assert ready.worth() == [("REG", "16", "50", "800"), ("REG", "24", "52", "1248")]
    assert ready.kinds() == [(1, "realized"), (2, "realized")]
    assert ready.kinds("T-2") == [(1, "realized")], "its worth did not change"
    books = await ready.select(
        "SELECT time_type, effective_from, since_book, until_book FROM fee_realizer.rate_version ORDER BY 1, 2"
    )
    assert [(row.time_type, row.since_book, row.until_book) for row in books] == [
        ("OT", 1, None),
        ("REG", 1, None),
        ("REG", 2, None),
    ]


async def invoice_of_t1(realizer: Realizer, book: int = 1) -> None:
    """What the invoicer keeps when T-1's line stands on an invoice that cites a rate book."""
    await realizer.owner(
        "WITH line AS (INSERT INTO invoicer.pay_line (billing_company, document_kind, document_id, realization_no, line_key, line_kind, quantity, unit,"
        " unit_price, amount, currency, effective_date, service_from, service_to, accounting_period, billto_node, requirement_id, worker_id, time_type,"
        " item_id, project, cost_center, po_number, tax_code, rate_version, rate_book, description, derivation, announce_when_due)"
        " VALUES ('acme-us', 'timesheet', 'T-1', 1, 'k', 'timesheet', 40, 'HUR', 50, 2000, 'USD', '2026-03-08', '2026-03-02', '2026-03-06', 202603,"
        " 'office-1', 'REQ-1', 'W-1', 'REG', '', '', '', '', '', '2020-01-01@50', :book, '', '{}', false) RETURNING pay_line_id)"
        " INSERT INTO invoicer.invoice_line SELECT 1, 1, pay_line_id, 'office-1', 3, '', 0, 0 FROM line",
        book=book,
    )


async def test_an_adjustment_of_an_invoiced_document_keeps_the_cited_price(ready: Realizer) -> None:
    """Lines on documents keep their price until an operator confirms: their adjustment cites the same rate book (domain rules 6)."""
    await ready.hear(timesheet())
    await invoice_of_t1(ready)
    await ready.hear(requirement(revision=2, rates=[rate(price="60.00"), rate("OT", "90.00")]))
    assert ready.kinds() == [(1, "realized")], "the worth of an invoiced document did not change"
    await ready.hear(
        timesheet(
            "T-2",
            adjusts="T-1",
            entries=[*days("7.6"), entry("2", time_type="OT")],
            **approved("2026-03-10T10:00:00Z"),
        )
    )
    assert ready.worth() == [("OT", "2", "90", "180"), ("REG", "38", "50", "1900")]
    basis = [(one.time_type, one.rate_book, one.cited) for one in ready.statements()[-1].basis]
    assert basis == [("OT", 2, False), ("REG", 1, True)]


async def test_a_stale_statement_is_priced_again_as_the_next_one(ready: Realizer) -> None:
    """Settlement marks a statement whose price basis is stale; the document is priced again, always as a new statement (domain rules 6)."""
    await ready.hear(timesheet())
    await ready.hear(requirement(revision=2, rates=[rate(price="60.00")]))
    await invoice_of_t1(ready)
    await ready.owner(
        "INSERT INTO invoicer.settled_document (document_kind, document_id, realization_no, stale_realization_no) VALUES ('timesheet', 'T-1', 1, 2)"
    )
    await ready.do_jobs()
    await ready.do_jobs()
    assert ready.kinds() == [(1, "realized"), (2, "realized"), (3, "realized")]
    assert ready.worth() == [("REG", "40", "50", "2000")]
    assert ready.statements()[-1].cause == "stale-price-basis"


async def test_a_document_that_breaks_a_rule_is_held_alone(
    ready: Realizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rule that raises holds its document with the code `bug`; its neighbours go on; retry prices it (protocol 1)."""
    real = pricing.realize_timesheet

    def broken(sheet: Any, facts: Any, cited: Any) -> Any:
        if sheet.timesheet_id == "T-2":
            raise ZeroDivisionError
        return real(sheet, facts, cited)

    monkeypatch.setattr(pricing, "realize_timesheet", broken)
    await ready.hear(timesheet("T-1"), timesheet("T-2"), timesheet("T-3"))
    assert await ready.held() == {"T-2": "bug"}
    assert ready.worth("T-1") == ready.worth("T-3") == [("REG", "40", "50", "2000")]
    monkeypatch.setattr(pricing, "realize_timesheet", real)
    await ready.hear(command("retry-document", document_id="T-2"))
    assert await ready.held() == {}
    assert DocumentReleased.model_validate_json(ready.heard[-1].value).document_id == "T-2"


async def test_a_statement_over_the_limit_of_a_message_is_held(ready: Realizer) -> None:
    """No message is larger than 900 kB: the document waits and says why; one that was realized is withheld (design 1)."""
    await ready.hear(timesheet())
    await ready.hear(
        timesheet(
            revision=2,
            entries=[entry("1", project=f"project {at} " + "x" * 300) for at in range(1000)],
        )
    )
    assert await ready.held() == {"T-1": "statement_too_large"}
    assert ready.kinds() == [(1, "realized"), (2, "withheld")]


async def test_a_replay_of_everything_changes_no_table(ready: Realizer) -> None:
    """Reset to the beginning: no table of the schema changes, and nothing is said but answers to commands (protocol 1)."""
    events = [
        *(
            COMPANY_SET,
            requirement(),
            ITEM_SET,
            *(ADJUSTED[name] for name in sorted(ADJUSTED)),
            timesheet(entries=HOURS_38),
            placement(),
        ),
        *(
            requirement(revision=3, rates=[rate(price="51.00")]),
            requirement(revision=2),
            record("requirement-changed", None, key="REQ-1", offset=7),
        ),
        *(
            timesheet("T-2", adjusts="T-9"),
            timesheet("T-9", **UNAPPROVED),
            timesheet("T-9", 2),
            record("requirement-changed", None, key="REQ-8", offset=8),
        ),
    ]
    records = [as_record(event) for event in events]
    await ready.hear(*records)
    tables = [
        row.name
        for row in await ready.select(
            "SELECT relname AS name FROM pg_class WHERE relnamespace = 'fee_realizer'::regnamespace AND relkind = 'r'"
        )
    ]
    await ready.books.transact(nothing)

    async def contents() -> dict[str, list[str]]:
        return {
            table: sorted(
                str(tuple(row)) for row in await ready.select(f"SELECT * FROM fee_realizer.{table}")
            )
            for table in tables
        }

    before, said = await contents(), len(ready.heard)
    assert len(await ready.letters()) == 2
    await ready.hear(*records)
    await ready.books.transact(nothing)
    assert await contents() == before
    assert {one.topic for one in ready.heard[said:]} == {"command-results"}
