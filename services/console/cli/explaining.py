"""`backoffice why`, `why-not` and `history`: why a line is what it is, why something is not billed, and who did what."""

from datetime import date
from typing import Annotated, Any

import typer

from services.console.cli.options import Actor, AsJson, Data, Limit, Reason, read_date
from services.console.cli.output import Column, Screen, fact, screen_for
from services.console.cli.send_command import ask, read_books, said_by

HISTORY = [
    Column("at"),
    Column("actor"),
    Column("what", most=40),
    Column("outcome"),
    Column("reason", most=40),
    Column("message", most=400),
]


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.command()(why)
    backoffice.command("why-not")(why_not)
    backoffice.command()(history)


def why(
    pay_line: Annotated[int, typer.Argument(metavar="LINE", help="Id of a pay line.")],
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Explain a pay line: document, statement, rate version, how it was computed, and who pays."""
    with screen_for(as_json) as screen:
        from services.console.client.why import why as explain

        found = read_books(data, lambda connection: explain(connection, pay_line))
        screen.document(found)
        _show_why(screen, found)


def _show_why(screen: Screen, found: dict[str, Any]) -> None:
    line, document, billto = found["line"], found["document"], found["billto"]
    screen.say(
        f"pay line {found['pay_line_id']} of {found['billing_company']}: {line['description']}",
        "bold",
    )
    about = {
        "worth": f"{fact(line['quantity'])} {line['unit']} × {fact(line['unit_price'])} → {fact(line['amount'])} {line['currency']}",
        "effective": f"{line['effective_date']}, service {line['service_from']} to {line['service_to']}",
        "is": _where(found["place"]),
        "document": f"{document['document_kind']} {document['document_id']}, sheet {document['source_id']} revision {document['revision']}",
        "statement": f"{document['realization_no']} ({document['cause']})",
        "line key": document["line_key"],
        "rate": _rate(found["rate"]) if found["rate"] else "",
    }
    screen.facts(about)
    screen.say("computed as", "bold")
    screen.facts(found["derivation"])
    screen.say("billed to", "bold")
    if billto.get("corrects_invoice"):
        screen.say(
            f"{billto['account_name']}, as {billto['as']}: {billto['corrects_invoice']} line {billto['corrects_line']}"
        )
    elif billto["account_name"] is None:
        screen.say(f"nobody: {billto['as']} ({billto['node']})", "yellow")
    else:
        screen.say(
            f"{billto['account_name']}: {billto['level']} {billto['node']} ({billto['name']}), {billto['as']}"
        )


def _rate(rate: dict[str, Any]) -> str:
    """The rate version with its source and actor, in words."""
    said = f"{rate['rate_version']} of rate book {rate['rate_book']}"
    if rate["source"]:
        said += f", by {'command of ' + fact(rate['actor']) if rate['source'] == 'command' else 'the ATS'}"
    return said + (f", confirmed by {rate['confirmed_by']}" if rate["confirmed_by"] else "")


def _where(place: dict[str, Any]) -> str:
    """Where a line is, in words."""
    if place["is"] == "invoiced":
        tax = f", tax {place['tax_code']} {fact(place['tax_rate'])} %" if place["tax_code"] else ""
        return f"{place['document_type']} {place['invoice_number']} line {place['line_no']}, batch {place['batch_id']}{tax}"
    if place["is"] == "replaced":
        return f"replaced when statement {place['replaced_by_realization']} was settled"
    return str(place["is"])


def why_not(
    what: Annotated[
        str,
        typer.Argument(
            metavar="DOCUMENT|LINE", help="Id of a timesheet or placement, or of a pay line."
        ),
    ],
    cut_off: Annotated[
        date | None,
        typer.Option(
            parser=read_date,
            metavar="DATE",
            help="For a batch with this cut-off (default: today).",
            show_default=False,
        ),
    ] = None,
    is_document: Annotated[
        bool,
        typer.Option("--document", help="It is a document, though it looks like a line's number."),
    ] = False,
    actor: Actor = "",
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Say the one reason why a document or a line is not billed."""
    with screen_for(as_json) as screen:
        from services.console.client.explained import is_line
        from shared.events.commands import Explain

        line = (
            what.isascii()
            and what.isdigit()
            and not is_document
            and read_books(data, lambda connection: is_line(connection, int(what)))
        )
        about: dict[str, Any] = {"pay_line_id": int(what)} if line else {"document_id": what}
        command = Explain(**said_by(actor, reason), **about, cut_off_date=cut_off)
        ask(screen, data, command, show=lambda result: screen.facts(result.details))


def history(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="DOCUMENT|INVOICE|DEBTOR|NUMBER",
            help="Also a batch, a billing company, `pay-line N`, or a command id.",
        ),
    ],
    changes: Annotated[
        bool, typer.Option("--changes", help="Show before and after of each command.")
    ] = False,
    limit: Limit = 200,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Who did what, when and why: commands, accepted or refused, and what happened to the document."""
    with screen_for(as_json) as screen:
        from services.console.client.history import history as entries_of

        entries = read_books(data, lambda connection: entries_of(connection, subject, limit))
        screen.document({"subject": subject, "entries": entries})
        if not changes:
            screen.table(
                entries,
                HISTORY,
                empty=f"nothing is known of {subject}: look at its spelling, or at `backoffice invoices search --text {subject}`",
            )
            return
        for entry in entries:
            names = (
                "at",
                "actor",
                "what",
                "service",
                "outcome",
                "code",
                "reason",
                "message",
                "before",
                "after",
                "command_id",
            )
            screen.facts({name: entry.get(name) for name in names})
            screen.say()
