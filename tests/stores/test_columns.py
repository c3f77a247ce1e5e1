"""Columns that travel as one text (`shared.database.joined`) come out of the database as they went in."""

from collections.abc import Sequence

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import BETWEEN, NULL, Unstorable, column, joined, refused_by_database, rows
from tests.conftest import Transact

COLUMNS: list[list[str | None]] = [
    [],
    [""],
    [None],
    ["", ""],
    [None, "", None],
    ["a"],
    ["tab\t", "line\nbreak", "back\\slash", '{"quoted": "x"}', "NULL", "é×€", " "],
    [f"{NULL} inside is a text"],
]


@pytest.mark.parametrize("values", COLUMNS)
async def test_a_column_comes_out_as_it_went_in(transact: Transact, values: list[str | None]) -> None:
    """Whatever the texts are, none, empty or NULL; the row that ends them is all NULL and comes last."""

    async def ask(connection: AsyncConnection) -> Sequence[str | None]:
        found = await rows(connection, f"SELECT v FROM unnest({column('values')}) WITH ORDINALITY AS s(v, at) ORDER BY at", values=joined(values))
        return [row.v for row in found]

    assert await transact("invoicer", ask) == [*values, None]


@pytest.mark.parametrize("values", [[BETWEEN], ["a", f"b{BETWEEN}c"]])
def test_a_text_that_would_be_split_is_refused_as_the_database_refuses(values: list[str]) -> None:
    """Then its record is cut out of the batch, and its neighbours go through."""
    with pytest.raises(Unstorable) as error:
        joined(values)
    assert refused_by_database(error.value)
