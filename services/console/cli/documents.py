"""`backoffice documents held|retry`, `publish` and `republish`: documents that wait, and records
on topics.
"""

from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from services.console.cli.command import Run, command
from services.console.cli.options import AnyCompany, Limit, option, parsed, read_date
from services.console.cli.output import Column, finish

app = typer.Typer(help="Timesheets and placements that wait.", no_args_is_help=True)
HELD = [
    Column("document_kind", "kind"),
    Column("document_id", "document", most=40),
    Column("revision", ids=True),
    Column("billing_company"),
    Column("held_since", "since"),
    Column("code"),
    Column("message", most=600),
]
PUBLISHERS = ("fee_realizer", "invoicer", "scheduler")
PRICING_SECONDS = 600.0
Kind = Annotated[
    str | None, option("Kind of the document.", "--kind", metavar="timesheet|placement")
]


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(app, name="documents")
    command(backoffice)(publish)
    command(backoffice, sends=True)(republish)


@command(app)
def held(run: Run, billing_company: AnyCompany = None, limit: Limit = 100) -> None:
    """List the documents that wait, and what each waits for. When it arrives, they continue."""
    from services.console.queries.pay_lines import held_documents

    found = run.read(held_documents, billing_company, limit)
    run.page("documents", *found, HELD, "no document is held")


@command(app, sends=True)
def retry(
    run: Run,
    document: Annotated[
        str | None,
        typer.Argument(
            metavar="[DOCUMENT]", help="One document; else all that are held.", show_default=False
        ),
    ] = None,
    kind: Kind = None,
) -> None:
    """Price held documents again."""
    which = _document(run, document, kind) if document else {}
    run.send("retry-document", show=run.facts, timeout=PRICING_SECONDS, **which)


def publish(
    run: Run,
    topic: Annotated[
        str, typer.Argument(metavar="TOPIC", help="Name without prefix, e.g. timesheet-approved.")
    ],
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE.jsonl", exists=True, dir_okay=False, show_default=False),
    ] = None,
    tombstone: Annotated[
        str | None,
        option("Publish a tombstone of this key instead of a file.", metavar="KEY"),
    ] = None,
) -> None:
    """Publish each line of a file as a record, as an ATS does; the key is taken from the body.

    A line that is not JSON is published unchanged.
    """
    if (file is None) == (tombstone is None):
        raise typer.BadParameter("give either FILE.jsonl or --tombstone KEY")
    from services.console.actions.kafka_client import Client
    from services.console.actions.record_keys import file_records
    from services.console.addresses import find_addresses
    from shared.broker.topics import FLOW

    known = [each.name for each in FLOW]
    if topic not in known:
        run.refuse("unknown_topic", f"there is no topic {topic}", f"use one of {', '.join(known)}")
    records = [(tombstone, None)] if file is None else file_records(topic, file)

    async def work() -> int:
        async with Client(find_addresses(run.data).kafka) as client:
            with run.progress(f"publishing on {topic}") as progress:
                return await client.publish(topic, records, lambda sent: progress(sent, sent))

    number = finish(work())
    run.document({"topic": topic, "published": number})
    run.say(f"{number:,} record(s) published on {topic}; to see the lag: backoffice lag")


def republish(
    run: Run,
    document: Annotated[
        str | None, option("All messages about this timesheet or placement.", metavar="ID")
    ] = None,
    kind: Kind = None,
    since: Annotated[
        date | None, parsed(read_date, "All messages since this date.", metavar="DATE")
    ] = None,
    service: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only messages of this service; may be repeated."),
    ] = None,
) -> None:
    """Publish messages again. Nothing changes: consumers ignore a message that they have seen."""
    if (document is None) == (since is None):
        raise typer.BadParameter("give either --document or --since")
    which: dict[str, Any] = {"since": since}
    if document is not None:
        which = _document(run, document, kind)
    services = service or (PUBLISHERS if document is None else PUBLISHERS[:2])
    # A service outside the list is wrong use; the model names the services that there are.
    commands = [run.new_command("republish", service=name, **which) for name in services]
    # The invoicer has no message about a document that is on no invoice: no reason to fail.
    run.send_each(commands, PRICING_SECONDS, one_is_enough=not service)


def _document(run: Run, document_id: str, kind: str | None) -> dict[str, str]:
    """The fields that name a document. Its kind is looked up if it is not given."""
    from services.console.queries.document_ids import kinds_of
    from shared.errors import Refused

    if kind:
        return {"document_id": document_id, "document_kind": kind}
    kinds = run.read(kinds_of, document_id)
    if not kinds:
        raise Refused(
            "unknown_document",
            f"no document {document_id} is known",
            "check its id, or see `backoffice lag` and `backoffice dead-letters list`",
        )
    if len(kinds) > 1:
        raise Refused(
            "ambiguous_document",
            f"{document_id} is the id of a {' and of a '.join(kinds)}",
            "name one with --kind",
        )
    return {"document_id": document_id, "document_kind": kinds[0]}
