"""`backoffice dead-letters list|show|replay|discard`: records that nobody could read."""

import json
from pathlib import Path
from typing import Annotated

import typer

from services.console.cli.options import Actor, AsJson, Data, Limit, Reason, must_be_one_of
from services.console.cli.output import Column, screen_for
from services.console.cli.send_command import ask, read_books, said_by

app = typer.Typer(help="Records that nobody could read.", no_args_is_help=True)
LETTERS = [
    Column("service"),
    Column("dead_letter_id", "id", figures=True),
    Column("topic"),
    Column("partition", "part", figures=True),
    Column("offset", figures=True),
    Column("state"),
    Column("received_at", "received"),
    Column("code"),
    Column("message", most=600),
]
STATES = ("open", "replayed", "discarded", "all")
LetterId = Annotated[int, typer.Argument(metavar="ID")]
OfService = Annotated[
    str | None,
    typer.Option(
        "--service",
        metavar="NAME",
        help="Whose dead letter; needed where two have the number.",
        show_default=False,
    ),
]


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(app, name="dead-letters")


@app.command("list")
def list_letters(
    service: OfService = None,
    state: Annotated[str, typer.Option(metavar="|".join(STATES))] = "open",
    limit: Limit = 100,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """List dead letters with the reason of each."""
    must_be_one_of(STATES, state, "--state")
    with screen_for(as_json) as screen:
        from services.console.client.dead_letters import dead_letters

        rows, total = read_books(
            data,
            lambda connection: dead_letters(
                connection, service, None if state == "all" else state, limit
            ),
        )
        screen.document({"dead_letters": rows, "total": total})
        screen.table(
            rows,
            LETTERS,
            empty="no dead letter" if state == "all" else f"no dead letter is {state}",
        )
        screen.shortened(len(rows), total)


@app.command("show")
def show_letter(
    dead_letter: LetterId, service: OfService = None, as_json: AsJson = False, data: Data = None
) -> None:
    """Show one: why, where it came from, and the shape of the record with its values hidden."""
    with screen_for(as_json) as screen:
        from services.console.client.dead_letters import dead_letter as letter_of

        found = read_books(data, lambda connection: letter_of(connection, dead_letter, service))
        screen.document(found)
        screen.facts({name: value for name, value in found.items() if name != "value"})
        screen.say("record, values hidden", "bold")
        screen.say(json.dumps(found["value"], indent=2, ensure_ascii=False))
        if found["state"] == "open":
            screen.say(
                f"fix it: backoffice dead-letters replay {dead_letter} --service {found['service']} [--value FILE]; or set it aside:"
                f" backoffice dead-letters discard {dead_letter} --service {found['service']} --reason TEXT",
                "dim",
            )


@app.command()
def replay(
    dead_letter: LetterId,
    service: OfService = None,
    value: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="The fixed record, one JSON object.",
            show_default=False,
        ),
    ] = None,
    actor: Actor = "",
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Read it again, as it was or fixed. It then counts as if it had been good the first time."""
    with screen_for(as_json) as screen:
        from shared.events.commands import ReplayDeadLetter

        try:
            text = None if value is None else value.read_text(encoding="utf-8").strip()
        except UnicodeDecodeError as error:
            raise typer.BadParameter(f"{value} is not UTF-8", param_hint="--value") from error
        owner = _owner(data, dead_letter, service)
        ask(
            screen,
            data,
            ReplayDeadLetter.model_validate(
                {
                    **said_by(actor, reason),
                    "service": owner,
                    "dead_letter_id": dead_letter,
                    "value": text,
                }
            ),
        )


@app.command()
def discard(
    dead_letter: LetterId,
    service: OfService = None,
    actor: Actor = "",
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Set it aside for good. Needs --reason."""
    with screen_for(as_json) as screen:
        from shared.events.commands import DiscardDeadLetter

        owner = _owner(data, dead_letter, service)
        ask(
            screen,
            data,
            DiscardDeadLetter.model_validate(
                {**said_by(actor, reason), "service": owner, "dead_letter_id": dead_letter}
            ),
        )


def _owner(data: Path | None, dead_letter: int, service: str | None) -> str:
    """Whose dead letter it is; found in the books where the operator did not say."""
    from services.console.client.dead_letters import dead_letter as letter_of

    return str(
        read_books(data, lambda connection: letter_of(connection, dead_letter, service))["service"]
    )
