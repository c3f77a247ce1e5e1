"""The logins of a database server that the stack runs, with a generated password each.

A passfile (0600, in libpq's format) holds the password of one login. An address names its passfile,
so no password is in an address, an environment, a process list or the stack's state.

- `postgres`, the superuser: makes the other logins and the database; no worker has it.
- `backoffice_owner`: owns the database and runs the migrations; no superuser.
- `backoffice`: workers and the console; it owns nothing, and may take the services' roles.
"""

import os
import secrets
from pathlib import Path
from urllib.parse import quote

DATABASE = "backoffice"
SUPERUSER = "postgres"
OWNER = "backoffice_owner"
SERVICES = "backoffice"
PASSFILES = "passwords"

ROLE = """\
SELECT 'CREATE ROLE {login}'
  WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{login}') \\gexec
ALTER ROLE {login} LOGIN NOSUPERUSER {options} PASSWORD '{password}';
"""
SCRIPT = """\
SET log_min_error_statement = 'panic';  -- the log shows no password
{owner}{services}
SELECT 'CREATE DATABASE {database} OWNER {owner_name}'
  WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{database}') \\gexec
"""


def passfile(data: Path, login: str) -> Path:
    """Return the path of a login's passfile in the data folder."""
    return data / PASSFILES / login


def password_of(data: Path, login: str) -> str:
    """Return the password of a login; make it with its passfile if there is none."""
    path = passfile(data, login)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        draft = path.with_name(f".{login}.new")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"*:*:*:{login}:{secrets.token_urlsafe(32)}\n")
        draft.rename(path)
    return path.read_text().strip().rpartition(":")[2]


def address(data: Path, login: str, server: str, database: str = DATABASE) -> str:
    """Return the address of a login for SQLAlchemy with asyncpg; `server` is host:port."""
    return (
        f"postgresql+asyncpg://{login}@{server}/{database}"
        f"?passfile={quote(str(passfile(data, login)))}"
    )


def script(data: Path) -> str:
    """Return the input of psql that makes logins and database, and sets the passwords."""
    texts = {
        login: ROLE.format(login=login, options=options, password=password_of(data, login))
        for login, options in ((OWNER, "CREATEROLE"), (SERVICES, "NOCREATEROLE NOINHERIT"))
    }
    return SCRIPT.format(
        owner=texts[OWNER], services=texts[SERVICES], database=DATABASE, owner_name=OWNER
    )
