"""Several cut-offs over the same data."""

from typing import Any

from shared.broker.topics import OPERATOR_COMMANDS
from tests.builders import (
    OFFICE,
    command,
    node,
    product_line,
    realization,
    realization_line,
    record,
)
from tests.conftest import process
from tests.handlers.billed import Biller, biller

__all__ = ["biller"]


async def compared(biller: Biller, *cut_offs: str) -> dict[str, Any]:
    """Return the details of the answer, and check that no table has changed."""
    before = await contents(biller)
    answer = await biller.tell("what-if", cut_off_dates=list(cut_offs))
    assert answer["outcome"] == "accepted", answer
    assert await contents(biller) == before, "nothing is written"
    return answer["details"]  # type: ignore[no-any-return]


async def contents(biller: Biller) -> dict[str, int]:
    """Return how many rows each table of the invoicer has, except those of commands."""
    tables = await biller.rows(
        "SELECT relname FROM pg_class WHERE relnamespace = 'invoicer'::regnamespace AND relkind ="
        " 'r' ORDER BY relname"
    )
    return {
        row.relname: (await biller.rows(f"SELECT count(*) AS n FROM invoicer.{row.relname}"))[0].n
        for row in tables
        if row.relname not in ("command", "outbox")
    }


def sheet(document_id: str, week: str, quantity: str = "40", **changes: Any) -> Any:
    """The first realization of a timesheet of a week."""
    return realization(
        document_id, 1, realization_line(quantity, week_ending=week, effective_date=week, **changes)
    )


async def test_several_cut_offs_are_compared(biller: Biller) -> None:
    """Differences in documents, lines and money, with the reasons; nothing is written."""
    await biller.consume_nodes(node("office-2", account_name="Grace"))
    weekly = command("set-time-group", time_group="weekly", cycle="weekly", ends_on="sunday")
    await process(
        biller.unit_of_work,
        biller.dispatcher.subscription(),
        [record(OPERATOR_COMMANDS.name, weekly)],
    )
    await biller.tell("set-debtor-terms", account_name="Grace", time_group="weekly")
    await biller.consume(
        sheet("T-1", "2026-09-06"),
        sheet("T-2", "2026-09-12", "10"),
        sheet("G-1", "2026-09-06", billto_node="office-2"),
        sheet("G-2", "2026-09-13", "20", billto_node="office-2"),
    )
    await biller.consume(
        realization("P-1", 1, product_line("300.00", "2026-09-11", billto_node=OFFICE))
    )
    found = await compared(biller, "2026-09-13", "2026-09-10", "2026-09-12")
    assert [
        (each["cut_off_date"], each["documents"], each["lines"], each["totals"][0]["net"])
        for each in found["cut_offs"]
    ] == [
        *(
            ("2026-09-10", 2, 2, "4000.00"),
            ("2026-09-12", 2, 4, "4800.00"),
            ("2026-09-13", 2, 5, "5800.00"),
        ),
    ]
    assert [
        (each["account_name"], each["cut_off_date"], each["lines"], each["net"])
        for each in found["debtors"]
    ] == [
        *(
            ("Grace", "2026-09-10", 1, "2000.00"),
            ("Grace", "2026-09-12", 1, "2000.00"),
            ("Grace", "2026-09-13", 2, "3000.00"),
        ),
        *(
            ("Mercy Hospital", "2026-09-10", 1, "2000.00"),
            ("Mercy Hospital", "2026-09-12", 3, "2800.00"),
            ("Mercy Hospital", "2026-09-13", 3, "2800.00"),
        ),
    ]
    assert [
        (each["account_name"], each["from"], each["to"], each["is"], each["lines"], each["amount"])
        for each in found["differences"]
    ] == [
        ("Mercy Hospital", "2026-09-10", "2026-09-12", "in", 2, "800.00"),
        ("Grace", "2026-09-12", "2026-09-13", "in", 1, "1000.00"),
    ]
    assert [len(each["pay_line_ids"]) for each in found["differences"]] == [2, 1]
    late, cycle = (each["why"] for each in found["differences"])
    assert late == "out by 2026-09-10: week ending 2026-09-12 after it; in by 2026-09-12"
    assert cycle == (
        "out by 2026-09-12: week ending 2026-09-13 after 2026-08-31 to 2026-09-06, the last"
        " complete cycle of time group weekly"
        " (weekly, ends on Sunday); in by 2026-09-13 with the cycle 2026-09-07 to 2026-09-13"
    )


async def test_each_cut_off_lists_what_a_batch_would_take(biller: Biller) -> None:
    """generate-batch closes the documents that what-if announced."""
    await biller.tax("VAT", "21")
    await biller.company(default_tax="VAT")
    for at in range(6):
        await biller.consume(
            sheet(f"T-{at}", f"2026-09-{6 + at:02d}", str(10 + at), po_number=f"PO-{at % 2}")
        )
    found = await compared(biller, "2026-09-08", "2026-09-30")
    made = (await biller.generate("2026-09-08"))["details"]
    assert [found["cut_offs"][0][name] for name in ("documents", "lines", "totals")] == [
        made[name] for name in ("documents", "lines", "totals")
    ]
    assert len((await compared(biller, "2026-09-30"))["cut_offs"]) == 1
