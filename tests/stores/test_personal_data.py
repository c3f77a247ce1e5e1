"""The list of personal data knows every column of text that the database has."""

from shared.database import rows
from tests.conftest import EngineOf
from tests.contracts.personal_data import SERVICES, columns


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
