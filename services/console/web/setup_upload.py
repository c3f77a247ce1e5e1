"""Set-up by CSV files: what is wrong by line, before anything is sent; then a command for each
line, and what became of each.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from starlette.datastructures import UploadFile

from services.console.actions.commander import command_of_form
from services.console.columns.setup import WRONG_LINES
from services.console.importing.assignments import read_assignments
from services.console.importing.catalog import read_catalog
from services.console.importing.charges import read_charges
from services.console.importing.command_lines import CommandLines
from services.console.importing.csv_rows import Problems
from services.console.importing.files import FILES
from services.console.importing.rates import read_bill_rates, read_tax_rates
from services.console.importing.terms import read_terms
from services.console.queries.commands import command_results
from services.console.web.forms.view import plainly
from services.console.web.pages import FORM_ID, OpenPage, Page
from services.console.web.setup_sections import SECTIONS
from shared.errors import Refused
from shared.events.commands import AnyCommand

router = APIRouter()
RESULT_SECONDS, POLL_SECONDS = 60.0, 0.3
MOST_LINES = 20_000
Reader = Callable[..., tuple[CommandLines, Problems]]
READERS: Mapping[str, tuple[str, Reader, bool]] = {
    "debtors": ("set-debtor-terms", read_terms, True),
    "tax": ("set-billing-company", read_tax_rates, True),
    "rates": ("set-bill-rate", read_bill_rates, False),
    "catalog": ("set-catalog-item", read_catalog, False),
    "charges": ("add-charge", read_charges, True),
    "assignments": ("set-assignment", read_assignments, False),
}
"""By file: the command of its lines, its reader, and whether a billing company is chosen for it."""


@router.get("/setup/upload/{name}")
async def form(page: OpenPage, name: str) -> HTMLResponse:
    """The form, with the columns of the file."""
    return _show(page, name)


@router.get("/setup/upload/{name}/template.csv")
async def template(page: OpenPage, name: str) -> Response:
    """An empty file with every column."""
    _reader(page, name)
    headers = {"content-disposition": f'attachment; filename="{name}.csv"'}
    text = ",".join(FILES[name]) + "\n"
    return PlainTextResponse(text, headers=headers, media_type="text/csv")


@router.post("/setup/upload/{name}")
async def upload(page: OpenPage, name: str) -> HTMLResponse:
    """Read the file; if nothing is wrong, and not only a check was asked for, send its lines."""
    _, read, of_company = _reader(page, name)
    posted = await page.request.form()
    form_id, company = str(posted.get("form_id", "")), str(posted.get("billing_company", ""))
    if not FORM_ID.fullmatch(form_id):
        raise Refused("form_unreadable", "the form has lost its id", "reload")
    if of_company:
        page.require_company(company)
    reason = str(posted.get("reason", ""))
    made = partial(_made, form_id, page.identity.person, reason)
    lines, wrong = await _lines(posted.get("file"), read, made, company if of_company else None)
    if not wrong and len(lines) > MOST_LINES:
        wrong = [{"line": MOST_LINES, "message": f"there are more than {MOST_LINES:,} lines"}]
    if wrong or posted.get("check"):
        says = "" if wrong else f"{len(lines):,} lines are right; nothing was sent."
        return _show(page, name, wrong=wrong, says=says, company=company, reason=reason)
    refused, waiting = await _sent(page, lines)
    says = f"{len(lines) - len(refused) - waiting:,} of {len(lines):,} lines carried out."
    if waiting:
        says += f" {waiting:,} are not carried out yet; they will be."
    return _show(page, name, wrong=refused, says=says, company=company, reason=reason, sent=True)


def _made(form_id: str, actor: str, why: str, name: str, /, **fields: Any) -> AnyCommand:
    """The command of a line: the same for the same form and line."""
    return command_of_form(form_id, name, actor, **{"reason": why} | fields)


async def _lines(
    file: Any, read: Reader, made: Callable[..., AnyCommand], company: str | None
) -> tuple[CommandLines, list[dict[str, Any]]]:
    """The commands of an uploaded file, and what is wrong with it by line."""
    if not isinstance(file, UploadFile) or not file.filename:
        return [], [{"line": 0, "message": "no file was chosen"}]
    folder = Path(tempfile.mkdtemp(prefix="backoffice-upload-"))
    try:
        path = folder / "file.csv"
        with path.open("wb") as copy:
            await asyncio.to_thread(shutil.copyfileobj, file.file, copy)
        more = () if company is None else (company,)
        lines, problems = await asyncio.to_thread(read, path, made, *more)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    first: dict[tuple[int, str], dict[str, Any]] = {}
    for each in problems.shown:  # a value of one of several forms has a problem with each of them
        column, _, _ = each.column.partition(".")
        row = {"line": each.line, "column": column, "message": plainly(each.message)}
        first.setdefault((each.line, column), row)
    wrong = list(first.values())
    if problems.count > len(problems.shown):
        more_wrong = problems.count - len(problems.shown)
        wrong.append({"message": f"and {more_wrong:,} more"})
    return lines, wrong


async def _sent(page: Page, lines: CommandLines) -> tuple[list[dict[str, Any]], int]:
    """Publish the commands; what was refused by line, and how many have no result in time."""
    ids = {command.command_id: line for line, command in lines}
    owner = lines[0][1].owner
    known = await page.read(command_results, owner, list(ids))
    for _, command in lines:
        if command.command_id not in known:
            await page.console.commander.publish(command)
    clock = asyncio.get_running_loop().time
    deadline = clock() + RESULT_SECONDS
    while len(known := await page.read(command_results, owner, list(ids))) < len(ids):
        if clock() > deadline:
            break
        await asyncio.sleep(POLL_SECONDS)
    refused = [
        {"line": ids[each], "column": "", "message": row["message"], "fix": row["fix"]}
        for each, row in known.items()
        if row["outcome"] != "accepted"
    ]
    return sorted(refused, key=lambda row: row["line"]), len(ids) - len(known)


def _reader(page: Page, name: str) -> tuple[str, Reader, bool]:
    """How a file is read. Refused for one that there is not, or whose command he may not send."""
    if name not in READERS:
        raise Refused("unknown_file", f"there is no file {name} to upload", "start from /setup")
    command = READERS[name][0]
    if not page.identity.may_somewhere(command):
        raise Refused(
            "not_permitted",
            f"{command} takes the role {page.identity.who_may(command)}",
            "ask a person with that role",
        )
    return READERS[name]


def _show(
    page: Page,
    name: str,
    *,
    wrong: list[dict[str, Any]] | None = None,
    says: str = "",
    company: str = "",
    reason: str = "",
    sent: bool = False,
) -> HTMLResponse:
    command, _, of_company = _reader(page, name)
    may = {one: title for one, title in page.companies.items() if page.identity.may(command, one)}
    section = next(each for each in SECTIONS if each.upload == name)
    return page.show(
        "setup/upload.html",
        status=400 if wrong else 200,
        sections=SECTIONS,
        section=section,
        name=name,
        columns=[(each, one.explanation) for each, one in FILES[name].items()],
        companies=may if of_company else {},
        company=company or page.company,
        reason=reason,
        wrong=wrong or [],
        wrong_columns=WRONG_LINES,
        says=says,
        sent=sent,
    )
