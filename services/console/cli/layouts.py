"""`backoffice layouts check|fields`: files that say how a CSV of documents looks."""

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from services.console.cli.command import Run, command
from services.console.cli.options import file_argument, option
from services.console.columns.layouts import COLUMNS, FIELDS_SHOWN, ROWS, field_rows

app = typer.Typer(help="Layouts: how a CSV of documents looks.", no_args_is_help=True)


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(app, name="layouts")


@command(app)
def check(
    run: Run,
    file: Annotated[Path, file_argument("A layout, as for `batch download`.", "FILE.toml")],
    batch: Annotated[
        str | None, option("Also try it with the documents of this batch.", metavar="ID")
    ] = None,
) -> None:
    """Read a layout and name all that is wrong with it; write nothing."""
    from services.console.files import layout_in

    layout = layout_in(file)
    columns = [{"heading": c.heading, "field": c.field, "text": c.text} for c in layout.columns]
    found: dict[str, Any] = {"rows": layout.rows, "columns": columns}
    if batch is not None:
        found["totals"] = _tried(run, file, batch)
    run.document(found)
    run.table(columns, COLUMNS, title=f"a row for each {ROWS[layout.rows]}")
    fits = f", and batch {batch} fits it" if batch else ""
    run.say(f"{file.name} is right{fits}; nothing was written")


def _tried(run: Run, file: Path, batch_id: str) -> list[dict[str, Any]]:
    """The control totals of the files that it would make of a batch."""
    from services.console.cli.downloads import Wanted, control_totals, save_files
    from services.console.queries.batches import batch

    with tempfile.TemporaryDirectory() as folder:
        wanted = Wanted("csv", Path(folder) / "files", layout=file)
        _, saved = save_files(run, lambda connection: batch(connection, batch_id), wanted)
    return control_totals(saved)


@command(app)
def fields(run: Run) -> None:
    """List what a column may hold, and in which rows."""
    rows = field_rows()
    run.document({"fields": rows})
    run.table(rows, FIELDS_SHOWN)
