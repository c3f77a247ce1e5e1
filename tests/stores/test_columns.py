"""Columns joined to one text (`shared.database.joined`) and chunks of ids are restored exactly."""

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
    """Any texts, empty or NULL, are restored.

    The row that ends them is all NULL and comes last.
    """

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
    """A lossy text is refused.

    Then its record is isolated, and its neighbours are processed.
    """
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
def test_chunks_hold_what_was_put_in(names: list[str]) -> None:
    """Chunks have each name once and in order; none is empty or too long."""
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
    """Errors wait for the statement's end.

    The transaction is rolled back on a free connection, and the caller sees the error.
    """

    async def fail_beside(connection: AsyncConnection) -> None:
        await run_in_thread(rows(connection, "SELECT pg_sleep(0.3)"), lambda: 1 // 0)

    with pytest.raises(ZeroDivisionError):
        await transact("invoicer", fail_beside)
