"""The logins of PostgreSQL: each can do its work and nothing else, shown by attempts of its own.

Tables, columns and views come from the catalog, so a new one is attempted by every login. A table
of a service only grows unless it is named here.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from shared.errors import Refused
from shared.logins import (
    AUDITOR,
    CONSOLE,
    LOGINS,
    OWNER,
    SERVICES,
    SESSIONS,
    address_of,
    connect,
    plain_dsn,
)
from shared.stack import logins as of_stack
from shared.stack.postgres import PostgresServer
from tests.conftest import as_superuser, run_sql

SCHEMAS = (*SERVICES, "console", "public")

# What a service may change and delete of its own, by table. Everything else is only inserted.
WHOLE = "*"
CHANGED = {
    **dict.fromkeys((f"{one}.outbox" for one in SERVICES), WHOLE),
    **dict.fromkeys((f"{one}.stopped_partition" for one in SERVICES), WHOLE),
    **dict.fromkeys(
        (f"{one}.dead_letter" for one in SERVICES),
        "state closed_by closed_reason closed_at record_key record_value headers",
    ),
    **dict.fromkeys((f"{one}.command" for one in SERVICES), "body"),  # of a forgotten worker
    "fee_realizer.source_revision": "body",
    "fee_realizer.billing_company": WHOLE,
    "fee_realizer.self_billing_agreement": WHOLE,
    "fee_realizer.tax_rate": WHOLE,
    "fee_realizer.requirement": WHOLE,
    "fee_realizer.requirement_status": WHOLE,
    "fee_realizer.rate_version": "until_book",
    "fee_realizer.catalog_item": WHOLE,
    "fee_realizer.assignment": "version realized_version next_due",
    "fee_realizer.assignment_occurrence": "revision withdrawn",
    "fee_realizer.retainer": WHOLE,
    "fee_realizer.retainer_use": WHOLE,
    "fee_realizer.worker": WHOLE,
    "fee_realizer.source_document": WHOLE,
    "fee_realizer.pricing_queue": WHOLE,
    "fee_realizer.engagement": WHOLE,
    "fee_realizer.supplier": WHOLE,
    "fee_realizer.placed_engagement": WHOLE,
    "fee_realizer.business_date": WHOLE,
    "invoicer.settled_document": WHOLE,
    "invoicer.billto_node": WHOLE,
    "invoicer.debtor_terms": WHOLE,
    "invoicer.invoice_detail": "detail",  # of a forgotten worker
    "invoicer.time_group": WHOLE,
    "invoicer.snooze": WHOLE,
    "invoicer.invoice_option": WHOLE,
    "invoicer.country_grouping": WHOLE,
    "invoicer.fee": WHOLE,
    "invoicer.fee_tiers": WHOLE,
    "invoicer.opening_volume": WHOLE,
    "invoicer.person": WHOLE,
    "invoicer.program_key": WHOLE,
    "invoicer.number_series": "next_number last_date",
    "invoicer.parked_debtor": "code message ids billed_in_batch",
    "arg_sync.connection": WHOLE,
    "arg_sync.mail": WHOLE,
    "arg_sync.mail_account": WHOLE,
    "arg_sync.reminder_settings": WHOLE,
    "arg_sync.reminder_hold": WHOLE,
    "arg_sync.mapping": WHOLE,
    "arg_sync.delivery": WHOLE,
    "arg_sync.call_pacing": WHOLE,
    "arg_sync.call_slot": WHOLE,
    "arg_sync.call_count": WHOLE,
    "arg_sync.payment_cursor": WHOLE,
    "arg_sync.reconciliation": WHOLE,
    "arg_sync.ledger_kind": WHOLE,
    "arg_sync.secret": WHOLE,
    "arg_sync.sealing_key": WHOLE,
    "arg_sync.held_command": WHOLE,
    "invoicer.draft": WHOLE,
    "invoicer.draft_line": WHOLE,
    "invoicer.draft_approver": "who",
    "invoicer.rejected_line": WHOLE,
    "arg_sync.customer": WHOLE,
    "arg_sync.mapping_problem": WHOLE,
    "arg_sync.payment": "invoice_id invoice_number currency",
    "arg_sync.drift": "resolved_at",
}
DELETED = {
    *(f"{one}.{table}" for one in SERVICES for table in ("outbox", "stopped_partition")),
    "fee_realizer.requirement_status",
    "fee_realizer.document_fact",
    "fee_realizer.rate_impact",
    "fee_realizer.pricing_queue",
    "fee_realizer.retainer_use",
    "fee_realizer.worker",
    "invoicer.open_line",
    "invoicer.draft_line",
    "invoicer.replaced_draft_line",
    "invoicer.rejected_line",
    "invoicer.snooze",
    "invoicer.role_grant",
    "arg_sync.call_slot",
    "arg_sync.call_count",
    "arg_sync.ledger_kind",
    "arg_sync.secret",
    "arg_sync.held_command",
    "arg_sync.customer",
    "arg_sync.mapping_problem",
    "arg_sync.reminder_settings",
    "arg_sync.reminder_hold",
}
NOT_INSERTED = {"invoicer.installation"}

RELATIONS = """
  SELECT format('%I.%I', n.nspname, c.relname) AS name, n.nspname AS schema,
    c.relkind = 'v' AS view, c.relname LIKE 'console\\_%' AS of_console,
    ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
      AND a.attidentity <> 'a' ORDER BY a.attnum) AS columns
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_'
    AND n.nspname <> 'information_schema'
