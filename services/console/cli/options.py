"""The options that many commands share, each said once: --json, --actor, --reason, --data, --billing-company, --limit, dates."""

import getpass
import json
import os
from collections.abc import Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any

import typer


def read_date(text: str | date) -> date:
    """An ISO date, or wrong use."""
    if isinstance(text, date):
        return text
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not a date such as 2026-10-31") from error


def read_decimal(text: str | Decimal) -> Decimal:
    """A decimal, or wrong use."""
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise typer.BadParameter(f"{text!r} is not a decimal such as 38.5") from error
    if not value.is_finite():
        raise typer.BadParameter(f"{text!r} is not a decimal such as 38.5")
    return value


def must_be_one_of(words: Sequence[str], word: str | None, option: str) -> None:
    """A word, if there is one, that is none of these is wrong use."""
    if word is not None and word not in words:
        raise typer.BadParameter(f"{word!r} is not one of {', '.join(words)}", param_hint=option)


def read_json(file: Path, option: str | None = None) -> Any:
    """What a JSON file holds, or wrong use."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise typer.BadParameter(f"{file} is not JSON: {error}", param_hint=option) from error


def login_name() -> str:
    """Who is at the keyboard."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"


AsJson = Annotated[
    bool, typer.Option("--json", help="One JSON document on stdout; messages on stderr.")
]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Data folder of the stack (else BACKOFFICE_DATA, else .backoffice).",
        show_default=False,
    ),
]
Actor = Annotated[
    str,
    typer.Option(
        "--actor",
        metavar="NAME",
        help="Who asks (default: the login name).",
        show_default=False,
        callback=lambda name: name or login_name(),
    ),
]
Reason = Annotated[
    str,
    typer.Option("--reason", metavar="TEXT", help="Why; kept in the history.", show_default=False),
]
Company = Annotated[
    str,
    typer.Option(
        "--billing-company", metavar="ID", help="The billing company.", show_default=False
    ),
]
AnyCompany = Annotated[
    str | None,
    typer.Option(
        "--billing-company", metavar="ID", help="Only this billing company.", show_default=False
    ),
]
Limit = Annotated[
    int, typer.Option("--limit", min=1, max=1_000_000, metavar="N", help="At most so many rows.")
]
CutOff = Annotated[
    date,
    typer.Option(
        "--cut-off",
        parser=read_date,
        metavar="DATE",
        help="The cut-off date (time group date).",
        show_default=False,
    ),
]
Groups = Annotated[
    list[str] | None,
    typer.Option(
        "--group",
        metavar="TIME_GROUP",
        help="Only this batch group (`none`: debtors without one); may be repeated.",
        show_default=False,
    ),
]
Excluded = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude-debtor",
        metavar="ACCOUNT_NAME",
        help="Leave this debtor for a later batch; may be repeated.",
        show_default=False,
    ),
]
MissingTimesheets = Annotated[
    str | None,
    typer.Option(
        "--missing-timesheets",
        metavar="wait|bill|wait:N",
        help="In place of each debtor's own rule; needs --reason.",
        show_default=False,
    ),
]
Timeout = Annotated[
    float,
    typer.Option("--timeout", min=0.1, metavar="SECONDS", help="How long to wait for the answer."),
]
LONG_SECONDS = 3_600.0
"""How long a batch may take before we stop waiting for its answer; it goes on without us."""
