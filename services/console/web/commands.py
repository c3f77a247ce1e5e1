"""The page of one command: waiting, carried out, or refused with what to do."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from services.console.columns import Column
from services.console.columns.assignments import OCCURRENCES
from services.console.columns.rates import EFFECT
from services.console.web.pages import OpenPage
from services.console.web.signing_in import local_path
from shared.events.commands.base import ServiceName

router = APIRouter()
TABLES = EFFECT | {"occurrences": ("occurrences", OCCURRENCES)}
"""The tables that results of commands have, by their name in the details."""


def tables_of(details: Mapping[str, Any]) -> list[tuple[str, list[Column], list[Any]]]:
    """The tables of a result: title, columns and rows of each that has some."""
    return [
        (title, columns, details[name])
        for name, (title, columns) in TABLES.items()
        if details.get(name)
    ]


@router.get("/commands/{service}/{command_id}")
async def command(page: OpenPage, service: ServiceName, command_id: str) -> HTMLResponse:
    """What became of a command; without a result the page asks again every second."""
    outcome = await page.result(service, command_id)
    then = page.query("then")
    return page.show(
        "command.html",
        page.block("result"),
        outcome=outcome,
        then=local_path(then) if then else None,
        service=service,
        tables=tables_of(outcome.details),
    )
