"""The logins of PostgreSQL: one for each service, its address, and how a process connects with it.

An address holds `{login}` where the name of the login belongs, so that one setting serves every
process, each with a login and a password of its own. An address of one login alone serves that
process alone.
"""

import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from shared.errors import Refused, Unavailable
from shared.settings import database_session, settings

if TYPE_CHECKING:  # the supervisor needs names and addresses only
    import asyncpg

LOGIN = "{login}"
"""What an address has in place of the name of the login."""
OWNER = "backoffice_owner"
"""Owns database and schemas and runs the migrations; no process of a service has it."""
SERVICES = ("fee_realizer", "scheduler", "invoicer", "arg_sync")
CONSOLE, AUDITOR, SESSIONS = "console", "auditor", "console_session"
LOGINS = (*SERVICES, CONSOLE, AUDITOR, SESSIONS)
"""Every login with grants; none may take the role of another."""
CONNECT_SECONDS = 10
OTHER_NAME = (62, 64)
"""OpenSSL's codes: the certificate is valid, but for another host name or IP address."""


def address_of(login: str, given: str = "") -> str:
    """Return the address of a login, from the settings unless `given`.

    Raises `Refused` for an address of another login: a process never works with a login that may do
    more than its own.
    """
    url = (given or settings().database_url).replace(LOGIN, login)
    named = unquote(urlsplit(url).username or "")
    if named != login:
        raise Refused(
            "other_login",
            f"this process connects to PostgreSQL as {login};"
            f" BACKOFFICE_DATABASE_URL names {named or 'no login'}",
            f"write {login}, or {LOGIN} in an address for all processes",
        )
    return url


def plain_dsn(url: str) -> str:
    """Return a SQLAlchemy address as libpq and asyncpg read it; `ssl`, its older name for
    `sslmode`, may be used.
    """
    address = urlsplit(url)
    options = {
        "sslmode" if name == "ssl" else name: value for name, value in parse_qsl(address.query)
    }
    scheme, query = address.scheme.partition("+")[0], urlencode(options, safe="/{}")
    return address._replace(scheme=scheme, query=query).geturl()


def shown(url: str) -> str:
    """Return host, port and database of an address, which hold no secret."""
    address = urlsplit(url)
    return f"{address.netloc.rpartition('@')[2]}{address.path}"


async def connect(login: str, given: str = "") -> "asyncpg.Connection[Any]":
    """Connect with the login and settings of a process.

    Raises `Refused` for the address of another login, `Unavailable` with what to do if TLS fails or
    the server refuses the login, else the driver's error.
    """
    return await connect_to(address_of(login, given), database_session(login))


async def connect_to(url: str, session: dict[str, str] | None = None) -> "asyncpg.Connection[Any]":
    """Connect with an address and session settings; raises as `connect`."""
    import asyncpg

    try:
        connection: asyncpg.Connection[Any] = await asyncpg.connect(
            plain_dsn(url), timeout=CONNECT_SECONDS, server_settings=session or {}
        )
        return connection
    except asyncpg.InvalidAuthorizationSpecificationError as error:
        raise Unavailable(
            f"PostgreSQL at {shown(url)} refuses the login ({error}); check its password"
        ) from error
    except (OSError, ValueError) as error:
        if (why := _tls_failure(error, url)) is None:
            raise
        raise Unavailable(f"PostgreSQL at {shown(url)}: {why}") from error


def _tls_failure(error: Exception, url: str) -> str | None:
    """Say what is wrong with TLS, or None if it is something else."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in OTHER_NAME:
            return (
                f"its certificate is for another host ({error.verify_message});"
                " use a host name that is in the certificate"
            )
        return (
            f"its certificate is not of the CA in sslrootcert ({error.verify_message});"
            " name the file of the CA that signed it"
        )
    if isinstance(error, ssl.SSLError):
        return f"TLS fails ({error.reason or error}); check sslcert and sslkey"
    if isinstance(error, ValueError):
        return f"its address cannot be used ({error})"
    if "rejected SSL upgrade" in str(error):
        return "it has no TLS, which sslmode asks for; turn TLS on in the server"
    if isinstance(error, FileNotFoundError | PermissionError) and "ssl" in urlsplit(url).query:
        return f"sslrootcert, sslcert or sslkey cannot be read ({error.strerror}); fix its path"
    return None
