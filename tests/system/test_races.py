"""Races, forced with named pause points in both orders: each result is legal, `verify` agrees.

A worker that reaches a pause point inside its transaction pauses there with its locks; then the
other message arrives and is seen waiting for a lock; then the first goes on. Each test lists its
legal results; which of them occurs depends on the order alone.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from shared.events.commands import AnyCommand
from tests import builders
from tests.builders import WEEK, days
from tests.conftest import EngineOf
from tests.race_harness import RaceHarness, Replica, race_harness
from tests.running import Observer, Sent, answers, command, event, publish, until

TODAY = "2026-05-15"
TIME, PUBLISHED, ASK = "timesheet-approved", "pay-lines-realized", "operator-commands"
NEXT_WEEK = WEEK + timedelta(days=7)


def sheet(
    company: str,
    revision: int = 1,
    hours: str = "8",
    week: date = WEEK,
    partition: int | None = None,
    name: str = "T",
) -> Sent:
    """The timesheet `company-T`: five days of these hours at 50.00."""
    entries = days(hours, week_ending=week, requirement_id=f"{company}-REQ")
    made = builders.timesheet(f"{company}-{name}", revision, entries, week_ending=str(week))
    return event(TIME, f"{company}-{name}", made, partition)


def add_company(company: str) -> list[Sent]:
    """A company with a requirement and a debtor of its own, so that races are independent."""
    return [
        command(
            builders.command(
                "set-billing-company", billing_company=company, series_prefix=f"{company}-"
            )
        ),
        event(
            "requirement-changed",
            company,
            builders.requirement(
                f"{company}-REQ", billing_company=company, office_id=f"{company}-office"
            ),
        ),
        event("billto-changed", company, builders.node(f"{company}-office")),
    ]


def generate(company: str, cut_off: date = NEXT_WEEK) -> AnyCommand:
    """The command that closes a batch."""
    return builders.command("generate-batch", billing_company=company, cut_off_date=cut_off)


async def answers_of(asked: AnyCommand, count: int = 1) -> list[dict[str, Any]]:
    """The answers to a command, when there are this many."""

    async def all_there() -> list[dict[str, Any]] | None:
        found = (await answers(asked.command_id)).get(asked.command_id, [])
        return found if len(found) >= count else None

    found: list[dict[str, Any]] = await until(f"{count} answers to {asked.command}", all_there)
    return found


async def lines_of(
    observer: Observer, company: str
) -> list[tuple[str, Decimal, Decimal, str | None]]:
    """Every line of a company: place, quantity, amount, and the corrected invoice number."""
    found = await observer.select(
        "SELECT CASE WHEN o.pay_line_id IS NOT NULL THEN 'open' WHEN r.pay_line_id IS NOT NULL"
        " THEN 'replaced' ELSE i.invoice_number END AS place,"
        " p.quantity, p.amount, c.invoice_number AS corrects FROM invoicer.pay_line p"
        " LEFT JOIN invoicer.open_line o USING (pay_line_id) LEFT JOIN invoicer.replaced_line r"
        " USING (pay_line_id)"
        " LEFT JOIN invoicer.invoice_line l USING (pay_line_id) LEFT JOIN invoicer.invoice i ON"
        " i.invoice_id = l.invoice_id"
        " LEFT JOIN invoicer.invoice c ON c.invoice_id = p.corrects_invoice_id WHERE"
        " p.billing_company = :company ORDER BY p.effective_date, p.pay_line_id",
        company=company,
    )
    return [tuple(row) for row in found]


async def realizations_of(observer: Observer, company: str) -> list[tuple[int, int]]:
    """Number and revision of each realization of a company's timesheet."""
    found = await observer.select(
        "SELECT realization_no, revision FROM fee_realizer.realization WHERE document_id = :id"
        " ORDER BY 1",
        id=f"{company}-T",
    )
    return [tuple(row) for row in found]


def line(
    place: str, quantity: int, amount: int, corrects: str | None = None
) -> tuple[str, Decimal, Decimal, str | None]:
    """A line as `lines_of` returns it."""
    return place, Decimal(quantity), Decimal(amount), corrects


async def meet(harness: RaceHarness, first: tuple[Replica, str, Sent], second: Sent) -> None:
    """The first message pauses with its locks; the second waits for a lock; both go on."""
    replica, point, sent = first
    replica.hold(point)
    await publish([sent])
    await replica.reached(point)
    await publish([second])
    await harness.waits()
    replica.release(point)


