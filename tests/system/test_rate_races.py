"""Races of rate changes, forced with pause points in both orders: every outcome is exact."""

from pathlib import Path
from typing import Any

from shared.events.commands import AnyCommand
from tests import builders
from tests.conftest import EngineOf
from tests.race_harness import race_harness
from tests.running import Observer, command, publish
from tests.system.test_races import (
    ASK,
    TODAY,
    add_company,
    answers_of,
    generate,
    line,
    lines_of,
    meet,
    sheet,
)


def set_rate(company: str) -> AnyCommand:
    """Set REG to 55.00 from the first day of the timesheet on."""
    return about(company, "set-bill-rate", bill_rate="55.00")


def about(company: str, kind: str, **values: Any) -> AnyCommand:
    """Return a command about the rate that changes."""
    return builders.command(
        kind,
        requirement_id=f"{company}-REQ",
        time_type="REG",
        effective_from="2026-03-02",
        **values,
    )


async def realizations_of(observer: Observer, company: str) -> list[tuple[int, str]]:
    """Return number and cause of each realization of a company's timesheet."""
    found = await observer.select(
        "SELECT realization_no, cause FROM fee_realizer.realization WHERE document_id = :id ORDER"
        " BY 1",
        id=f"{company}-T",
    )
    return [tuple(row) for row in found]


async def test_a_rate_change_while_a_timesheet_is_priced(
    signed_stack: dict[str, str], engine_of: EngineOf, tmp_path: Path
) -> None:
    """40 h arrive while their bill rate changes from 50 to 55: the open line is 40 h at 55.

    Either the timesheet is first, priced at 50 and again at 55, or the rate is first.
    """
    observer = Observer(engine_of, ("fee_realizer", "invoicer"), sweeping=False)
    async with race_harness(signed_stack, tmp_path, observer, TODAY) as harness:
        (realizer,) = await harness.start("fee_realizer", ASK, replicas=1)
        await harness.also("invoicer")
        cases = {
            "timesheet-locked": "after_locks",
            "timesheet-priced": "before_commit",
            "rate-locked": "after_locks",
            "rate-set": "before_commit",
        }
        for company in cases:
            await publish(add_company(company))
        await observer.settled()
        for company, point in cases.items():
            sent, came = set_rate(company), sheet(company)
            first, second = (
                (came, command(sent)) if company.startswith("timesheet") else (command(sent), came)
            )
            await meet(harness, (realizer, point, first), second)
            (answer,) = await answers_of(sent)
            assert (answer["outcome"], answer["details"]["after"]["bill_rate"]) == (
                "accepted",
                "55",
            )
            await observer.settled()
            expected = (
                [(1, "revision"), (2, "set-bill-rate")]
                if company.startswith("timesheet")
                else [(1, "revision")]
            )
            assert await realizations_of(observer, company) == expected
            assert [one for one in await lines_of(observer, company) if one[0] == "open"] == [
                line("open", 40, 2200)
            ]
        report = await observer.verified()
        assert report.clean, report.faults


async def test_a_rate_change_while_a_batch_closes(
    signed_stack: dict[str, str], engine_of: EngineOf, tmp_path: Path
) -> None:
    """40 h at 50 are open when a batch closes and their bill rate becomes 55.

    Either the batch is first and bills 50: the new realization is stale, the line keeps the price
    that it cites, and the change is a finding until it is confirmed. Or the new price is settled
    first, and the batch bills 55.
    """
    observer = Observer(engine_of, ("fee_realizer", "invoicer"), sweeping=False)
    async with race_harness(signed_stack, tmp_path, observer, TODAY) as harness:
        (invoicer,) = await harness.start("invoicer", ASK, replicas=1)
        await harness.also("fee_realizer")
        cases = {
            "selected": "batch_selected",
            "numbered": "batch_numbered",
            "settled": "after_locks",
        }
        for company in cases:
            await publish([*add_company(company), sheet(company)])
        await observer.settled()
        for company, point in cases.items():
            sent, changed = generate(company), set_rate(company)
            first, second = (changed, sent) if company == "settled" else (sent, changed)
            await meet(harness, (invoicer, point, command(first)), command(second))
            (answer,) = await answers_of(sent)
            assert (answer["outcome"], answer["details"]["documents"]) == ("accepted", 1)
            await observer.settled()
            number = f"{company}-000001"
            if company == "settled":
                assert await lines_of(observer, company) == [
                    line("replaced", 40, 2000),
                    line(number, 40, 2200),
                ]
                continue
            assert await lines_of(observer, company) == [line(number, 40, 2000)]
            assert (await realizations_of(observer, company))[1:] == [
                (2, "set-bill-rate"),
                (3, "stale-price-basis"),
            ]
            impact, confirmed = (
                builders.command("rates-impact", requirement_id=f"{company}-REQ"),
                about(company, "confirm-rates"),
            )
            await publish([command(impact)])
            (impact_answer,) = await answers_of(impact)
            assert [
                (one["invoice_number"], one["net"]) for one in impact_answer["details"]["invoices"]
            ] == [(number, "200.00")]
            await publish([command(confirmed)])
            await answers_of(confirmed)
            await observer.settled()
            assert await lines_of(observer, company) == [
                line(number, 40, 2000),
                line("open", 40, 2200),
                line("open", -40, -2000, number),
            ]
        report = await observer.verified()
        assert report.clean, report.faults
