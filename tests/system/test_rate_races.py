"""Races of rate changes, forced with pause points in both orders: every outcome is exact."""

from pathlib import Path
from typing import Any

from shared.events.commands import AnyCommand
from tests import builders
from tests.conftest import EngineOf
from tests.race_harness import arena
from tests.running import Watching, command, publish
from tests.system.test_races import (
    ASK,
    TODAY,
    answers_of,
    generate,
    ground,
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


async def realizations_of(books: Watching, company: str) -> list[tuple[int, str]]:
    """Return number and cause of each realization of a company's timesheet."""
    found = await books.select(
        "SELECT realization_no, cause FROM fee_realizer.realization WHERE document_id = :id ORDER"
        " BY 1",
        id=f"{company}-T",
    )
    return [tuple(row) for row in found]


async def test_a_rate_change_while_a_timesheet_is_priced(
    stack: dict[str, str], engine_of: EngineOf, tmp_path: Path
) -> None:
    """40 h arrive while their bill rate changes from 50 to 55: the open line is 40 h at 55.

    Either the timesheet is first, priced at 50 and again at 55, or the rate is first.
    """
    books = Watching(engine_of, ("fee_realizer", "invoicer"), sweeping=False)
    async with arena(stack, tmp_path, books, TODAY) as ring:
        (realizer,) = await ring.start("fee_realizer", ASK, replicas=1)
        await ring.also("invoicer")
        cases = {
            "timesheet-locked": "after_locks",
            "timesheet-priced": "before_commit",
            "rate-locked": "after_locks",
            "rate-set": "before_commit",
        }
        for company in cases:
            await publish(ground(company))
        await books.settled()
        for company, point in cases.items():
            sent, came = set_rate(company), sheet(company)
            first, second = (
                (came, command(sent)) if company.startswith("timesheet") else (command(sent), came)
            )
            await meet(ring, (realizer, point, first), second)
            (answer,) = await answers_of(sent)
            assert (answer["outcome"], answer["details"]["after"]["bill_rate"]) == (
                "accepted",
                "55",
            )
            await books.settled()
            expected = (
                [(1, "revision"), (2, "set-bill-rate")]
                if company.startswith("timesheet")
                else [(1, "revision")]
            )
            assert await realizations_of(books, company) == expected
            assert [one for one in await lines_of(books, company) if one[0] == "open"] == [
                line("open", 40, 2200)
            ]
        report = await books.verified()
        assert report.clean, report.faults


async def test_a_rate_change_while_a_batch_closes(
    stack: dict[str, str], engine_of: EngineOf, tmp_path: Path
) -> None:
    """40 h at 50 are open when a batch closes and their bill rate becomes 55.

    Either the batch is first and bills 50: the new realization is stale, the line keeps the price
    that it cites, and the change is a finding until it is confirmed. Or the new price is settled
    first, and the batch bills 55.
    """
    books = Watching(engine_of, ("fee_realizer", "invoicer"), sweeping=False)
    async with arena(stack, tmp_path, books, TODAY) as ring:
        (invoicer,) = await ring.start("invoicer", ASK, replicas=1)
        await ring.also("fee_realizer")
        cases = {
            "selected": "batch_selected",
            "numbered": "batch_numbered",
            "settled": "after_locks",
        }
        for company in cases:
            await publish([*ground(company), sheet(company)])
        await books.settled()
        for company, point in cases.items():
            sent, changed = generate(company), set_rate(company)
            first, second = (changed, sent) if company == "settled" else (sent, changed)
            await meet(ring, (invoicer, point, command(first)), command(second))
            (answer,) = await answers_of(sent)
            assert (answer["outcome"], answer["details"]["documents"]) == ("accepted", 1)
            await books.settled()
            number = f"{company}-000001"
            if company == "settled":
                assert await lines_of(books, company) == [
                    line("replaced", 40, 2000),
                    line(number, 40, 2200),
                ]
                continue
            assert await lines_of(books, company) == [line(number, 40, 2000)]
            assert (await realizations_of(books, company))[1:] == [
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
            await books.settled()
            assert await lines_of(books, company) == [
                line(number, 40, 2000),
                line("open", 40, 2200),
                line("open", -40, -2000, number),
            ]
        report = await books.verified()
        assert report.clean, report.faults
