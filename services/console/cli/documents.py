"""`backoffice documents held|retry`, `publish` and `republish`: documents that wait, and saying things on the topics."""

from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from services.console.cli.options import Actor, AnyCompany, AsJson, Data, Limit, Reason, read_date
from services.console.cli.output import Column, finish, screen_for
from services.console.cli.send_command import ask, ask_all, read_books, said_by

app = typer.Typer(help="Timesheets and placements that wait for something.", no_args_is_help=True)
HELD = [
    Column("document_kind", "kind"),
    Column("document_id", "document", most=40),
    Column("revision", figures=True),
    Column("billing_company"),
    Column("held_since", "since"),
    Column("code"),
    Column("message", most=600),
]
SAYING = ("fee_realizer", "invoicer", "scheduler")
Kind = Annotated[
    str | None,
    typer.Option(
        "--kind", metavar="timesheet|placement", help="Kind of the document.", show_default=False
    ),
]


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(app, name="documents")
    backoffice.command()(publish)
    backoffice.command()(republish)


@app.command("held")
def held(
    billing_company: AnyCompany = None,
    limit: Limit = 100,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """List documents that wait, with what they wait for. They go on by themselves when it arrives."""
    with screen_for(as_json) as screen:
        from services.console.client.lines import held_documents

        rows, total = read_books(
            data, lambda connection: held_documents(connection, billing_company, limit)
        )
        screen.document({"documents": rows, "total": total})
        screen.table(rows, HELD, empty="no document is held")
        screen.shortened(len(rows), total)


@app.command("retry")
def retry(
    document: Annotated[
        str | None,
        typer.Argument(
            metavar="[DOCUMENT]",
            help="One document; without it all that are held.",
            show_default=False,
        ),
    ] = None,
    kind: Kind = None,
    actor: Actor = "",
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Price held documents again."""
    with screen_for(as_json) as screen:
        from shared.events.commands import RetryDocument

        which = (
            {"document_id": document, "document_kind": kind or _kind_of(data, document)}
            if document
            else {}
        )
        ask(
            screen,
            data,
            RetryDocument.model_validate({**said_by(actor, reason), **which}),
            600.0,
            show=lambda result: screen.facts(result.details),
        )


def publish(
    topic: Annotated[
        str, typer.Argument(metavar="TOPIC", help="Name without prefix, e.g. timesheet-approved.")
    ],
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE.jsonl", exists=True, dir_okay=False, show_default=False),
    ] = None,
    tombstone: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="Instead of a file: close this key of a compacted topic.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Publish each line of a file as a record, as the ATS would; the key is taken from the body. A line that is not JSON goes out as it is."""
    if (file is None) == (tombstone is None):
        raise typer.BadParameter("give either FILE.jsonl or --tombstone KEY")
    with screen_for(as_json) as screen:
        from services.console.client.addresses import find_addresses
        from services.console.client.kafka_client import Client
        from services.console.client.records import file_records
        from shared.broker.topics import FLOW

        known = [each.name for each in FLOW]
        if topic not in known:
            screen.refuse(
                "unknown_topic", f"there is no topic {topic}", f"say one of {', '.join(known)}"
            )
        records = [(tombstone, None)] if file is None else file_records(topic, file)

        async def work() -> int:
            async with Client(find_addresses(data).kafka) as client:
                with screen.progress(f"publishing on {topic}") as told:
                    return await client.publish(topic, records, lambda sent: told(sent, sent))

        number = finish(work())
        screen.document({"topic": topic, "published": number})
        screen.say(
            f"{number:,} record(s) published on {topic}; see how far the services are with `backoffice lag`"
        )


def republish(
    document: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="All that was said of this timesheet or placement.",
            show_default=False,
        ),
    ] = None,
    kind: Kind = None,
    since: Annotated[
        date | None,
        typer.Option(
            parser=read_date,
            metavar="DATE",
            help="All that was said since this date.",
            show_default=False,
        ),
    ] = None,
    service: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only what this service says; may be repeated."),
    ] = None,
    actor: Actor = "",
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Say again what was said. Nothing changes: whoever heard it knows it as a repeat."""
    if (document is None) == (since is None):
        raise typer.BadParameter("give either --document or --since")
    with screen_for(as_json) as screen:
        from shared.events.commands import Republish

        which: dict[str, Any] = {"since": since}
        if document is not None:
            which = {"document_id": document, "document_kind": kind or _kind_of(data, document)}
        services = service or (SAYING if document is None else SAYING[:2])
        # A service outside the list is wrong use; the model says which there are.
        commands = [
            Republish.model_validate({**said_by(actor, reason), "service": name, **which})
            for name in services
        ]
        # A document that is on no invoice has nothing to be said by the invoicer: no reason to fail.
        ask_all(screen, data, commands, 600.0, one_will_do=not service)


def _kind_of(data: Path | None, document_id: str | None) -> str:
    """Whether an id is a timesheet's or a placement's, as the books know it."""
    from services.console.client.explained import kinds_of
    from shared.errors import Refused

    kinds = read_books(data, lambda connection: kinds_of(connection, document_id or ""))
    if not kinds:
        raise Refused(
            "unknown_document",
            f"no document {document_id} is known",
            "look at its id, or at `backoffice lag` and `backoffice dead-letters list`",
        )
    if len(kinds) > 1:
        raise Refused(
            "ambiguous_document",
            f"{document_id} is the id of a {' and of a '.join(kinds)}",
            "say which with --kind",
        )
    return kinds[0]
