"""A data folder of the version before, with three logins of PostgreSQL, and what becomes of it."""

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from shared.logins import LOGINS, address_of
from shared.stack import logins
from shared.stack.postgres import PostgresServer
from tests.conftest import run_sql

# What the version before made: three logins, of which one might take the role of each service.
OF_BEFORE = """
DROP SCHEMA console;
DO $$ DECLARE name text; BEGIN
  FOREACH name IN ARRAY ARRAY['fee_realizer', 'scheduler', 'invoicer', 'arg_sync', 'console',
      'auditor', 'console_session'] LOOP
    EXECUTE format('REVOKE ALL ON DATABASE backoffice FROM %I', name);
    EXECUTE format('DROP ROLE %I', name);
  END LOOP;
END $$;
CREATE ROLE backoffice LOGIN NOINHERIT PASSWORD 'old';
ALTER ROLE backoffice_owner CREATEROLE;
SET ROLE backoffice_owner;
DO $$ DECLARE name text; BEGIN
  FOREACH name IN ARRAY ARRAY['fee_realizer', 'scheduler', 'invoicer', 'arg_sync', 'console',
      'auditor'] LOOP
    EXECUTE format('CREATE ROLE %I NOLOGIN', name);
    EXECUTE format('GRANT %I TO CURRENT_USER', name);
    EXECUTE format('GRANT %I TO backoffice', name);
  END LOOP;
END $$;
RESET ROLE;
"""


def make_logins_of_before(data: Path, postgres: Any) -> None:
    """The logins and passfiles of a data folder of the version before."""
    asyncio.run(run_sql(postgres.socket_dsn, OF_BEFORE))
    for login in LOGINS:
        logins.passfile(data, login).unlink()
    logins.passfile(data, "backoffice").write_text("*:*:*:backoffice:old\n")
    logins.passfile(data, "backoffice").chmod(0o600)


def check_upgraded(data: Path, postgres: PostgresServer) -> None:
    """A login for each service; none may take another's role, and the one of before is gone."""
    assert asyncio.run(memberships(postgres.socket_dsn)) == 0
    assert not logins.passfile(data, "backoffice").exists()
    with pytest.raises(asyncpg.InvalidPasswordError):
        asyncio.run(run_sql(postgres.url.replace("{login}@", "backoffice:old@"), "SELECT 1"))
    for login in LOGINS:
        address = address_of(login, postgres.url)
        asyncio.run(run_sql(address, "SELECT 1"))
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            asyncio.run(run_sql(address, "SET ROLE backoffice_owner"))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        asyncio.run(run_sql(postgres.owner_url, "CREATE ROLE another"))


async def memberships(superuser: str) -> int:
    """How many logins of ours may take a role."""
    connection = await asyncpg.connect(superuser)
    try:
        found = "SELECT count(*) FROM pg_auth_members WHERE member >= 16384"
        return int(await connection.fetchval(found))
    finally:
        await connection.close()
