"""`backoffice ledger map import|list|template|check`: the names of our codes in a ledger."""

import csv
import io
from pathlib import Path
from typing import Annotated, Any

import typer

from services.console.cli.command import ANSWER_SECONDS, Run, command
from services.console.cli.options import file_argument
from services.console.columns.ledgers import PROBLEMS, ROWS

app = typer.Typer(help="The names of our codes in a ledger.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the connection.")]
TEST_SECONDS = 15.0
CHUNK = 5_000
ERRORS_SHOWN = 20


def tested(run: Run, name: str) -> dict[str, Any]:
    """Ask for a test of a connection and wait for its result; exit 1 without one or if it fails."""
    from services.console.queries.deliveries import ledgers
    from services.console.queries.ledger_maps import mapping_of

    run.start("test-ledger", ledger=name)
    (found,) = run.read_until(
        lambda rows: rows[0]["check_outcome"], lambda: run.read(ledgers, name), run.timeout
    )
    outcome, message = found["check_outcome"], found["check_message"]
    mapping = run.read(mapping_of, name)
    state = {"message": message, "state": found["state"], "problems": mapping["problems"]}
    run.document({"ledger": name, "outcome": outcome or "none", **state})
    if not outcome:
        message = f"no worker tested {name} within {run.timeout:.0f} s"
        run.no("no_answer", message, "see whether arg_sync runs with `backoffice status`")
    if outcome != "ok":
        run.no("ledger_unwell", message, f"correct that, or connect {name} with other settings")
    run.say(message)
    run.table(mapping["problems"], PROBLEMS)
    return mapping


@command(app, "import", sends=True)
def import_mapping(
    run: Run,
    file: Annotated[
        Path,
        file_argument("Columns what, code, remote; an empty code is the default.", "FILE.csv"),
    ],
    ledger: Annotated[str, typer.Option("--ledger", metavar="NAME")],
) -> None:
    """Set the names of our codes in a ledger, and show what a test of them finds.

    If a line is wrong, nothing is imported.

    `remote` is the ledger's code, `code` ours. What `what` may be: `account` and `item`, the
    account or item of a line, by catalog item, by time type, by `time` or `product`, or by default;
    `tax`, by tax code; `term`, by payment terms as net:30; `customer`, by Account Name.
    """
    from services.console.importing.mapping import read_mapping
    from services.console.queries.deliveries import ledgers
    from services.console.queries.ledger_maps import mapping_of, unknown_codes

    rows, wrong = read_mapping(file)
    if wrong:
        message = "; ".join(wrong[:ERRORS_SHOWN])
        if len(wrong) > ERRORS_SHOWN:
            message += f"; and {len(wrong) - ERRORS_SHOWN} more"
        run.refuse(
            "mapping_unreadable",
            message,
            "nothing was imported: correct these lines and import the file again",
            {"lines": wrong},
        )
    for note in unknown_codes(run.read(mapping_of, ledger), rows)[:ERRORS_SHOWN]:
        run.aside(note, "yellow")
    results = run.send_all(
        [
            run.new_command("import-mapping", ledger=ledger, rows=rows[at : at + CHUNK])
            for at in range(0, len(rows), CHUNK)
        ]
    )
    if all(each.outcome == "accepted" for each in results):
        # A batch that is generated now relies on the test of the new mapping.
        run.read_until(
            lambda found: found[0]["check_outcome"] or found[0]["state"] == "disconnected",
            lambda: run.read(ledgers, ledger),
            TEST_SECONDS,
        )
    problems = run.read(mapping_of, ledger)["problems"]
    run.show_results(results, problems=problems)
    run.table(problems, PROBLEMS)


@command(app, "list")
def list_mapping(run: Run, name: Name) -> None:
    """Show the mapping of a ledger, with the problems that the last test found."""
    from services.console.queries.ledger_maps import mapping_of

    found = run.read(mapping_of, name)
    run.document({each: found[each] for each in ("ledger", "tested_at", "rows", "problems")})
    empty = f"nothing is mapped: backoffice ledger map template {name}"
    run.table(found["rows"], ROWS, empty=empty)
    bare = [each for each in found["problems"] if not each["remote"]]
    run.table(bare, PROBLEMS)


@command(app)
def template(run: Run, name: Name) -> None:
    """Show the mapping of a ledger as a file to fill in.

    It has what is mapped and, with an empty `remote`, what the billing company has besides: fill in
    or delete these lines.
    """
    from services.console.queries.ledger_maps import mapping_of, template_rows

    rows = template_rows(run.read(mapping_of, name))
    run.document({"ledger": name, "rows": rows})
    text = io.StringIO()
    writer = csv.DictWriter(text, ["what", "code", "remote"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    run.say(text.getvalue().rstrip("\n"))


@command(app, "check", sends=True, timeout=ANSWER_SECONDS)
def check_mapping(run: Run, name: Name) -> None:
    """Check the mapping against the ledger: exit 1 if a code does not exist there, is inactive, is
    of no use for a sales document, or is not mapped.
    """
    from services.console.queries.ledger_maps import unknown_codes

    found = tested(run, name)
    for note in unknown_codes(found, found["rows"])[:ERRORS_SHOWN]:
        run.aside(note, "yellow")
    if found["problems"]:
        run.no(
            "mapping_incomplete",
            f"the mapping of {name} has {len(found['problems'])} problems",
            f"`backoffice ledger map template {name}`, then `backoffice ledger map import`",
        )
