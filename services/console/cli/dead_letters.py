"""`backoffice dead-letters list|show|replay|discard`: records that a service could not read."""

import json
from pathlib import Path
from typing import Annotated

import typer

from services.console.cli.command import Run, command
from services.console.cli.options import Limit, must_be_one_of, option
from services.console.cli.output import Column

app = typer.Typer(help="Records that a service could not read.", no_args_is_help=True)
DEAD_LETTERS = [
    Column("service"),
    Column("dead_letter_id", "id", ids=True),
    Column("topic"),
    Column("partition", "part", ids=True),
    Column("offset", ids=True),
    Column("state"),
    Column("received_at", "received"),
    Column("code"),
    Column("message", most=600),
]
STATES = ("open", "replayed", "discarded", "all")
DeadLetterId = Annotated[int, typer.Argument(metavar="ID")]
Service = Annotated[
    str | None,
    option("The service; needed where two have the number.", "--service", metavar="NAME"),
]


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(app, name="dead-letters")


@command(app, "list")
def list_dead_letters(
    run: Run,
    service: Service = None,
    state: Annotated[str, typer.Option(metavar="|".join(STATES))] = "open",
    limit: Limit = 100,
) -> None:
    """List dead letters with the reason of each."""
    must_be_one_of(STATES, state, "--state")
    from services.console.queries.dead_letters import dead_letters

    found = run.read(dead_letters, service, None if state == "all" else state, limit)
    empty = "no dead letter" if state == "all" else f"no dead letter is {state}"
    run.page("dead_letters", *found, DEAD_LETTERS, empty)


@command(app, "show")
def show_dead_letter(run: Run, dead_letter: DeadLetterId, service: Service = None) -> None:
    """Show a dead letter: why, from which record, and the record's fields without their values."""
    from services.console.queries.dead_letters import dead_letter as read_dead_letter

    found = run.read(read_dead_letter, dead_letter, service)
    run.document(found)
    run.facts({name: value for name, value in found.items() if name != "value"})
    run.say("record, values hidden", "bold")
    run.say(json.dumps(found["value"], indent=2, ensure_ascii=False))
    if found["state"] == "open":
        which = f"{dead_letter} --service {found['service']}"
        run.say(
            f"to fix it: backoffice dead-letters replay {which} [--value FILE];"
            f" to drop it: backoffice dead-letters discard {which} --reason TEXT",
            "dim",
        )


@command(app, sends=True)
def replay(
    run: Run,
    dead_letter: DeadLetterId,
    service: Service = None,
    value: Annotated[
        Path | None,
        option(
            "The fixed record, one JSON object.",
            metavar="FILE",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
) -> None:
    """Process the record again, as it was or fixed."""
    try:
        text = None if value is None else value.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{value} is not UTF-8", param_hint="--value") from error
    owner = _owner(run, dead_letter, service)
    run.send("replay-dead-letter", service=owner, dead_letter_id=dead_letter, value=text)


@command(app, sends=True)
def discard(run: Run, dead_letter: DeadLetterId, service: Service = None) -> None:
    """Drop the record for good. Needs --reason."""
    owner = _owner(run, dead_letter, service)
    run.send("discard-dead-letter", service=owner, dead_letter_id=dead_letter)


def _owner(run: Run, dead_letter: int, service: str | None) -> str:
    """The service that has the dead letter, also where the operator did not name it."""
    from services.console.queries.dead_letters import dead_letter as read_dead_letter

    return str(run.read(read_dead_letter, dead_letter, service)["service"])