async def test_a_revision_while_a_batch_closes(
    signed_stack: dict[str, str], engine_of: EngineOf, tmp_path: Path
) -> None:
    """40 h are open, a batch closes, a revision has 38 h.

    Legal: the batch is first, bills 40 h, and 2 h are credited on its invoice; or the revision is
    first, and the batch bills 38 h. Never both lines billed, never neither.
    """
    observer = Observer(engine_of, ("fee_realizer", "invoicer"), sweeping=False)
    async with race_harness(signed_stack, tmp_path, observer, TODAY) as harness:
        (invoicer,) = await harness.start("invoicer", ASK, replicas=1)
        await harness.also("fee_realizer")
        cases = {
            "selected": "batch_selected",
            "numbered": "batch_numbered",
            "locked": "after_locks",
            "settled": "after_locks",
        }
        for company in cases:
            await publish([*add_company(company), sheet(company)])
        await observer.settled()
        for company, point in cases.items():
            asked, revised = generate(company), sheet(company, 2, "7.6")
            if company == "settled":
                await meet(harness, (invoicer, point, revised), command(asked))
            else:
                await meet(harness, (invoicer, point, command(asked)), revised)
            (answer,) = await answers_of(asked)
            assert (answer["outcome"], answer["details"]["documents"]) == ("accepted", 1)
            await observer.settled()
            number = f"{company}-000001"
            if company == "settled":
                assert await lines_of(observer, company) == [
                    line("replaced", 40, 2000),
                    line(number, 38, 1900),
                ]
            else:
                assert await lines_of(observer, company) == [
                    line(number, 40, 2000),
                    line("open", -2, -100, number),
                ]
        report = await observer.verified()
        assert report.clean, report.faults


async def test_two_revisions_from_two_workers(
    signed_stack: dict[str, str], engine_of: EngineOf, tmp_path: Path
) -> None:
    """Revisions 2 (38 h) and 3 (36 h) of one document at two workers.

    Legal: 2 then 3, each with a realization; or 3 alone, because 2 came late and has no effect.
    Both end with 36 h, whether the document was known before or not.
    """
    observer = Observer(engine_of, ("fee_realizer", "invoicer"), sweeping=False)
    async with race_harness(signed_stack, tmp_path, observer, TODAY) as harness:
        left, right = await harness.start("fee_realizer", TIME)
        await harness.also("invoicer")
        cases = {
            (known, newer_first): f"{known}-{newer_first}".lower()
            for known in (True, False)
            for newer_first in (True, False)
        }
        for (known, _), company in cases.items():
            await publish([*add_company(company), *([sheet(company)] if known else [])])
        await observer.settled()
        for (known, newer_first), company in cases.items():
            older, newer = (
                sheet(company, 2, "7.6", partition=left.partition),
                sheet(company, 3, "7.2", partition=right.partition),
            )
            if newer_first:
                await meet(harness, (right, "inside_transaction", newer), older)
            else:
                await meet(harness, (left, "inside_transaction", older), newer)
            await observer.settled()
            said = [1] * known + [3] if newer_first else [*[1] * known, 2, 3]
            assert await realizations_of(observer, company) == list(enumerate(said, 1))
            kept = await observer.select(
                "SELECT revision FROM fee_realizer.source_revision WHERE document_id = :id ORDER"
                " BY 1",
                id=f"{company}-T",
            )
            assert [row[0] for row in kept] == [*[1] * known, 2, 3]
            assert [one for one in await lines_of(observer, company) if one[0] == "open"] == [
                line("open", 36, 1800)
            ]
        report = await observer.verified()
        assert report.clean, report.faults


