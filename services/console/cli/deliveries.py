"""`backoffice deliveries list|show|retry|resync|adopt|mark-posted`: what became of each document in the accounting systems."""

from pathlib import Path
from typing import Annotated, Any

import typer

from services.console.cli.options import Actor, AsJson, Data, Limit, Reason, must_be_one_of
from services.console.cli.output import Column, screen_for
from services.console.cli.send_command import ask, ask_all, read_books, said_by

app = typer.Typer(help="Documents on their way to the accounting systems.", no_args_is_help=True)
STATES = ("queued", "sending", "posted", "unknown", "refused")
LIST = [
    Column("ledger"),
    Column("invoice_number", "number"),
    Column("document_type", "type"),
    Column("account_name", most=40),
    Column("total", figures=True),
    Column("currency", ""),
    Column("state"),
    Column("remote_number", "there"),
    Column("attempts", figures=True),
    Column("code"),
    Column("message", most=400),
]
ATTEMPTS = [
    Column("attempt_no", "", figures=True),
    Column("ended_at", "at"),
    Column("steps"),
    Column("state"),
    Column("duration_ms", "ms", figures=True),
    Column("code"),
    Column("message", most=400),
]
Number = Annotated[
    str, typer.Argument(metavar="NUMBER", help="Number of the invoice or credit note.")
]
Ledger = Annotated[
    str | None,
    typer.Option(
        "--ledger",
        metavar="NAME",
        help="Which ledger; needed where a document goes to several.",
        show_default=False,
    ),
]


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(app, name="deliveries")


@app.command("list")
def list_deliveries(
    ledger: Ledger = None,
    state: Annotated[str | None, typer.Option(metavar="|".join(STATES), show_default=False)] = None,
    batch: Annotated[str | None, typer.Option("--batch", metavar="ID", show_default=False)] = None,
    limit: Limit = 100,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """List deliveries, the newest first, with why those that wait or are refused do."""
    must_be_one_of(STATES, state, "--state")
    with screen_for(as_json) as screen:
        from services.console.client.deliveries import deliveries

        rows, total = read_books(
            data, lambda connection: deliveries(connection, ledger, state, batch, limit)
        )
        screen.document({"deliveries": rows, "total": total})
        screen.table(rows, LIST, empty="no delivery: `backoffice batch sync ID` queues a batch")
        screen.shortened(len(rows), total)


@app.command("show")
def show_delivery(
    number: Number, ledger: Ledger = None, as_json: AsJson = False, data: Data = None
) -> None:
    """Show one: where it stands, every attempt, and the request as it is sent."""
    with screen_for(as_json) as screen:
        found = _delivery(data, number, ledger)
        screen.document(found)
        screen.facts(
            {
                name: value
                for name, value in found.items()
                if name not in ("attempts_made", "request", "delivery_id")
            }
        )
        screen.table(found["attempts_made"], ATTEMPTS, title="attempts", empty="not tried yet")
        if found["request"]:
            screen.say("request", "bold")
            screen.say(found["request"][:4000])


def _delivery(data: Path | None, number: str, ledger: str | None) -> dict[str, Any]:
    from services.console.client.deliveries import delivery

    return dict(read_books(data, lambda connection: delivery(connection, number, ledger)))


@app.command()
def retry(
    numbers: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NUMBER]...", help="Numbers of documents.", show_default=False),
    ] = None,
    refused: Annotated[
        bool,
        typer.Option("--refused", help="All that are refused, of one ledger or code if named."),
    ] = False,
    code: Annotated[
        str | None,
        typer.Option(
            "--code", metavar="CODE", help="With --refused: only of this code.", show_default=False
        ),
    ] = None,
    ledger: Ledger = None,
    actor: Actor = "",
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Try refused deliveries again, after the fix. The ledger is looked at before anything is sent."""
    if bool(numbers) == refused:
        raise typer.BadParameter("name documents, or say --refused")
    with screen_for(as_json) as screen:
        from services.console.client.deliveries import refused_numbers
        from shared.events.commands import RetryDelivery

        if refused:
            pairs = read_books(data, lambda connection: refused_numbers(connection, ledger, code))
        else:
            pairs = [
                (_delivery(data, number, ledger)["ledger"], number) for number in numbers or []
            ]
        if not pairs:
            screen.document({"results": []})
            screen.say("no delivery is refused")
            return
        who = said_by(actor, reason)
        commands = [
            RetryDelivery.model_validate(
                {
                    **who,
                    "command_id": f"{who['command_id']}-{at}",
                    "ledger": one,
                    "invoice_number": number,
                }
            )
            for at, (one, number) in enumerate(pairs)
        ]
        ask_all(screen, data, commands)


@app.command()
def resync(
    number: Number,
    ledger: Ledger = None,
    actor: Actor = "",
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Look a document up in the ledger again, and deliver it anew if it is not there."""
    with screen_for(as_json) as screen:
        from shared.events.commands import ResyncDelivery

        where = _delivery(data, number, ledger)["ledger"]
        ask(
            screen,
            data,
            ResyncDelivery.model_validate(
                {**said_by(actor, reason), "ledger": where, "invoice_number": number}
            ),
        )


@app.command()
def adopt(
    number: Number,
    remote_id: Annotated[
        str, typer.Option("--remote-id", metavar="ID", help="Its id in the ledger.")
    ],
    ledger: Ledger = None,
    actor: Actor = "",
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Take a document that stands in the ledger for ours, though it differs or somebody else made it."""
    with screen_for(as_json) as screen:
        from shared.events.commands import AdoptDelivery

        where = _delivery(data, number, ledger)["ledger"]
        ask(
            screen,
            data,
            AdoptDelivery.model_validate(
                {
                    **said_by(actor, reason),
                    "ledger": where,
                    "invoice_number": number,
                    "remote_id": remote_id,
                }
            ),
        )


@app.command("mark-posted")
def mark_posted(
    number: Number,
    remote_number: Annotated[
        str | None,
        typer.Option(
            "--remote-number", metavar="N", help="Its number in the ledger.", show_default=False
        ),
    ] = None,
    ledger: Ledger = None,
    actor: Actor = "",
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Say that a person entered the document in the ledger: it is not sent."""
    with screen_for(as_json) as screen:
        from shared.events.commands import MarkPosted

        where = _delivery(data, number, ledger)["ledger"]
        ask(
            screen,
            data,
            MarkPosted.model_validate(
                {
                    **said_by(actor, reason),
                    "ledger": where,
                    "invoice_number": number,
                    "remote_number": remote_number,
                }
            ),
        )
