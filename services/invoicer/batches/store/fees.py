"""MSP fees of the documents that a selection would close, in its transaction.

`selection.select_lines`, `line_options` and `allowances` come first; only companies with fees have
these tables. `invoices.store.closing` closes the lines of markups as it closes the others: before
it `open_lines`, after it `keep_fees`.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.store import allowances
from services.invoicer.fees.rules import ITEM_ID, NAME, DocumentFee, Segment, TakenFee
from services.invoicer.invoices.rules.documents import Group
from shared.database import columns, joined_rows, rows, run
from shared.sql import named_queries

_QUERIES = named_queries(Path(__file__).with_suffix(".sql"))
_SEGMENT = {
    "segment_no": "integer",
    "option_name": "text",
    "currency": "text",
    "from_date": "date",
    "to_date": "date",
    "funded_by": "text",
    "charged_as": "text",
    "fee_from": "date",
    "products": "boolean",
    "expenses": "boolean",
}
_TAKEN = {
    "group_no": "bigint",
    "fee_no": "integer",
    "segment_no": "integer",
    "percent": "numeric",
    "volume": "numeric",
    "volume_since": "date",
    "tax_code": "text",
    "tax_rate": "numeric",
}
_POSITION = 1_000
"""After the allowances of debtors, and what credits take back of these."""


class Bases(NamedTuple):
    """What fees are taken of, by document.

    `dates`: the segments of its lines, each with their last effective date. `returned`: what its
    credits return of discounts.
    """

    dates: Mapping[int, Mapping[int, date]]
    returned: Mapping[int, Decimal]


class TaxedFee(NamedTuple):
    """A fee that a document takes, with the tax of its line if it is a markup."""

    taken: TakenFee
    tax_code: str
    tax_rate: Decimal


async def find_bases(connection: AsyncConnection, segments: Sequence[Segment]) -> Bases:
    """Find what the fees of the selected documents are taken of, and what credits return."""
    await allowances.create_tables(connection)
    query = _QUERIES["fee_segments"].format(columns=columns(_SEGMENT), names=", ".join(_SEGMENT))
    await run(connection, query, **joined_rows(_SEGMENT, map(_segment_row, segments)))
    for name in ("fee_bases", "fee_credits", "create_fees", "create_shares"):
        await run(connection, _QUERIES[name])
    await run(connection, "ANALYZE fee_base, fee_credit")
    dates: dict[int, dict[int, date]] = {}
    for group_no, segment_no, last in await rows(connection, _QUERIES["bases_of_groups"]):
        dates.setdefault(group_no, {})[segment_no] = last
    returned = await rows(connection, _QUERIES["returned_discounts"])
    return Bases(dates, {row.group_no: row.share for row in returned})


def _segment_row(each: Segment) -> tuple[object, ...]:
    fee = each.fee
    return (
        each.segment_no,
        fee.option,
        each.currency,
        each.from_date,
        each.to_date,
        fee.funded_by,
        fee.charged_as,
        fee.from_date,
        "products" in fee.base,
        "expenses" in fee.base,
    )


async def take_fees(
    connection: AsyncConnection, groups: Sequence[Group], taken: Sequence[TaxedFee]
) -> list[Group]:
    """Compute the fees of documents, in place of those that were taken before.

    Returns the groups, those with fees with their net, tax, allowances and fees.
    """
    await run(connection, _QUERIES["clear"], position=_POSITION)
    await run(connection, "TRUNCATE group_fee, line_share")
    for name in ("take_fees", "share_discounts"):
        query = _QUERIES[name].format(columns=columns(_TAKEN), names=", ".join(_TAKEN))
        await run(connection, query, **joined_rows(_TAKEN, _numbered(taken)))
    await run(connection, _QUERIES["note_discounts"], position=_POSITION, name=NAME)
    await run(connection, _QUERIES["return_fees"])
    for name in ("number_lines", "locate_lines", "add_lines"):
        await run(connection, _QUERIES[name])
    fees: dict[int, list[DocumentFee]] = {}
    for group_no, *fee in await rows(connection, _QUERIES["fees_of_groups"]):
        fees.setdefault(group_no, []).append(DocumentFee(*fee))
    discounted = {
        group_no for group_no, of in fees.items() if any(f.charged_as == "discount" for f in of)
    }
    await allowances.tax_lines(connection, discounted)
    counted = [
        each.with_fees(tuple(fees[each.group_no])) if each.group_no in fees else each
        for each in groups
    ]
    return await allowances.with_sums(connection, counted, sorted(fees))


def _numbered(taken: Iterable[TaxedFee]) -> Iterable[tuple[object, ...]]:
    """Number the fees of each document, in the order of their dates."""
    numbers: dict[int, int] = {}
    for fee, tax_code, tax_rate in taken:
        numbers[fee.group_no] = number = numbers.get(fee.group_no, 0) + 1
        group_no, *taken_by = fee
        yield group_no, number, *taken_by, tax_code, tax_rate


async def drop_lines(connection: AsyncConnection, group_nos: Sequence[int]) -> None:
    """Drop the lines of fees of groups that stay open."""
    await run(connection, _QUERIES["drop_lines"], groups=list(group_nos))


async def open_lines(
    connection: AsyncConnection, billing_company: str, numbers: Mapping[int, str], today: date
) -> None:
    """Make pay lines of the markups of documents that are about to be closed.

    `numbers`: the invoice number of each document, by the number of its group.
    """
    await run(
        connection,
        _QUERIES["open_lines"],
        company=billing_company,
        groups=list(numbers),
        numbers=list(numbers.values()),
        item=ITEM_ID,
        name=NAME,
        today=today,
    )


async def keep_fees(connection: AsyncConnection) -> None:
    """Keep the fees of the documents that were closed, and what their lines are of these."""
    await run(connection, _QUERIES["keep_fees"])
    await run(connection, _QUERIES["keep_lines"])
