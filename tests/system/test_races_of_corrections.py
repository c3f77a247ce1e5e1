"""Races of corrections in both orders: adjustments and credits by hand during batches.

Set up as in `test_races`: one worker pauses with its locks, the other is seen waiting, then the
first goes on.
"""

from decimal import Decimal
from pathlib import Path
from typing import Any

from shared.events.commands import AnyCommand
from tests import builders
from tests.builders import WEEK, days
from tests.conftest import EngineOf
from tests.race_harness import race_harness
from tests.running import Observer, Sent, answered, command, event, publish
from tests.system.test_races import (
    ASK,
    NEXT_WEEK,
    TIME,
    TODAY,
    add_company,
    answers_of,
    generate,
    line,
    lines_of,
    meet,
    sheet,
)


def adjustment(company: str, hours: str) -> Sent:
    """A timesheet of its own that adjusts `company-T`, on the topic under the original's key."""
    entries = days(hours, requirement_id=f"{company}-REQ")
    made = builders.timesheet(
        f"{company}-T-A",
        1,
        entries,
        adjusts=f"{company}-T",
        week_ending=str(WEEK),
        workflow={"approved_at": "2026-05-01T09:00:00Z"},
    )
    return event(TIME, f"{company}-T", made)


def credit(company: str, quantity: str) -> AnyCommand:
    """The command that credits hours of the first line of the first invoice, to be billed again."""
    lines = [{"line_no": 1, "quantity": quantity}]
    return builders.command(
        "credit-invoice",
        billing_company=company,
        invoice_number=f"{company}-000001",
        lines=lines,
        to="rebill",
    )


async def test_an_adjustment_while_a_batch_closes(
    signed_stack: dict[str, str], engine_of: EngineOf, tmp_path: Path
) -> None:
    """An adjustment to 38 h arrives while a batch closes.

    Of 40 open hours, legal: the batch is first, bills 40 h, and 2 h are credited on its invoice; or
    the adjustment is first, and the batch bills 38 h. Of 40 invoiced hours, legal: the batch is
    first, has nothing of the document, and the credit is open; or the adjustment is first, and the
    batch closes a credit note. Never both, never neither.
    """
    observer = Observer(engine_of, ("fee_realizer", "invoicer"), sweeping=False)
    async with race_harness(signed_stack, tmp_path, observer, TODAY) as harness:
        (invoicer,) = await harness.start("invoicer", ASK, replicas=1)
        await harness.also("fee_realizer")
        points = {
            "selected": "batch_selected",
            "numbered": "batch_numbered",
            "settled": "after_locks",
        }
        cases = {
            f"{state}-{name}": point
            for state in ("open", "billed")
            for name, point in points.items()
        }
        for company in cases:
            await publish([*add_company(company), sheet(company)])
        await observer.settled()
        for company in cases:
            if company.startswith("billed"):
                await answered(generate(company, WEEK))
                await publish([sheet(company, week=NEXT_WEEK, name="U")])
        await observer.settled()
        for company, point in cases.items():
            asked, adjusted = generate(company), adjustment(company, "7.6")
            if company.endswith("settled"):
                await meet(harness, (invoicer, point, adjusted), command(asked))
            else:
                await meet(harness, (invoicer, point, command(asked)), adjusted)
            (answer,) = await answers_of(asked)
            await observer.settled()
            first, second = f"{company}-000001", f"{company}-000002"
            found = [one for one in await lines_of(observer, company) if one[0] != "replaced"]
            if company.startswith("open"):
                assert answer["details"]["documents"] == 1
                assert found == (
                    [line(first, 38, 1900)]
                    if company.endswith("settled")
                    else [line(first, 40, 2000), line("open", -2, -100, first)]
                )
            else:
                assert answer["details"]["documents"] == (2 if company.endswith("settled") else 1)
                place = f"{company}-000003" if company.endswith("settled") else "open"
                wanted = [
                    line(first, 40, 2000),
                    line(second, 40, 2000),
                    line(place, -2, -100, first),
                ]
                assert sorted(found, key=_order) == sorted(wanted, key=_order)
        report = await observer.verified()
        assert report.clean, report.faults