"""
# The statements that were carried out, or refused for another reason than rights. Nothing stays.
ATTEMPT = """
DO $attempt$
DECLARE statement text; carried_out text[] := '{}';
BEGIN
  FOREACH statement IN ARRAY string_to_array($statements$%s$statements$, chr(10)) LOOP
    BEGIN
      EXECUTE statement;
      carried_out := carried_out || statement;
    EXCEPTION WHEN insufficient_privilege THEN NULL;
      -- a view that takes no change from anyone
      WHEN object_not_in_prerequisite_state OR wrong_object_type
        OR feature_not_supported OR generated_always THEN NULL;
      WHEN OTHERS THEN carried_out := carried_out || statement;
    END;
  END LOOP;
  RAISE EXCEPTION USING ERRCODE = 'TRY00', MESSAGE = array_to_string(carried_out, chr(10));
END $attempt$
"""


@asynccontextmanager
async def connected(login: str) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """A connection of a login to the test's database."""
    connection = await connect(login)
    try:
        yield connection
    finally:
        await connection.close()


async def carried_out(login: str, statements: Sequence[str]) -> set[str]:
    """Those statements for which a login has the right."""
    async with connected(login) as connection:
        with pytest.raises(asyncpg.PostgresError) as attempted:
            await connection.execute(ATTEMPT % "\n".join(statements))
    assert attempted.value.sqlstate == "TRY00", attempted.value
    return set(filter(None, str(attempted.value).split("\n")))


async def relations(database: str) -> list[Any]:
    """Every table and view that is not PostgreSQL's own."""
    connection = await asyncpg.connect(plain_dsn(as_superuser(database)))
    try:
        return list(await connection.fetch(RELATIONS))
    finally:
        await connection.close()


def granted(login: str, relation: Any) -> set[str]:
    """What a login may do to a table or view, but for reading views."""
    name = relation["name"]
    if relation["view"]:
        return set()
    if login == AUDITOR:
        unread = name == "arg_sync.secret" or relation["schema"] not in SERVICES
        return set() if unread else {f"SELECT FROM {name}"}
    if login != relation["schema"]:
        return set()
    allowed = CHANGED.get(name, "")
    columns = relation["columns"] if allowed == WHOLE else allowed.split()
    done = {f"SELECT FROM {name}"}
    done |= set() if name in NOT_INSERTED else {f"INSERT INTO {name} DEFAULT VALUES"}
    done |= {f"UPDATE {name} SET {column} = {column} WHERE false" for column in columns}
    return done | ({f"DELETE FROM {name} WHERE false"} if name in DELETED else set())


@pytest.mark.parametrize("login", LOGINS)
async def test_a_login_changes_nothing_but_its_own(login: str, database: str) -> None:
    """Every table and view, every column: read, insert, update, delete, truncate, disable triggers,
    drop. Closed documents, numbers, payments and history of its own only grow.
    """
    found = await relations(database)
    assert {one["name"] for one in found if one["schema"] in SERVICES} >= {*CHANGED, *DELETED}
    attempts, expected = [], set()
    for one in found:
        name = one["name"]
        attempts += [
            f"INSERT INTO {name} DEFAULT VALUES",
            f"DELETE FROM {name} WHERE false",
            f"TRUNCATE {name}",
            f"ALTER TABLE {name} DISABLE TRIGGER ALL",
            f"DROP {'VIEW' if one['view'] else 'TABLE'} {name}",
            *(f"UPDATE {name} SET {column} = {column} WHERE false" for column in one["columns"]),
        ]
        attempts += [] if one["view"] else [f"SELECT FROM {name}"]
        expected |= granted(login, one)
    assert len(attempts) > 1000
    assert await carried_out(login, attempts) == expected