async def test_two_realizations_at_two_invoicers(
    signed_stack: dict[str, str], engine_of: EngineOf, tmp_path: Path
) -> None:
    """Realizations 1 (40 h) and 2 (38 h) at two workers.

    A worker taken for dead settles 1 beside its successor. Legal: 1 is settled and replaced by 2;
    or 2 is settled and 1 is a repeat. In both one line of 38 h is open.
    """
    observer = Observer(engine_of, ("invoicer",), sweeping=False)
    async with race_harness(signed_stack, tmp_path, observer, TODAY) as harness:
        left, right = await harness.start("invoicer", PUBLISHED)
        for newer_first, company in ((False, "older"), (True, "newer")):
            hours = ((left, 1, "40"), (right, 2, "38"))
            sent = [
                (
                    replica,
                    event(
                        PUBLISHED,
                        company,
                        builders.realization(
                            f"{company}-T",
                            number,
                            builders.realization_line(h, billing_company=company),
                        ),
                        replica.partition,
                    ),
                )
                for replica, number, h in hours
            ]
            (replica, first), (_, second) = reversed(sent) if newer_first else sent
            await meet(harness, (replica, "inside_transaction", first), second)
            await until(
                "both are read", lambda company=company: _settled_at(observer, f"{company}-T", 2)
            )  # type: ignore[misc]
            await until("no transaction waits", lambda: _none_waits(observer))
            wanted = (
                [line("open", 38, 1900)]
                if newer_first
                else [line("replaced", 40, 2000), line("open", 38, 1900)]
            )
            assert await lines_of(observer, company) == wanted
        assert await observer.one("SELECT count(*) FROM invoicer.dead_letter") == 0


async def _settled_at(observer: Observer, document_id: str, number: int) -> Any:
    return await observer.one(
        "SELECT count(*) FROM invoicer.settled_document WHERE document_id = :id AND realization_no"
        " = :no",
        id=document_id,
        no=number,
    )


async def _none_waits(observer: Observer) -> bool:
    return await observer.waiting_for_locks() == 0


async def test_batches_at_two_invoicers(
    signed_stack: dict[str, str], engine_of: EngineOf, tmp_path: Path
) -> None:
    """Two weeks are open, and two batches are requested at two workers.

    Legal, by the order alone: first week then both weeks: two batches, a week each, numbers 1 and
    2; both weeks then first week: one batch with both, number 1, and nothing left for the other;
    the same command twice: one batch, and the one answer twice.
    """
    observer = Observer(engine_of, ("fee_realizer", "invoicer"), sweeping=False)
    async with race_harness(signed_stack, tmp_path, observer, TODAY) as harness:
        left, right = await harness.start("invoicer", ASK)
        await harness.also("fee_realizer")
        companies = [
            f"{case}-{side}" for case in ("rising", "falling", "same") for side in ("left", "right")
        ]
        for company in companies:
            await publish(
                [*add_company(company), sheet(company), sheet(company, week=NEXT_WEEK, name="U")]
            )
        await observer.settled()
        for company in companies:
            case, _, side = company.partition("-")
            one, other = (left, right) if side == "left" else (right, left)
            short, long = generate(company, WEEK), generate(company, NEXT_WEEK)
            first, second = {
                "rising": (short, long),
                "falling": (long, short),
                "same": (long, long),
            }[case]
            await meet(
                harness,
                (one, "batch_numbered", command(first, one.partition)),
                command(second, other.partition),
            )
            shown = await _told(first, second)
            await observer.settled()
            await _check(observer, company, case, shown)
        report = await observer.verified()
        assert report.clean, report.faults


async def _told(first: AnyCommand, second: AnyCommand) -> list[dict[str, Any]]:
    if first == second:
        return await answers_of(first, 2)
    return [*await answers_of(first), *await answers_of(second)]


async def _check(
    observer: Observer, company: str, case: str, shown: Sequence[dict[str, Any]]
) -> None:
    numbers = [f"{company}-000001", f"{company}-000002"]
    batches = await observer.one(
        "SELECT count(*) FROM invoicer.batch WHERE billing_company = :company", company=company
    )
    documents = [answer["details"]["documents"] for answer in shown]
    places = [place for place, *_ in await lines_of(observer, company)]
    assert [answer["outcome"] for answer in shown] == ["accepted", "accepted"]
    if case == "rising":
        assert (batches, documents, places) == (2, [1, 1], numbers)
    elif case == "falling":
        assert (batches, documents, places) == (1, [1, 0], [numbers[0]] * 2)
        assert shown[1]["details"]["batch_id"] is None
    else:
        assert (batches, documents, places) == (1, [1, 1], [numbers[0]] * 2)
        assert shown[0] == shown[1]
    following = await observer.one(
        "SELECT next_number FROM invoicer.number_series WHERE billing_company = :company",
        company=company,
    )
    assert following == (3 if case == "rising" else 2), "a number is taken for a document only"
