"""The database roles of the console: it reads its views and nothing else, and changes nothing."""

import pytest
from asyncpg import PostgresError
from sqlalchemy import text

from services.console.queries.snapshot import fetch, open_snapshot
from shared.errors import Unavailable
from tests.conftest import EngineOf
from tests.handlers.test_console_reads import Read, read

__all__ = ["read"]


async def test_the_console_cannot_change_anything(read: Read) -> None:
    """Reads go through a role and a transaction that refuse every write."""
    with pytest.raises(PostgresError, match=r"read-only|permission denied"):
        await read(
            lambda connection: fetch(connection, "DELETE FROM invoicer.open_line RETURNING 1")
        )


RELATIONS = """
  SELECT format('%I.%I', n.nspname, c.relname) AS name,
         c.relname LIKE 'console\\_%' AND c.relkind = 'v' AS console_view,
         has_table_privilege('console', c.oid, 'SELECT') AS console_reads,
         has_table_privilege('auditor', c.oid, 'SELECT') AS auditor_reads,
         has_table_privilege('console', c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
           OR has_table_privilege('auditor', c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') AS writes
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname IN ('fee_realizer', 'scheduler', 'invoicer', 'arg_sync')
    AND c.relkind IN ('r', 'v', 'm', 'p')
"""


async def test_the_console_reads_its_views_and_nothing_else(
    engine_of: EngineOf, database: str
) -> None:
    """Every `console_*` view is readable for the console, no table and no other view is; the
    auditor reads all but secrets; neither writes.
    """
    async with engine_of("owner").connect() as connection:
        relations = (await connection.execute(text(RELATIONS))).mappings().all()
    assert len([one for one in relations if one["console_view"]]) > 40
    assert [one["name"] for one in relations if one["console_reads"] != one["console_view"]] == []
    assert [one["name"] for one in relations if not one["auditor_reads"]] == ["arg_sync.secret"]
    assert not any(one["writes"] for one in relations)
    for name in ("invoicer.invoice", "invoicer.closed_invoice", "fee_realizer.document_state"):
        async with open_snapshot(database) as snapshot:
            with pytest.raises(PostgresError, match="permission denied"):
                await fetch(snapshot, f"SELECT 1 FROM {name}")
        async with engine_of("auditor").connect() as auditor:
            assert (await auditor.execute(text(f"SELECT 1 FROM {name}"))).all() == []


async def test_an_unreachable_database_is_unavailable() -> None:
    """A message with what to do, not a traceback."""
    with pytest.raises(Unavailable, match="the database does not answer"):
        async with open_snapshot("postgresql+asyncpg://console@127.0.0.1:9/backoffice"):
            pass
