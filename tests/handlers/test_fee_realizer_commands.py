"""The commands of fee_realizer: billing companies, catalog items, retry, republish."""

import json
from typing import Any

import pytest

from services.fee_realizer.sources.handlers import commands
from shared.events.billing import CommandResult
from tests.builders import COMPANY, command, placement, requirement, timesheet
from tests.handlers.realizing import COMPANY_SET, ITEM_SET, Realizer, ready, realizer

__all__ = ["ready", "realizer"]
TAX = [{"tax_code": "VAT", "percent": "21", "from_date": "2026-01-01"}]


async def ask(realizer: Realizer, kind: str, **values: Any) -> CommandResult:
    """The answer to a command."""
    await realizer.consume(command(kind, **values))
    return CommandResult.model_validate_json(
        [one for one in realizer.published if one.topic == "command-results"][-1].value
    )


async def company(realizer: Realizer, **values: Any) -> CommandResult:
    """The answer to set-billing-company."""
    return await ask(realizer, "set-billing-company", billing_company=COMPANY, **values)


async def test_a_billing_company_has_defaults_at_first(realizer: Realizer) -> None:
    """UTC, net 30, no tax, approval level `approved`; later commands change only what they name."""
    made = await company(realizer, name="Acme", series_prefix="A-")
    assert (made.outcome, made.message) == ("accepted", "billing company acme-us is created")
    changed = await company(realizer, taxes=TAX, default_tax="VAT")
    settings = changed.details["settings"]
    expected = {
        "name": "Acme",
        "time_zone": "UTC",
        "payment_terms": "net:30",
        "approval_level": "approved",
        "series_prefix": "A-",
        "series_width": 6,
        "default_tax": "VAT",
    }
    assert {name: settings[name] for name in expected} == expected
    assert settings["taxes"] == [{"tax_code": "VAT", "percent": "21", "from_date": "2026-01-01"}]
    (kept,) = await realizer.select(
        "SELECT before, after, subjects FROM fee_realizer.command WHERE before IS NOT NULL"
    )
    assert (kept.before["default_tax"], kept.after["default_tax"], kept.subjects) == (
        "",
        "VAT",
        [COMPANY],
    )


async def test_taxes_are_added_and_overwritten_by_code_and_date(realizer: Realizer) -> None:
    """The same tax code and date again replaces the percent."""
    await company(realizer, taxes=TAX)
    again = await company(
        realizer, taxes=[TAX[0] | {"percent": "19"}, TAX[0] | {"from_date": "2027-01-01"}]
    )
    assert [(tax["from_date"], tax["percent"]) for tax in again.details["settings"]["taxes"]] == [
        ("2026-01-01", "19"),
        ("2027-01-01", "21"),
    ]


async def test_a_default_tax_without_a_rate_is_refused(realizer: Realizer) -> None:
    """The answer names the codes with a rate, and nothing is changed."""
    refused = await company(realizer, default_tax="GST", taxes=TAX, name="never")
    assert (refused.outcome, refused.code) == ("refused", "default_tax_unknown")
    assert "VAT" in refused.message
    assert await realizer.select("SELECT * FROM fee_realizer.billing_company_settings") == []
    assert await realizer.select("SELECT * FROM fee_realizer.company_tax_rate") == []


async def test_import_does_not_change_what_is_known(ready: Realizer) -> None:
    """`only_if_unknown` leaves a known billing company as it is, and the answer states it."""
    await company(ready, name="Acme")
    same = await company(ready, name="other", only_if_unknown=True)
    assert same.details["settings"]["name"] == "Acme"
    assert same.message.endswith("nothing was changed")


async def test_a_catalog_item_that_changes_reprices_its_placements(ready: Realizer) -> None:
    """A changed catalog item changes the value; the same item again changes nothing."""
    plain_fee = placement(fees=[{"fee_id": "F-1", "item_id": "DIRECT-HIRE"}])
    await ready.consume(ITEM_SET, plain_fee)
    await ready.consume(
        command(
            "set-catalog-item", item_id="DIRECT-HIRE", name="Direct hire", percent_of_salary="20.0"
        )
    )
    await ready.consume(
        command(
            "set-catalog-item",
            item_id="DIRECT-HIRE",
            name="Direct hire",
            amount="7500.00",
            currency="USD",
        )
    )
    assert ready.kinds("P-1") == [(1, "realized"), (2, "realized")]
    assert [line[3] for line in ready.latest_lines("P-1")] == ["7500"]
    assert [
        row.version
        for row in await ready.select("SELECT version FROM fee_realizer.console_catalog_item")
    ] == [2]


async def test_retry_names_a_held_document_or_all(ready: Realizer) -> None:
    """Held documents are priced again; an unchanged hold is not published again.

    A document that is not held or not known is refused with a message.
    """
    await ready.consume(
        timesheet(),
        timesheet(
            "T-2",
            entries=[
                json.loads(timesheet().entries[0].model_dump_json()) | {"requirement_id": "REQ-9"}
            ],
        ),
    )
    waits = ready.hold_events()
    assert (await ask(ready, "retry-document", document_id="T-1")).code == "not_held"
    assert (await ask(ready, "retry-document", document_id="T-7")).code == "no_such_document"
    assert (await ask(ready, "retry-document")).details == {"documents": 1}
    assert ready.hold_events() == waits


async def test_republish_publishes_the_same_bytes(ready: Realizer) -> None:
    """A realization is published again byte for byte with the same event id."""
    await ready.consume(timesheet(), timesheet("T-2", workflow={}))
    first = [one for one in ready.published if one.key in ("T-1", "T-2")]
    answer = await ask(ready, "republish", service="fee_realizer", since="2020-01-01")
    assert answer.details == {"realizations": 1, "held": 1}
    assert [one for one in ready.published if one.key in ("T-1", "T-2")][len(first) :] == first
    assert (
        await ask(ready, "republish", service="fee_realizer", document_id="T-9")
    ).code == "nothing_published"
    assert (await ask(ready, "republish", service="fee_realizer")).code == "nothing_named"


async def test_republish_has_a_limit(ready: Realizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """More messages than the limit are refused with what to do instead."""
    monkeypatch.setattr(commands, "REPUBLISH_LIMIT", 1)
    await ready.consume(timesheet(), timesheet("T-2"))
    assert (
        await ask(ready, "republish", service="fee_realizer", since="2020-01-01")
    ).code == "too_many"


async def test_a_replayed_dead_letter_is_as_if_it_had_been_good(ready: Realizer) -> None:
    """A conflict that was fixed is priced like any other revision."""
    await ready.consume(timesheet(), timesheet(worker_id="W-2"))
    fixed = timesheet(revision=2, worker_id="W-2").model_dump_json()
    answer = await ask(
        ready, "replay-dead-letter", service="fee_realizer", dead_letter_id=1, value=fixed
    )
    assert answer.outcome == "accepted", answer.message
    assert [line.worker_id for line in ready.realizations()[-1].lines] == ["W-2"]


async def test_the_same_command_twice_is_answered_once_and_the_same(ready: Realizer) -> None:
    """The same command id with the same body returns the first result."""
    before = await ready.dump()
    await ready.consume(COMPANY_SET)
    results = [
        one.value
        for one in ready.published
        if one.topic == "command-results" and one.key == COMPANY_SET.command_id
    ]
    assert len(results) == 2
    assert results[0] == results[1]
    assert await ready.dump() == before
    assert requirement().billing_company == COMPANY
