"""The page of one command: waiting, carried out, or refused with what to do."""

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from services.console.web.pages import OpenPage
from services.console.web.signing_in import local_path
from shared.events.commands.base import ServiceName

router = APIRouter()


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
    )