async def test_the_console_reads_its_views_and_nothing_else(database: str) -> None:
    """Each `console_*` view, no other view, no table; the sessions' login reads none of them."""
    attempts = {f"SELECT FROM {one['name']}": one for one in await relations(database)}
    views = {text for text, one in attempts.items() if one["view"] and one["of_console"]}
    assert len(views) > 40
    assert await carried_out(CONSOLE, [*attempts]) == views
    assert await carried_out(SESSIONS, [*attempts]) == set()


def beyond(login: str) -> list[str]:
    """Statements by which a login would become another one, or get beyond the database."""
    others = [one for one in (*LOGINS, OWNER, of_stack.SUPERUSER) if one != login]
    return [
        *(f"SET ROLE {one}" for one in others),
        *(f"SET SESSION AUTHORIZATION {one}" for one in others),
        *(f"ALTER ROLE {one} PASSWORD 'x'" for one in others),
        *(f"GRANT {one} TO {login}" for one in others),
        *(f"CREATE TABLE {one}.mine (x integer)" for one in SCHEMAS if (login, one) != OWN),
        f"ALTER ROLE {login} SUPERUSER",
        f"ALTER ROLE {login} CREATEROLE",
        "CREATE ROLE another",
        "CREATE DATABASE another",
        "CREATE SCHEMA another",
        "CREATE EXTENSION dblink",
        "ALTER SYSTEM SET fsync = off",
        "SET session_replication_role = replica",
        "COPY (SELECT 1) TO PROGRAM 'cat'",
        "COPY (SELECT 1) TO '/tmp/backoffice-copied'",
        "SELECT pg_read_file('PG_VERSION')",
        "SELECT pg_ls_dir('.')",
        "SELECT lo_import('/etc/passwd')",
        "SELECT lo_create(0)",
        "SELECT lo_from_bytea(0, 'x')",
        "SELECT rolpassword FROM pg_authid",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        f" WHERE usename IN ('scheduler', 'console') AND usename <> '{login}'",
        *([] if login == "invoicer" else ["CREATE TEMPORARY TABLE mine (x integer)"]),
    ]


OWN = (SESSIONS, "console")


