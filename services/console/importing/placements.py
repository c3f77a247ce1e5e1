"""Reads placements and their fees from `placements.csv` of an import folder, one fee a line.

The lines of one placement need not be together; they repeat what the placement has besides fees.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from services.console.importing.catalog import pay_plan
from services.console.importing.cells import (
    currency,
    day,
    identifier,
    name,
    optional,
    optional_amount,
)
from services.console.importing.command_lines import Columns, FileColumn
from services.console.importing.csv_rows import Problems
from shared.events.ats import PlacementCreated, PlacementFee

PLACEMENTS = "placements.csv"
PLACEMENT_COLUMNS: Columns = {
    "placement_id": FileColumn(identifier, "the placement's id; each line is one of its fees"),
    "requirement_id": FileColumn(identifier, "the requirement that it fills"),
    "worker_id": FileColumn(identifier, "the worker"),
    "start_date": FileColumn(day, "first day of work, e.g. 2026-03-02"),
    "end_date": FileColumn(optional(day), "last day worked, if the worker left"),
    "end_reason": FileColumn(name, "why the worker left"),
    "salary": FileColumn(optional_amount, "salary of a year, for fees in percent of it"),
    "ote": FileColumn(optional_amount, "on-target earnings of a year"),
    "currency": FileColumn(optional(currency), "currency of salary and ote, e.g. USD"),
    "fee_id": FileColumn(optional(identifier), "the fee's id; empty: that of the item"),
    "item": FileColumn(optional(identifier), "placement product of the catalog; empty: no fee"),
    "amount": FileColumn(optional_amount, "price of the fee, in place of the item's"),
    "percent": FileColumn(optional_amount, "percent of the base, in place of the item's"),
    "base": FileColumn(optional_amount, "what the percent is taken of, for items of percent base"),
    "plan": FileColumn(pay_plan, "shares and days, e.g. 50@1 50@90, in place of the item's"),
    "po": FileColumn(name, "purchase order number"),
    "worker_name": FileColumn(name, "the worker's name, which documents print"),
}
"""The columns of the file: how each is read, and what it holds."""
NEEDED = ("placement_id", "requirement_id", "worker_id", "start_date")
"""The columns that the file must have; another one that is missing is read as empty cells."""
FIELDS = tuple(PLACEMENT_COLUMNS)[1 : tuple(PLACEMENT_COLUMNS).index("fee_id")]
"""The columns that belong to the placement and not to a fee of it."""


@dataclass(slots=True)
class PlacementRows:
    """A placement: the line of its first row, its fields by column, and its fees."""

    line: int
    values: dict[str, Any]
    fees: list[PlacementFee] = field(default_factory=list)
    worker_name: str = ""

    def event(
        self, placement_id: str, revision: int, before: PlacementCreated | None
    ) -> PlacementCreated:
        """The placement as a message. What the file has no column for stays as stored."""
        values = self.values | {"fees": tuple(self.fees), "revision": revision}
        if self.worker_name:
            values["worker_name"] = self.worker_name
        if before is not None:
            return before.model_copy(update=values)
        return PlacementCreated(placement_id=placement_id, **values)


def read_placements(
    rows: Iterator[tuple[int, Sequence[Any]]],
    placements: dict[str, PlacementRows],
    problems: Problems,
) -> None:
    """Adds the placements of the rows, and what is wrong in them."""
    for line, (placement_id, *cells, worker_name) in rows:
        values = dict(zip(FIELDS, cells, strict=False))
        first = placements.setdefault(placement_id, PlacementRows(line, values))
        first.worker_name = first.worker_name or worker_name
        for column, value in values.items():
            if value != first.values[column]:
                before = first.values[column]
                shown = "empty" if before in (None, "") else before
                problems.add(
                    PLACEMENTS,
                    line,
                    column,
                    f"is {value or 'empty'}, but {placement_id} has {shown} on line {first.line}",
                )
        _add_fee(first, placement_id, line, cells[len(FIELDS) :], problems)


def _add_fee(
    placement: PlacementRows, placement_id: str, line: int, cells: Sequence[Any], problems: Problems
) -> None:
    fee_id, item, amount, percent, base, plan, po_number = cells
    if item is None:
        if any(cells):
            problems.add(PLACEMENTS, line, "item", "is empty, but the line has other fields of it")
        return
    fee_id = fee_id or item
    if fee_id in {fee.fee_id for fee in placement.fees}:
        problems.add(
            PLACEMENTS,
            line,
            "fee_id",
            f"{placement_id} has a fee {fee_id} already; give each fee its own fee_id",
        )
        return
    try:
        fee = PlacementFee(
            fee_id=fee_id,
            item_id=item,
            amount=amount,
            percent=percent,
            base=base,
            plan=None if plan is None else tuple(plan),
            po_number=po_number,
        )
    except ValidationError as error:
        for each in error.errors():
            problems.add(PLACEMENTS, line, ".".join(map(str, each["loc"])), each["msg"])
        return
    placement.fees.append(fee)
