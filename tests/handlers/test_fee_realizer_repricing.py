"""Documents are priced again: changed rates, cited rate books, stale realizations, failed rules."""

from typing import Any

import pytest

from services.fee_realizer.app import collect_metrics
from services.fee_realizer.sources.handlers import pricing
from shared.events.realizations import DocumentReleased
from shared.telemetry import REGISTRY
from tests.builders import command, days, entry, rate, requirement, timesheet
from tests.handlers.realizing import Realizer, ready, realizer

__all__ = ["ready", "realizer"]


async def test_a_rate_change_reprices_open_documents_at_once(ready: Realizer) -> None:
    """A changed rate reprices open lines; a change within the week gives two lines."""
    await ready.consume(
        timesheet(), timesheet("T-2", week_ending="2026-02-01", entries=[entry("8", "2026-01-31")])
    )
    await ready.consume(
        requirement(
            revision=2, rates=[rate(), rate(price="52.00", since="2026-03-04"), rate("OT", "75.00")]
        )
    )
    assert ready.latest_lines() == [("REG", "16", "50", "800"), ("REG", "24", "52", "1248")]
    assert ready.kinds() == [(1, "realized"), (2, "realized")]
    assert ready.kinds("T-2") == [(1, "realized")], "its value did not change"
    versions = await ready.select(
        "SELECT time_type, effective_from, since_book, until_book FROM fee_realizer.rate_version"
        " ORDER BY 1, 2"
    )
    assert [(row.time_type, row.since_book, row.until_book) for row in versions] == [
        ("OT", 1, None),
        ("REG", 1, None),
        ("REG", 2, None),
    ]


async def invoice_of_t1(realizer: Realizer, book: int = 1) -> None:
    """Insert what the invoicer has when T-1's line is on an invoice and cites a rate book."""
    await realizer.owner(
        "WITH line AS (INSERT INTO invoicer.pay_line (billing_company, document_kind,"
        " document_id, realization_no, line_key, line_kind, quantity, unit,"
        " unit_price, amount, currency, effective_date, service_from, service_to,"
        " accounting_period, billto_node, requirement_id, worker_id, time_type,"
        " item_id, project, cost_center, po_number, tax_code, rate_version, rate_book,"
        " description, derivation, announce_when_due)"
        " VALUES ('acme-us', 'timesheet', 'T-1', 1, 'k', 'timesheet', 40, 'HUR', 50, 2000, 'USD',"
        " '2026-03-08', '2026-03-02', '2026-03-06', 202603,"
        " 'office-1', 'REQ-1', 'W-1', 'REG', '', '', '', '', '', '2020-01-01@50', :book, '',"
        " '{}', false) RETURNING pay_line_id)"
        " INSERT INTO invoicer.invoice_line SELECT 1, 1, pay_line_id, 'office-1', 3, '', 0, 0"
        " FROM line",
        book=book,
    )


async def test_documents_to_be_priced_are_metrics(ready: Realizer) -> None:
    """How many documents wait to be priced again, and for how long, are metrics; both end at 0."""
    await ready.consume(timesheet())
    await ready.owner(
        "INSERT INTO fee_realizer.pricing_queue VALUES"
        " ('timesheet', 'T-1', 'set-bill-rate', now() - interval '10 minutes')"
    )
    async with ready.engine_of("fee_realizer").connect() as connection:
        await collect_metrics(connection)
    assert REGISTRY.get_sample_value("backoffice_documents_to_price") == 1
    age = REGISTRY.get_sample_value("backoffice_documents_to_price_age_seconds")
    assert age is not None
    assert 600 <= age < 700
    await ready.do_jobs()
    async with ready.engine_of("fee_realizer").connect() as connection:
        await collect_metrics(connection)
    assert REGISTRY.get_sample_value("backoffice_documents_to_price") == 0
    assert REGISTRY.get_sample_value("backoffice_documents_to_price_age_seconds") == 0


async def test_an_adjustment_of_an_invoiced_document_keeps_the_cited_price(ready: Realizer) -> None:
    """Invoiced lines keep their price until an operator confirms a change.

    Their adjustment cites the same rate book.
    """
    await ready.consume(timesheet())
    await invoice_of_t1(ready)
    await ready.consume(requirement(revision=2, rates=[rate(price="60.00"), rate("OT", "90.00")]))
    assert ready.kinds() == [(1, "realized")], "the value of an invoiced document did not change"
    await ready.consume(
        timesheet(
            "T-2",
            adjusts="T-1",
            entries=[*days("7.6"), entry("2", time_type="OT")],
            workflow={"approved_at": "2026-03-10T10:00:00Z"},
        )
    )
    assert ready.latest_lines() == [("OT", "2", "90", "180"), ("REG", "38", "50", "1900")]
    basis = [(one.time_type, one.rate_book, one.cited) for one in ready.realizations()[-1].basis]
    assert basis == [("OT", 2, False), ("REG", 1, True)]


async def test_a_stale_realization_is_replaced_by_the_next_one(ready: Realizer) -> None:
    """A realization that settlement finds stale is replaced by the next one."""
    await ready.consume(timesheet())
    await ready.consume(requirement(revision=2, rates=[rate(price="60.00")]))
    await invoice_of_t1(ready)
    await ready.owner(
        "INSERT INTO invoicer.settled_document (document_kind, document_id, realization_no,"
        " stale_realization_no) VALUES ('timesheet', 'T-1', 1, 2)"
    )
    await ready.do_jobs()
    await ready.do_jobs()
    assert ready.kinds() == [(1, "realized"), (2, "realized"), (3, "realized")]
    assert ready.latest_lines() == [("REG", "40", "50", "2000")]
    assert ready.realizations()[-1].cause == "stale-price-basis"


async def test_a_document_that_breaks_a_rule_is_held_alone(
    ready: Realizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rule that raises holds its document only, with the code `unexpected_error`.

    Retry prices it.
    """
    real = pricing.timesheets.realize_timesheet

    def broken(timesheet_: Any, facts: Any, cited: Any, **options: Any) -> Any:
        if timesheet_.timesheet_id == "T-2":
            raise ZeroDivisionError
        return real(timesheet_, facts, cited, **options)

    monkeypatch.setattr(pricing.timesheets, "realize_timesheet", broken)
    await ready.consume(timesheet("T-1"), timesheet("T-2"), timesheet("T-3"))
    assert await ready.held() == {"T-2": "unexpected_error"}
    assert ready.latest_lines("T-1") == ready.latest_lines("T-3") == [("REG", "40", "50", "2000")]
    monkeypatch.setattr(pricing.timesheets, "realize_timesheet", real)
    await ready.consume(command("retry-document", document_id="T-2"))
    assert await ready.held() == {}
    assert DocumentReleased.model_validate_json(ready.published[-1].value).document_id == "T-2"