@pytest.mark.parametrize("login", LOGINS)
async def test_no_login_takes_a_role_or_leaves_the_database(login: str, database: str) -> None:
    """Other roles, passwords, files, programs, new objects: each attempt is refused."""
    done = []
    async with connected(login) as connection, connected("scheduler"), connected("console"):
        for statement in beyond(login):
            with contextlib.suppress(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
                done.append(statement)
        assert done == []
        assert await connection.fetchval("SELECT current_user") == login


async def test_numbers_and_assigned_payments_do_not_change(database: str) -> None:
    """Of the columns that a service must change: a number never gets lower, and a payment stays
    with its invoice.
    """
    await run_sql(
        as_superuser(database),
        "INSERT INTO invoicer.number_series VALUES ('acme', 'A', 1, 5, NULL)",
        "INSERT INTO arg_sync.connection (ledger, kind, billing_company, settings, auto_sync,"
        " state, actor, connected_at)"
        " VALUES ('l', 'k', 'acme', '{}', false, 'connected', 'a', now())",
        "INSERT INTO arg_sync.payment VALUES ('l', 'p', 'r', 1, 7, 'A1', 5, 'USD', now(), now())",
    )
    async with connected("invoicer") as invoicer, connected("arg_sync") as arg_sync:
        with pytest.raises(asyncpg.RaiseError, match="it takes no lower one"):
            await invoicer.execute("UPDATE invoicer.number_series SET next_number = 4")
        with pytest.raises(asyncpg.RaiseError, match="an entry of the difference"):
            await arg_sync.execute("UPDATE arg_sync.payment SET invoice_id = 8")


async def test_the_sessions_are_those_of_their_login_alone(database: str) -> None:
    """It makes its tables in the schema `console`, and no other login reads them."""
    async with connected(SESSIONS) as sessions:
        await sessions.execute("CREATE TABLE console.session (id text)")
        await sessions.execute("INSERT INTO console.session VALUES ('secret')")
    for login in (*LOGINS, OWNER):
        if login != SESSIONS:
            assert await carried_out(login, ["SELECT FROM console.session"]) == set(), login


@pytest.fixture
def server_of_others() -> Iterator[PostgresServer]:
    """A PostgreSQL without any of our logins, and with an administrator who is no superuser."""
    with tempfile.TemporaryDirectory(prefix="backoffice-tests-", ignore_cleanup_errors=True) as to:
        folder = Path(to)
        folder.chmod(0o755)
        (folder / "logs").mkdir()
        server = PostgresServer(folder, print)
        server.start()
        administration = server.admin_url.replace("/backoffice?", "/postgres?")
        asyncio.run(
            run_sql(
                administration,
                "DROP DATABASE backoffice",
                *(f"DROP ROLE {login}" for login in (OWNER, *LOGINS)),
                "CREATE ROLE dba LOGIN CREATEROLE CREATEDB PASSWORD 'given'",
            )
        )
        yield server
        server.stop()


def migrations(url: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`python -m shared.migrations` with an address."""
    return subprocess.run(
        [sys.executable, "-m", "shared.migrations", *arguments],
        env=os.environ | variables | {"BACKOFFICE_DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_one_command_makes_the_logins_on_a_server_of_others(
    server_of_others: PostgresServer, tmp_path: Path
) -> None:
    """An administrator who is no superuser makes logins and database, with passwords from a
    variable or of passfiles that the command makes; the owner then migrates. Before, the migration
    says what is missing. It may be run again, and takes back a role that was granted.
    """
    server = server_of_others.url.partition("@")[2].partition("/")[0]
    dba = f"postgresql+asyncpg://dba:given@{server}/office"
    folder = tmp_path / "passwords"
    without = migrations(dba, "logins")
    assert "no password is given for backoffice_owner, fee_realizer" in without.stderr
    given = {"DATABASE_PASSWORD_CONSOLE": "of-my-own"}
    for _ in range(2):
        made = migrations(dba, "logins", str(folder), **given)
        assert (made.returncode, made.stderr) == (0, "")
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert not (folder / "console").exists()
    template = f"postgresql+asyncpg://{{login}}@{server}/office?passfile={folder}/{{login}}"
    migrated = migrations(template, "upgrade")
    assert (migrated.returncode, migrated.stderr) == (0, "")

    async def use() -> None:
        for login in LOGINS:
            url = template.replace("@", ":of-my-own@") if login == CONSOLE else template
            connection = await connect(login, url)
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"SET ROLE {OWNER}")
            await connection.close()
        with pytest.raises(asyncpg.InsufficientPrivilegeError):  # borrowed for the command only
            await asyncpg.connect(plain_dsn(dba))
        administrator = await asyncpg.connect(plain_dsn(dba.replace("/office", "/postgres")))
        await administrator.execute("GRANT invoicer TO scheduler")
        await administrator.close()

    asyncio.run(use())
    assert migrations(dba, "logins", str(folder), **given).returncode == 0
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        asyncio.run(run_sql(address_of("scheduler", template), "SET ROLE invoicer"))


def test_an_address_of_another_login_is_refused() -> None:
    """A worker never runs with a login that may do more than its own, such as a superuser."""
    with pytest.raises(Refused, match=r"connects to PostgreSQL as invoicer; .* names postgres"):
        address_of("invoicer", "postgresql+asyncpg://postgres@db/backoffice")
    assert address_of("invoicer", "postgresql+asyncpg://{login}@db/b?passfile=/p/{login}") == (
        "postgresql+asyncpg://invoicer@db/b?passfile=/p/invoicer"
    )


def test_migrations_name_the_logins_that_are_missing(server_of_others: PostgresServer) -> None:
    """And the command that makes them."""
    asyncio.run(
        run_sql(
            server_of_others.admin_url.replace("/backoffice?", "/postgres?"),
            f"CREATE ROLE {OWNER} LOGIN PASSWORD 'given'",
        )
    )
    server = server_of_others.url.partition("@")[2].partition("/")[0]
    done = migrations(f"postgresql+asyncpg://{OWNER}:given@{server}/postgres")
    assert done.returncode == 1
    assert "the server has no login fee_realizer, " in done.stderr
    assert "python -m shared.migrations logins" in done.stderr
