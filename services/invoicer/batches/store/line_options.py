"""The invoice options of the open lines of a batch, for companies that have options.

`resolve_options` follows `selection.locate_lines` and makes `line_option`, which `select_lines`
reads; `cut_groups` follows `select_lines`. Tables: `line_option` (pay_line_id, reason, conflict,
max_lines, document_option) and, private, `option_in_force` and `cut_line`.
"""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.rules import reasons
from services.invoicer.invoices.rules.documents import Group, GroupOption
from shared.database import rows, run
from shared.sql import named_queries
from shared.stored import as_json

_QUERIES = named_queries(Path(__file__).with_suffix(".sql"))
_REASONS = (reasons.OPTION_DOES_NOT_FIT, reasons.NO_INVOICE_OPTION, reasons.NOT_VISIBLE)

_SELECTION = {
    "option_key": "coalesce(x.document_option::text, '') || chr(31) || ",
    "option_reason": "WHEN x.reason <> 0 THEN x.reason ",
    "line_options": "JOIN line_option x ON x.pay_line_id = o.pay_line_id ",
}
"""The parts of `selected_lines` by which options decide."""


def selection_parts(with_options: bool) -> dict[str, str]:
    """Return the parts of `selected_lines` about options; without options they are empty."""
    return _SELECTION if with_options else dict.fromkeys(_SELECTION, "")


_CHOICE = {
    "option_choice": "WHEN coalesce(x.document_option ->> 'name', '') <> ALL(CAST(:options AS"
    f" text[])) THEN {reasons.number(reasons.OPTION_NOT_CHOSEN)}",
    "option_lines": "JOIN line_option x ON x.pay_line_id = o.pay_line_id",
}
"""The parts of `lines_not_chosen` by which options are chosen."""


def choice_parts(by_option: bool) -> dict[str, str]:
    """Return the parts of `lines_not_chosen` about options; without a choice they are empty."""
    return _CHOICE if by_option else dict.fromkeys(_CHOICE, "")


async def resolve_options(
    connection: AsyncConnection, billing_company: str, *, on: date, today: date
) -> dict[str, str]:
    """Find the option of each open line, as options are in force on a day.

    Returns the debtors of due lines that have two default options of one rank, with their names.
    """
    await run(connection, _QUERIES["options_in_force"], company=billing_company, on=on)
    numbers = {name: reasons.number(name) for name in _REASONS}
    await run(connection, _QUERIES["line_options"], company=billing_company, **numbers)
    await run(connection, "CREATE UNIQUE INDEX ON line_option (pay_line_id)")
    await run(connection, "ANALYZE line_option")
    found = await rows(connection, _QUERIES["conflicts"], company=billing_company, today=today)
    return {row.account_name: row.conflict for row in found}


async def cut_groups(connection: AsyncConnection) -> None:
    """Cut the groups that have more lines than their option allows on one document."""
    if await run(connection, _QUERIES["cut_lines"]):
        await run(connection, _QUERIES["move_cut_lines"])


async def with_options(connection: AsyncConnection, groups: Sequence[Group]) -> list[Group]:
    """Return the groups with their options."""
    found = {
        row.group_no: GroupOption.of(as_json(row.document_option), row.origin_no, row.part)
        for row in await rows(connection, _QUERIES["group_options"])
    }
    return [each._replace(option=found.get(each.group_no)) for each in groups]
