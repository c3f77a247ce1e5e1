"""The logins and their database, made by an administrator; migrations make no login.

`python -m shared.migrations logins FOLDER` does it on a server of one's own, the stack on the
servers that it starts. It may be run again: it sets the passwords and takes from the logins what
they must not have.
"""

import base64
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from shared.errors import Refused
from shared.logins import CONSOLE, LOGINS, OWNER, SESSIONS, connect_to
from shared.private_files import write_private

ALL = (OWNER, *LOGINS)
DATABASE = "backoffice"
MAINTENANCE = "postgres"
"""The database from which another one is made."""
PASSWORD = "DATABASE_PASSWORD_"
"""With the name of a login in capitals: the environment variable with its password."""
ITERATIONS = 4096
TEMPORARY_TABLES = "invoicer"
"""The login that needs them: a batch selects its lines in temporary tables."""

ROLES = """\
DO $$
DECLARE one record; names text[] := ARRAY[{names}];
BEGIN
  FOR one IN SELECT unnest(names) AS login LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = one.login) THEN
      EXECUTE format('CREATE ROLE %I', one.login);
    END IF;
  END LOOP;
  FOR one IN SELECT rolname AS login FROM pg_roles WHERE rolname = ANY(names)
    AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls) LOOP
    EXECUTE format('ALTER ROLE %I NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS',
      one.login);
  END LOOP;
  -- No login may take the role of another.
  FOR one IN SELECT r.rolname AS taken, m.rolname AS login FROM pg_auth_members a
    JOIN pg_roles r ON r.oid = a.roleid JOIN pg_roles m ON m.oid = a.member
    WHERE r.rolname = ANY(names) AND m.rolname = ANY(names || ARRAY['{earlier}']) LOOP
    EXECUTE format('REVOKE %I FROM %I CASCADE', one.taken, one.login);
  END LOOP;
END $$;
"""
EARLIER = "backoffice"
"""One login for all services, in an earlier version; it might take each role."""
NEW_DATABASE = (
    "CREATE DATABASE {database} OWNER {owner} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'"
    " LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"
)
"""Names sort alike everywhere: the locale is PostgreSQL's own."""
GRANTS = """\
REVOKE ALL ON DATABASE {database} FROM PUBLIC;
GRANT CONNECT ON DATABASE {database} TO {logins};
GRANT TEMPORARY ON DATABASE {database} TO {temporary};
"""
CONTENT = f"""\
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION lo_creat(integer), lo_create(oid), lo_from_bytea(oid, bytea) FROM PUBLIC;
CREATE SCHEMA IF NOT EXISTS {CONSOLE} AUTHORIZATION {SESSIONS};
"""
BORROW = f"""\
DO $$ BEGIN
  IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = CURRENT_USER) THEN
    GRANT {OWNER}, {SESSIONS} TO CURRENT_USER;
  END IF;
END $$;
"""
"""An administrator who is no superuser hands over only what is his own while he makes it."""
GIVE_BACK = BORROW.replace("GRANT", "REVOKE").replace(" TO ", " FROM ")


def read_password(passfile: Path) -> str:
    """Return the password of a passfile of one line; make both if there is none (0600)."""
    if not passfile.exists():
        write_private(passfile, f"*:*:*:{passfile.name}:{secrets.token_urlsafe(32)}\n")
    fields = re.findall(r"((?:\\.|[^:\\])*)(?::|$)", passfile.read_text().strip())
    return re.sub(r"\\(.)", r"\1", fields[4] if len(fields) > 4 else "")


def verifier(password: str) -> str:
    """Return what the server stores of a password (scram-sha-256): no statement, log or statistic
    of the server shows the password itself. Raises `Refused` for an empty one or other than ASCII.
    """
    if not (password and password.isascii() and password.isprintable()):
        raise Refused(
            "password_unusable",
            "a password of a login is empty or has other characters than ASCII",
            "write printable ASCII, or let this command make the password",
        )
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    coded = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return "SCRAM-SHA-256${}:{}${}:{}".format(ITERATIONS, *coded)


def roles_script(passwords: Mapping[str, str]) -> str:
    """Return the statements that make the logins of a server and set their passwords."""
    names = ", ".join(f"'{login}'" for login in passwords)
    return ROLES.format(names=names, earlier=EARLIER) + "".join(
        f"ALTER ROLE {login} LOGIN PASSWORD '{verifier(password)}';\n"
        for login, password in passwords.items()
    )


def grants_script(database: str) -> str:
    """Return the statements that say who may connect to a database."""
    return GRANTS.format(
        database=quoted(database), logins=", ".join(LOGINS), temporary=TEMPORARY_TABLES
    )


def new_database(database: str) -> str:
    """Return the statement that makes the database, owned by the login of the migrations."""
    return NEW_DATABASE.format(database=quoted(database), owner=OWNER)


def quoted(name: str) -> str:
    """Return a name as an identifier of SQL."""
    return '"{}"'.format(name.replace('"', '""'))


def find_passwords(folder: Path | None) -> dict[str, str]:
    """Return the password of each login: from its variable, else from its passfile in the folder,
    which is made if it is missing. Raises `Refused` for logins with neither.
    """
    found = {login: os.environ.get(f"{PASSWORD}{login.upper()}", "") for login in ALL}
    missing = [login for login, password in found.items() if not password]
    if missing and folder is None:
        raise Refused(
            "passwords_missing",
            f"no password is given for {', '.join(missing)}",
            f"name a folder, in which a passfile is made for each, or set {PASSWORD}NAME for each",
        )
    return found | {login: read_password(Path(folder or "") / login) for login in missing}


async def make_logins(address: str, folder: Path | None) -> None:
    """Make logins and database with the address of an administrator: a superuser, or a login with
    CREATEROLE and CREATEDB. Raises `Refused` for missing passwords, else the driver's error.
    """
    passwords = find_passwords(folder)
    parts = urlsplit(address)
    database = unquote(parts.path[1:]) or DATABASE
    server = await connect_to(parts._replace(path=f"/{MAINTENANCE}").geturl())
    try:
        await server.execute(roles_script(passwords) + BORROW)
        exists = "SELECT FROM pg_database WHERE datname = $1"
        if await server.fetchrow(exists, database) is None:
            await server.execute(new_database(database))
        await server.execute(f"ALTER DATABASE {quoted(database)} OWNER TO {OWNER}")
        await server.execute(grants_script(database))
        content = await connect_to(parts._replace(path=f"/{quote(database)}").geturl())
        try:
            await content.execute(CONTENT)
        finally:
            await content.close()
    finally:
        await server.execute(GIVE_BACK)
        await server.close()
