"""`backoffice documents held|retry`, `publish` and `republish`: documents that wait, and records
on topics.
"""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.console.cli.command import Run, command
from services.console.cli.options import AnyCompany, Limit, option, parsed, read_date
from services.console.cli.output import Column, finish

if TYPE_CHECKING:
    from shared.broker.security import KafkaAccess

app = typer.Typer(help="Source documents that wait.", no_args_is_help=True)
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
WAIT_SECONDS = 120.0
Kind = Annotated[
    str | None,
    option(
        "Kind of the document: timesheet, placement, charge, retainer or assignment.",
        "--kind",
        metavar="KIND",
    ),
]


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(app, name="documents")
    command(backoffice, timeout=WAIT_SECONDS)(publish)
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
    wait: Annotated[
        bool,
        typer.Option(
            "--wait", help="Wait until the services have read all; show the results of commands."
        ),
    ] = False,
) -> None:
    """Publish each line of a file as a record, as an ATS does; the key is taken from the body.

    A line that is not JSON is published unchanged. With --wait, exit 1 if a command is refused or
    cannot be read, or if something is not read after --timeout seconds.
    """
    if (file is None) == (tombstone is None):
        raise typer.BadParameter("give either FILE.jsonl or --tombstone KEY")
    from services.console.actions.kafka_client import Client
    from services.console.actions.record_keys import file_records
    from services.console.addresses import find_addresses
    from shared.broker.topics import FLOW, OPERATOR_COMMANDS

    known = [each.name for each in FLOW]
    if topic not in known:
        run.refuse("unknown_topic", f"there is no topic {topic}", f"use one of {', '.join(known)}")
    records = [(tombstone, None)] if file is None else file_records(topic, file)
    kafka = find_addresses(run.data).kafka
    if wait and file is not None and topic == OPERATOR_COMMANDS.name:
        _publish_commands(run, kafka, list(records))
        return

    async def work() -> int:
        async with Client(kafka, signer=run.signer) as client:
            with run.progress(f"publishing on {topic}") as progress:
                return await client.publish(topic, records, lambda sent: progress(sent, sent))

    number = finish(work())
    if wait:
        _wait_until_read(run, kafka, topic, number)
        return
    run.document({"topic": topic, "published": number})
    run.say(f"{number:,} record(s) published on {topic}; to see the lag: backoffice lag")


def _wait_until_read(run: Run, kafka: "KafkaAccess", topic: str, number: int) -> None:
    """Waits until every service that reads the topic has read what was published."""
    from aiokafka.errors import KafkaError

    from shared.broker.topics import full_name
    from shared.consumer.lag import groups_of, wait_until_read
    from shared.errors import Unavailable

    groups = {group: of for group, of in groups_of().items() if of == full_name(topic)}
    try:
        rows = finish(wait_until_read(kafka, groups, seconds=run.timeout, until_now=True))
    except KafkaError as error:
        raise Unavailable(
            f"{number:,} record(s) were published on {topic}; Kafka at {kafka} does not say whether"
            f" they are read ({type(error).__name__}): see `backoffice lag`"
        ) from error
    behind = {row.group: row.behind for row in rows if row.behind}
    run.document({"topic": topic, "published": number, "behind": sum(behind.values())})
    if behind:
        run.no(
            "behind",
            f"{number:,} record(s) published on {topic}; {', '.join(behind)} did not read all"
            f" within {run.timeout:g} s",
            "see whether the workers are ready with `backoffice status`; to wait again:"
            " backoffice lag --wait",
        )
    run.say(f"{number:,} record(s) published on {topic} and read")


def _publish_commands(
    run: Run, kafka: "KafkaAccess", records: "list[tuple[str | None, bytes | None]]"
) -> None:
    """Publishes commands and shows their results. Refuses a record that is no command first."""
    from pydantic import ValidationError

    from services.console.actions.kafka_client import Client
    from shared.broker.topics import OPERATOR_COMMANDS
    from shared.events.billing import CommandResult
    from shared.events.commands import OPERATOR_COMMAND, AnyCommand

    commands: list[AnyCommand] = []
    for number, (_, value) in enumerate(records, 1):
        try:
            commands.append(OPERATOR_COMMAND.validate_json(value or b""))
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            run.refuse(
                "unreadable_command",
                f"nothing was published: record {number} of the file is no command"
                f" ({': '.join(filter(None, (where, first['msg'])))})",
                "correct it; without --wait it is published and becomes a dead letter",
            )

    async def work() -> list[CommandResult]:
        async with Client(kafka, run.aside, run.signer) as client:
            return await client.send_all(commands, run.timeout, records)

    results = finish(work())
    run.show_results(results, topic=OPERATOR_COMMANDS.name, published=len(records))


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
