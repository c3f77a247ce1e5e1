"""The options that several commands have, and the forms in which values are typed."""

import getpass
import os
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

SHOWN_LENGTH = 100
"""How much of a wrong value a message repeats."""
LONG_SECONDS = 3_600.0
"""How long a command waits for the result of a batch; the batch itself goes on."""


def read_date(text: str | date) -> date:
    """An ISO date, or wrong use."""
    if isinstance(text, date):
        return text
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        shown = f"{text!r}"[:SHOWN_LENGTH]
        raise typer.BadParameter(f"{shown} is not a date such as 2026-10-31") from error


def read_decimal(text: str | Decimal) -> Decimal:
    """A decimal, or wrong use."""
    from shared.json_text import finite_decimal

    try:
        return finite_decimal(text)
    except ValueError as error:
        shown = f"{text!r}"[:SHOWN_LENGTH]
        raise typer.BadParameter(f"{shown} is not a decimal such as 38.5: {error}") from error


def must_be_one_of(words: Sequence[str], word: str | None, option: str) -> None:
    """Wrong use if a word is given that is none of these."""
    if word is not None and word not in words:
        raise typer.BadParameter(f"{word!r} is not one of {', '.join(words)}", param_hint=option)


def read_json(file: Path, option: str | None = None) -> Any:
    """The content of a JSON file of at most 900 kB, or wrong use."""
    from shared.json_text import read_json_text

    try:
        return read_json_text(_read_message(file), unique_keys=True)
    except ValueError as error:
        raise typer.BadParameter(f"{file} is not JSON: {error}", param_hint=option) from error


def read_text(file: Path | None, option: str) -> str | None:
    """The content of a text file of at most 900 kB in UTF-8, or wrong use; None without a file."""
    if file is None:
        return None
    try:
        return _read_message(file)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise typer.BadParameter(f"{file} cannot be read: {reason}", param_hint=option) from error


def _read_message(file: Path) -> str:
    """The content of a file that fits into a message. Raises OSError or ValueError."""
    from shared.events.field_types import MESSAGE_BYTES

    with file.open("rb") as opened:
        content = opened.read(MESSAGE_BYTES + 1)
    if len(content) > MESSAGE_BYTES:
        raise ValueError(f"it is larger than {MESSAGE_BYTES:,} bytes")
    return content.decode()


def login_name() -> str:
    """The login name of the user."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"


def option(help: str, *names: str, metavar: str | None = None, **more: Any) -> Any:
    """An option without a shown default."""
    return typer.Option(*names, metavar=metavar, help=help, show_default=False, **more)


def file_argument(help: str, metavar: str) -> Any:
    """An argument that names a file that exists."""
    return typer.Argument(metavar=metavar, help=help, exists=True, dir_okay=False)


def parsed(parser: Callable[[str], Any], help: str, *names: str, metavar: str, **more: Any) -> Any:
    """An option whose value has a form of its own."""
    return option(help, *names, metavar=metavar, parser=parser, **more)


AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON document; messages go to stderr.")
]
Data = Annotated[
    Path | None,
    option(
        "Data folder of the stack (else BACKOFFICE_DATA, else .backoffice).",
        "--data",
        metavar="DIR",
    ),
]
Actor = Annotated[
    str,
    option(
        "Who asks (default: the program of your key, without one your login name).",
        "--actor",
        metavar="NAME",
    ),
]
Reason = Annotated[str, option("Why; kept in the history.", "--reason", metavar="TEXT")]
Timeout = Annotated[
    float,
    typer.Option("--timeout", min=0.1, metavar="SECONDS", help="How long to wait for the result."),
]
Check = Annotated[bool, typer.Option("--check", help="Read the file and send nothing.")]
Company = Annotated[str, option("The billing company.", "--billing-company", metavar="ID")]
AnyCompany = Annotated[
    str | None, option("Only this billing company.", "--billing-company", metavar="ID")
]
AccountName = Annotated[
    str | None, option("The debtor's Account Name.", "--account-name", "--debtor")
]
Limit = Annotated[
    int, typer.Option("--limit", min=1, max=1_000_000, metavar="N", help="At most N rows.")
]
CutOff = Annotated[
    date,
    parsed(read_date, "The cut-off date (time group date).", "--cut-off", metavar="DATE"),
]
CutOffOrToday = Annotated[
    date | None,
    parsed(read_date, "The cut-off date (default: today there).", "--cut-off", metavar="DATE"),
]
Groups = Annotated[
    list[str] | None,
    option(
        "Only this batch group (`none`: debtors without one); may be repeated.",
        "--group",
        metavar="TIME_GROUP",
    ),
]
Excluded = Annotated[
    list[str] | None,
    option(
        "Leave this debtor for a later batch; may be repeated.",
        "--exclude-debtor",
        metavar="ACCOUNT_NAME",
    ),
]
Documents = Annotated[
    list[str] | None,
    option(
        "Only this timesheet, placement or charge; the rest stays open; may be repeated.",
        "--document",
        metavar="ID",
    ),
]
Options = Annotated[
    list[str] | None,
    option(
        "Only what this invoice option takes; the rest stays open; may be repeated.",
        "--option",
        metavar="NAME",
    ),
]
ExcludeCredits = Annotated[
    bool, typer.Option("--exclude-credits", help="Leave credits for a later batch.")
]
Workers = Annotated[
    list[str] | None,
    option(
        "Only what this worker has, besides each --document; may be repeated.",
        "--worker",
        metavar="ID",
    ),
]
MissingTimesheets = Annotated[
    str | None,
    option(
        "In place of each debtor's own rule; needs --reason.",
        "--missing-timesheets",
        metavar="wait|bill|wait:N",
    ),
]
