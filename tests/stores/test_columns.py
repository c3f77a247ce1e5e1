"""Columns that travel as one text (`shared.database.joined`), and unsaid ids that stand for many, come out as they went in."""

import json
from collections.abc import Sequence

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.consumer.tables import CHUNK_BYTES, names_in_chunks, outbox_chunks
from shared.database import (
    NULL,
    SEPARATOR,
    Unstorable,
    column,
    joined,
    refused_by_database,
    rows,
    run_in_thread,
)
from tests.conftest import Transact

COLUMNS: list[list[str | None]] = [
    [],
    [""],
    [None],
    ["", ""],
    [None, "", None],
    ["a"],
    ["tab\t", "line\nbreak", "back\\slash", '{"quoted": "x"}', "NULL", "é×€", " "],
]


@pytest.mark.parametrize("values", COLUMNS)
async def test_a_column_comes_out_as_it_went_in(
    transact: Transact, values: list[str | None]
) -> None:
    """Whatever the texts are, none, empty or NULL; the row that ends them is all NULL and comes last."""

    async def ask(connection: AsyncConnection) -> Sequence[str | None]:
        found = await rows(
            connection,
            f"SELECT v FROM unnest({column('values')}) WITH ORDINALITY AS s(v, at) ORDER BY at",
            values=joined(values),
        )
        return [row.v for row in found]

    assert await transact("invoicer", ask) == [*values, None]


@pytest.mark.parametrize(
    "values", [[SEPARATOR], ["a", f"b{SEPARATOR}c"], [NULL], [None, f"{NULL} inside"]]
)
def test_a_text_that_would_come_out_otherwise_is_refused_as_the_database_refuses(
    values: list[str | None],
) -> None:
    """Then its record is cut out of the batch, and its neighbours go through."""
    with pytest.raises(Unstorable) as error:
        joined(values)
    assert refused_by_database(error.value)


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["1"],
        [str(number) for number in range(5_000)],
        ['["timesheet","' + "é" * 400 + '",1]'] * 7,
    ],
)
def test_parcels_hold_what_was_put_in(names: list[str]) -> None:
    """Each name once and in order, no parcel longer than a key of a table may be, none empty."""
    found = list(outbox_chunks("sample", names))
    assert [
        json.dumps(name, ensure_ascii=False, separators=(",", ":"))
        for name in names_in_chunks(an_id for (_, an_id), _ in found)
    ] == names
    assert sum(count for _, count in found) == len(names)
    assert all(count > 0 and len(an_id.encode()) <= CHUNK_BYTES + 2 for (_, an_id), count in found)


async def test_the_database_has_done_its_work_when_the_computation_fails(
    transact: Transact,
) -> None:
    """An error beside a statement comes when the statement has ended: the transaction is rolled back on a free connection, and the error is
    what the caller sees."""

    async def fail_beside(connection: AsyncConnection) -> None:
        await run_in_thread(rows(connection, "SELECT pg_sleep(0.3)"), lambda: 1 // 0)

    with pytest.raises(ZeroDivisionError):
        await transact("invoicer", fail_beside)
