"""What the imports of CSV files share: refuse wrong lines, send the others, show the results."""

from pathlib import Path
from typing import TYPE_CHECKING

from services.console.cli.command import Run
from services.console.cli.time_groups import refuse_wrong_lines

if TYPE_CHECKING:
    from services.console.importing.command_lines import CommandLines
    from services.console.importing.csv_rows import Problems


def send_lines(
    run: Run,
    file: Path,
    lines: "CommandLines",
    problems: "Problems",
    *,
    check: bool = False,
    what: str = "lines",
) -> None:
    """Sends the command of each line, unless a line is wrong or the file is only to be checked.

    A refused line ends with exit 1. `what`: what the commands are about, in messages.
    """
    refuse_wrong_lines(run, file, problems)
    if check:
        run.document({what: len(lines), "problems": []})
        run.say(f"{len(lines):,} {what} of {file} are right; nothing was sent")
        return
    results = run.send_all([command for _, command in lines])
    by_line = [(line, result) for (line, _), result in zip(lines, results, strict=True)]
    documents = [{"line": line} | result.model_dump(mode="json") for line, result in by_line]
    run.document({"results": documents})
    refused = [(line, result) for line, result in by_line if result.outcome == "refused"]
    for line, result in refused:
        run.aside(f"{file.name}, line {line}: {result.message}", "red")
    run.say(f"{len(results) - len(refused):,} of {len(results):,} {what} of {file} accepted")
    if refused:
        run.no(refused[0][1].code, f"{len(refused):,} {what} were refused", refused[0][1].fix)
