"""Every field of text is known as personal data or as none."""

import pytest

from shared.database import rows
from tests.conftest import EngineOf
from tests.contracts.personal_data import NOT_PERSONAL, PERSONAL, SERVICES, columns, places


def test_every_field_of_text_is_classified() -> None:
    """A new column or field is put into one of the two lists, and into no two."""
    found = set(places())
    assert found - PERSONAL.keys() - NOT_PERSONAL == set()
    assert (PERSONAL.keys() | NOT_PERSONAL) - found == set()
    assert PERSONAL.keys() & NOT_PERSONAL == set()


@pytest.mark.parametrize("name", ["email", "worker_name", "phone"])
def test_contact_data_of_workers_has_no_field_of_its_own(name: str) -> None:
    """It comes in undeclared fields only, which `forget worker` removes whole."""
    assert name not in places()


async def test_the_columns_are_those_of_the_database(engine_of: EngineOf) -> None:
    """The list is read from the migrations; the database has no other column of text."""
    async with engine_of("owner").connect() as connection:
        found = await rows(
            connection,
            "SELECT c.table_schema || '.' || c.table_name, c.column_name"
            " FROM information_schema.columns c JOIN information_schema.tables t"
            " USING (table_schema, table_name)"
            " WHERE t.table_type = 'BASE TABLE' AND c.table_schema = ANY(:schemas)"
            " AND (c.data_type IN ('text', 'jsonb', 'bytea') OR c.udt_name = '_text')",
            schemas=list(SERVICES),
        )
    assert {tuple(row) for row in found} == columns()
