"""The logins of a database server that the stack runs, with a generated password each.

A passfile (0600, in libpq's format) holds the password of one login. An address names its passfile,
so no password is in an address, an environment, a process list or the stack's state.

`postgres`, the superuser, makes the other logins (`shared.migrations.logins`) and the database at
the start; no other process has it.
"""

from pathlib import Path
from urllib.parse import quote

from shared.logins import LOGIN
from shared.migrations.logins import (
    ALL,
    CONTENT,
    DATABASE,
    EARLIER,
    grants_script,
    new_database,
    read_password,
    roles_script,
)

SUPERUSER = "postgres"
PASSFILES = "passwords"

SCRIPT = """\
{roles}
DROP ROLE IF EXISTS {earlier};
SELECT $${new_database}$$
  WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{database}') \\gexec
{grants}
\\connect {database}
{content}
"""


def passfile(data: Path, login: str) -> Path:
    """Return the path of a login's passfile in the data folder."""
    return data / PASSFILES / login


def password_of(data: Path, login: str) -> str:
    """Return the password of a login; make it with its passfile if there is none."""
    return read_password(passfile(data, login))


def address(data: Path, server: str, login: str = LOGIN, database: str = DATABASE) -> str:
    """Return the address of a login, else of all logins, for SQLAlchemy; `server`: host:port."""
    passfiles = quote(str(data / PASSFILES))
    return f"postgresql+asyncpg://{login}@{server}/{database}?passfile={passfiles}/{login}"


def script(data: Path) -> str:
    """Return the input of psql that makes logins and database, and sets the passwords.

    The login of an earlier version, which might take each role, goes with its passfile.
    """
    passfile(data, EARLIER).unlink(missing_ok=True)
    return SCRIPT.format(
        roles=roles_script({login: password_of(data, login) for login in ALL}),
        earlier=EARLIER,
        new_database=new_database(DATABASE),
        database=DATABASE,
        grants=grants_script(DATABASE),
        content=CONTENT,
    )
