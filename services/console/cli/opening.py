"""`backoffice opening import`: what another system billed before, and its last numbers; and
`backoffice export`: what an empty installation can import again.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.console.cli.command import Run, command
from services.console.cli.options import LONG_SECONDS, Check
from services.console.cli.output import Column
from services.console.cli.time_groups import refuse_wrong_lines
from shared.terms import counted

if TYPE_CHECKING:
    from shared.events.commands import AnyCommand

app = typer.Typer(help="What another system billed before.", no_args_is_help=True)


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(app, name="opening")
    command(backoffice, "export")(export_folder)


@command(app, "import", sends=True, timeout=LONG_SECONDS)
def import_opening(
    run: Run,
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="Holds opening-lines.csv, opening-numbers.csv; one may be missing. Columns as in"
            " `backoffice template opening-lines`.",
            exists=True,
            file_okay=False,
        ),
    ],
    check: Check = False,
) -> None:
    """Load billed lines, balances and last numbers. They count as invoiced and are never delivered.

    If a line is wrong, nothing is sent. A second import changes nothing, except that more may be
    paid of a document.
    """
    commands, lines = _read(run, folder)
    found = counted(lines, "line of documents", "lines of documents")
    if check:
        run.document({"lines": lines, "commands": len(commands), "problems": []})
        run.say(f"{found} of {folder} are right; nothing was sent")
        return
    results = run.send_all(commands)
    refused = [result for result in results if result.outcome == "refused"]
    names = ("loaded", "lines", "loaded_before", "payments")
    details = [result.details for result in results if result.command == "load-opening-documents"]
    sums: dict[str, Any] = {name: sum(each.get(name, 0) for each in details) for name in names}
    run.document(sums | {"results": [result.model_dump(mode="json") for result in results]})
    for result in results:
        if result.outcome == "accepted" and result.command == "set-opening-number":
            run.say(result.message)
    run.say(
        f"{counted(sums['loaded'], 'document')} with {counted(sums['lines'], 'line')} loaded,"
        f" {sums['loaded_before']:,} loaded before, {counted(sums['payments'], 'payment')} recorded"
    )
    for result in refused:
        run.aside(result.message, "red")
    if refused:
        run.no(
            refused[0].code,
            f"{len(refused):,} of {len(results):,} parts were refused: {refused[0].message}",
            refused[0].fix,
        )


def export_folder(
    run: Run,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is new or empty.")],
) -> None:
    """Write settings, facts and closed documents to files that an empty data folder can import.

    Timesheets are left out: the ATS sends them again. docs/formats.md has the steps of the import.
    """
    from functools import partial

    from services.console.actions.commands import new_command
    from services.console.importing.export import write_export

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        run.refuse("folder_not_empty", f"{folder} is not an empty folder", "name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    named = partial(new_command, actor=run.actor, reason="imported from an export")
    written = run.read(write_export, folder, named)
    run.document({"folder": str(folder), "lines": written})
    run.table(
        [{"file": file, "lines": lines} for file, lines in written.items()],
        [Column("file"), Column("lines", figures=True)],
    )


def _read(run: Run, folder: Path) -> "tuple[list[AnyCommand], int]":
    """The commands of the folder, and how many lines of documents it has; refuses wrong lines."""
    from services.console.importing.csv_rows import Problems
    from services.console.importing.opening import (
        LINES,
        NUMBERS,
        OPENING_FILES,
        OpeningRows,
        commands_of,
        documents_of,
        read_opening_lines,
        read_opening_numbers,
    )
    from services.console.queries.opening import known_for_opening

    if not any((folder / each).is_file() for each in OPENING_FILES):
        names = " and ".join(OPENING_FILES)
        run.refuse(
            "nothing_to_import", f"{folder} holds neither {names}", "name the folder that holds one"
        )
    commands: list[AnyCommand] = []
    if (folder / NUMBERS).is_file():
        numbers, problems = read_opening_numbers(folder / NUMBERS, run.new_command)
        refuse_wrong_lines(run, folder / NUMBERS, problems)
        commands += [each for _, each in numbers]
    problems, rows = Problems(), OpeningRows()
    if (folder / LINES).is_file():
        rows = read_opening_lines(folder / LINES, problems)
    companies = {company for company, _ in rows.documents}
    known = run.read(
        known_for_opening,
        companies,
        rows.names("account_name"),
        rows.names("requirement_id"),
        rows.occurrences,
    )
    documents = list(documents_of(rows, known, LINES, problems))
    commands += commands_of(documents, run.new_command, LINES, problems)
    refuse_wrong_lines(run, folder, problems)
    return commands, sum(len(each.lines) for _, each in documents)
