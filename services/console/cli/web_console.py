"""`backoffice console link|password|sign-ins|sessions|end-sessions`: who is signed in, and how."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from services.console.cli.command import Run, command
from services.console.cli.options import login_name, option
from services.console.cli.output import finish
from services.console.columns.access import SESSIONS, SIGN_INS
from shared.terms import counted

if TYPE_CHECKING:
    from services.console.sessions.store import SessionStore

app = typer.Typer(help="Sign in to the web console, and see who did.", no_args_is_help=True)
LOCAL = "this machine"
"""Where the command line is, in the record of sign-ins."""
Result = TypeVar("Result")
Person = Annotated[
    str,
    option("Who signs in (default: the login name of this user).", "--person", metavar="PERSON"),
]


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(app, name="console")


@command(app)
def link(
    run: Run,
    person: Person = "",
    address: Annotated[
        str,
        option("Where browsers reach the console (default: that of the stack).", metavar="URL"),
    ] = "",
) -> None:
    """Print a link that signs a person in to the web console: once, within 10 minutes.

    It needs the password of the login console_session, which only this user can read.
    """
    who = person or login_name()
    place = (address or _address(run)).rstrip("/")
    token = _with_sessions(run, lambda sessions: sessions.new_link(who))
    url = f"{place}/sign-in/link/{token}"
    run.document({"person": who, "url": url})
    run.say(url)


@command(app)
def password(
    run: Run,
    person: Annotated[str, typer.Argument(metavar="PERSON")],
    file: Annotated[
        Path | None,
        option("File with the password (default: type it).", "--password-file", metavar="FILE"),
    ] = None,
) -> None:
    """Set the password with which a person signs in to the web console; his sessions end."""
    if file is None:
        text = typer.prompt("password", hide_input=True, confirmation_prompt=True)
    else:
        text = file.read_text(encoding="utf-8").strip("\r\n")
    _with_sessions(run, lambda sessions: sessions.set_password(person, text))
    run.document({"person": person})
    run.say(f"{person} signs in with this password from now on")


@command(app, "sign-ins")
def sign_ins(
    run: Run, limit: Annotated[int, option("How many at most.", min=1, metavar="N")] = 100
) -> None:
    """List sign-ins and refused ones, the newest first: who, from where, and how."""
    found = _with_sessions(run, lambda sessions: sessions.sign_ins(limit))
    run.document({"sign_ins": found})
    run.table(found, SIGN_INS, empty="no sign-in yet; get a link with `backoffice console link`")


@command(app)
def sessions(
    run: Run,
    person: Annotated[str | None, option("Only his.", "--person", metavar="PERSON")] = None,
) -> None:
    """List sessions of the web console that have not ended, the last used first."""
    found = _with_sessions(run, lambda store: store.sessions(person))
    run.document({"sessions": found})
    run.table(found, SESSIONS, empty="no one is signed in to the web console")


@command(app, "end-sessions")
def end_sessions(
    run: Run,
    person: Annotated[str, typer.Argument(metavar="PERSON")],
    session: Annotated[
        str | None, option("Only this one (default: all).", "--session", metavar="ID")
    ] = None,
) -> None:
    """End sessions of a person in the web console: he has to sign in again."""
    ended = _with_sessions(
        run, lambda store: store.end_sessions(person, login_name(), LOCAL, session)
    )
    run.document({"person": person, "ended": ended})
    run.say(f"{counted(ended, 'session')} of {person} ended")


def _address(run: Run) -> str:
    """The address of the console that the stack started. Refused if there is none."""
    from services.console.addresses import data_folder
    from shared.errors import Refused
    from shared.stack import status
    from shared.stack.ports import HOST
    from shared.stack.workers import WEB_CONSOLE

    folder = data_folder(run.data)
    for worker in status(folder)["workers"]:
        if worker["service"] == WEB_CONSOLE and worker["alive"]:
            return f"http://{HOST}:{worker['port']}"
    raise Refused(
        "no_console",
        f"no web console runs on {folder}",
        "start it with `backoffice up --detach`, or name its address with --address",
    )


def _with_sessions(run: Run, work: "Callable[[SessionStore], Awaitable[Result]]") -> Result:
    from services.console.addresses import find_addresses
    from services.console.sessions.store import SessionStore

    async def done() -> Result:
        sessions = SessionStore(find_addresses(run.data).database_url)
        try:
            await sessions.prepare()
            return await work(sessions)
        finally:
            await sessions.close()

    return finish(done())
