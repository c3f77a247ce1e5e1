"""`backoffice deliveries list|show|retry|resync|adopt|mark-posted`: documents in the accounting
systems.
"""

from typing import Annotated, Any

import typer

from services.console.cli.command import Run, command
from services.console.cli.options import Limit, must_be_one_of, option
from services.console.cli.output import Column
from services.console.columns.deliveries import DELIVERIES

app = typer.Typer(help="Deliveries of documents to accounting systems.", no_args_is_help=True)
STATES = ("queued", "sending", "posted", "unknown", "refused")
ATTEMPTS = [
    Column("attempt_no", "", ids=True),
    Column("ended_at", "at"),
    Column("steps"),
    Column("state"),
    Column("duration_ms", "ms", figures=True),
    Column("code"),
    Column("message", most=400),
]
MAX_REQUEST = 4_000
Number = Annotated[
    str, typer.Argument(metavar="NUMBER", help="Number of the invoice or credit note.")
]
Ledger = Annotated[
    str | None,
    option("The ledger; needed where a document goes to several.", "--ledger", metavar="NAME"),
]


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(app, name="deliveries")


@command(app, "list")
def list_deliveries(
    run: Run,
    ledger: Ledger = None,
    state: Annotated[str | None, typer.Option(metavar="|".join(STATES), show_default=False)] = None,
    batch: Annotated[str | None, typer.Option("--batch", metavar="ID", show_default=False)] = None,
    limit: Limit = 100,
) -> None:
    """List deliveries, the newest first, with the reason of each that waits or is refused."""
    must_be_one_of(STATES, state, "--state")
    from services.console.queries.deliveries import deliveries

    rows, total = run.read(deliveries, ledger, state, batch, limit)
    found = [row | {"message": row["message"] or row.get("waits", "")} for row in rows], total
    empty = "no delivery; to queue a batch: backoffice batch sync ID"
    run.page("deliveries", *found, DELIVERIES, empty)


@command(app, "show")
def show_delivery(
    run: Run,
    number: Number,
    raw: Annotated[
        bool, typer.Option("--raw", help="Show what the ledger answered, word for word.")
    ] = False,
    ledger: Ledger = None,
) -> None:
    """Show a delivery: its state, every attempt, and the request as it is sent."""
    found = _delivery(run, number, ledger)
    if not raw:
        for attempt in found["attempts_made"]:
            del attempt["raw"]
    run.document(found)
    shown_separately = ("attempts_made", "request", "delivery_id")
    run.facts({name: value for name, value in found.items() if name not in shown_separately})
    run.table(found["attempts_made"], ATTEMPTS, title="attempts", empty="no attempt yet")
    for attempt in found["attempts_made"] if raw else ():
        run.say(f"answer to attempt {attempt['attempt_no']}", "bold")
        run.say(attempt["raw"] or "none is kept")
    if found["request"]:
        run.say("request", "bold")
        run.say(found["request"][:MAX_REQUEST])


def _delivery(run: Run, number: str, ledger: str | None) -> dict[str, Any]:
    from services.console.queries.deliveries import delivery

    return run.read(delivery, number, ledger)


@command(app, sends=True)
def retry(
    run: Run,
    numbers: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NUMBER]...", help="Numbers of documents.", show_default=False),
    ] = None,
    refused: Annotated[
        bool,
        typer.Option("--refused", help="All refused deliveries, of one ledger or code if named."),
    ] = False,
    code: Annotated[
        str | None, option("With --refused: only of this code.", "--code", metavar="CODE")
    ] = None,
    unapplied: Annotated[
        bool,
        typer.Option(
            "--unapplied", help="Post credit notes although their invoices are not in the ledger."
        ),
    ] = False,
    ledger: Ledger = None,
) -> None:
    """Retry refused deliveries after the fix. The ledger is searched before anything is sent."""
    if bool(numbers) == refused:
        raise typer.BadParameter("name documents, or give --refused")
    from services.console.queries.deliveries import refused_numbers

    if refused:
        pairs = run.read(refused_numbers, ledger, code)
    else:
        pairs = [(_delivery(run, number, ledger)["ledger"], number) for number in numbers or []]
    if not pairs:
        run.document({"results": []})
        run.say("no delivery is refused")
        return
    run.send_each(
        [
            run.new_command("retry-delivery", ledger=one, invoice_number=no, unapplied=unapplied)
            for one, no in pairs
        ]
    )


def _send(run: Run, name: str, number: str, ledger: str | None, **fields: Any) -> None:
    """Sends a command about one delivery; its ledger is looked up if it is not given."""
    where = _delivery(run, number, ledger)["ledger"]
    run.send(name, ledger=where, invoice_number=number, **fields)


@command(app, sends=True)
def resync(run: Run, number: Number, ledger: Ledger = None) -> None:
    """Search the ledger for a document again, and deliver it again if it is missing."""
    _send(run, "resync-delivery", number, ledger)


@command(app, sends=True)
def adopt(
    run: Run,
    number: Number,
    remote_id: Annotated[
        str, typer.Option("--remote-id", metavar="ID", help="Its id in the ledger.")
    ],
    ledger: Ledger = None,
) -> None:
    """Accept a document of the ledger as ours, although it differs or was entered by hand."""
    _send(run, "adopt-delivery", number, ledger, remote_id=remote_id)


@command(app, "mark-posted", sends=True)
def mark_posted(
    run: Run,
    number: Number,
    remote_number: Annotated[
        str | None, option("Its number in the ledger.", "--remote-number", metavar="N")
    ] = None,
    ledger: Ledger = None,
) -> None:
    """Record that a person entered the document in the ledger, so that it is not sent."""
    _send(run, "mark-posted", number, ledger, remote_number=remote_number)