async def test_a_credit_while_a_batch_runs(
    signed_stack: dict[str, str], engine_of: EngineOf, tmp_path: Path
) -> None:
    """3.5 of 40 invoiced hours are credited to rebill during a batch.

    The batch bills the next week at another worker. Legal: the batch is first, takes number 2, the
    credit note takes 3, and 3.5 h are open; or the credit is first, takes 2, and the batch bills
    the next week and the 3.5 h on number 3. Numbers have no gap, and no hour is billed twice.
    """
    observer = Observer(engine_of, ("fee_realizer", "invoicer"), sweeping=False)
    async with race_harness(signed_stack, tmp_path, observer, TODAY) as harness:
        left, right = await harness.start("invoicer", ASK)
        await harness.also("fee_realizer")
        cases = [
            (first, point)
            for first in ("batch", "credit")
            for point in ("after_locks", "batch_selected", "batch_numbered")
        ]
        names = {f"{first}-{point.rpartition('_')[2]}": (first, point) for first, point in cases}
        for company in names:
            await publish([*add_company(company), sheet(company)])
        await observer.settled()
        for company in names:
            await answered(generate(company, WEEK), partition=left.partition)
            await publish([sheet(company, week=NEXT_WEEK, name="U")])
        await observer.settled()
        for company, (first, point) in names.items():
            batch, credited = generate(company), credit(company, "3.5")
            one, other = (batch, credited) if first == "batch" else (credited, batch)
            await meet(
                harness,
                (left, point, command(one, left.partition)),
                command(other, right.partition),
            )
            shown = [*await answers_of(batch), *await answers_of(credited)]
            assert [answer["outcome"] for answer in shown] == ["accepted", "accepted"], shown
            await observer.settled()
            await _check(observer, company, batch_first=first == "batch")
        report = await observer.verified()
        assert report.clean, report.faults


async def _check(observer: Observer, company: str, *, batch_first: bool) -> None:
    first, second, third = (f"{company}-{number:06}" for number in (1, 2, 3))
    note, billed, again = (third, second, "open") if batch_first else (second, third, third)
    hours, money = Decimal("3.5"), Decimal(175)
    wanted: list[Any] = [
        line(first, 40, 2000),
        line(billed, 40, 2000),
        (note, -hours, -money, first),
        (again, hours, money, None),
    ]
    assert sorted(await _lines(observer, company), key=_order) == sorted(wanted, key=_order)
    assert (
        await observer.one(
            "SELECT next_number FROM invoicer.number_series WHERE billing_company = :company",
            company=company,
        )
        == 4
    )


def _order(one: tuple[Any, ...]) -> tuple[str, Decimal]:
    return one[0], one[1]


async def _lines(observer: Observer, company: str) -> list[Any]:
    return [one for one in await lines_of(observer, company) if one[0] != "replaced"]


async def test_a_credit_while_its_document_is_settled(
    signed_stack: dict[str, str], engine_of: EngineOf, tmp_path: Path
) -> None:
    """3.5 of 40 invoiced hours are credited to rebill.

    An adjustment to 38 h arrives. In both orders one line of 1.5 h is open: the value is 38 h, and
    36.5 h are billed.
    """
    observer = Observer(engine_of, ("fee_realizer", "invoicer"), sweeping=False)
    async with race_harness(signed_stack, tmp_path, observer, TODAY) as harness:
        (invoicer,) = await harness.start("invoicer", ASK, replicas=1)
        await harness.also("fee_realizer")
        for company in ("credit-first", "settled-first"):
            await publish([*add_company(company), sheet(company)])
        await observer.settled()
        for company in ("credit-first", "settled-first"):
            await answered(generate(company, WEEK))
            credited, adjusted = credit(company, "3.5"), adjustment(company, "7.6")
            pair = (
                (command(credited), adjusted)
                if company == "credit-first"
                else (adjusted, command(credited))
            )
            await meet(harness, (invoicer, "after_locks", pair[0]), pair[1])
            (answer,) = await answers_of(credited)
            assert answer["outcome"] == "accepted", answer
            await observer.settled()
            found = {place: quantity for place, quantity, _, _ in await _lines(observer, company)}
            assert found == {
                f"{company}-000001": 40,
                f"{company}-000002": Decimal("-3.5"),
                "open": Decimal("1.5"),
            }
        report = await observer.verified()
        assert report.clean, report.faults
