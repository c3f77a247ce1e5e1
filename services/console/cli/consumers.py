"""`backoffice consumers list|skip|resume`: partitions that a worker does not read on."""

from typing import Annotated, Any

import typer

from services.console.cli.command import Run, command
from services.console.cli.options import option
from services.console.columns.monitoring import STOPPED

app = typer.Typer(help="Partitions that a worker does not read on.", no_args_is_help=True)
Topic = Annotated[str, typer.Argument(metavar="TOPIC")]
Service = Annotated[
    str | None,
    option("The service; default all whose worker stopped there.", "--service", metavar="NAME"),
]


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(app, name="consumers")


@command(app, "list")
def list_stopped(run: Run) -> None:
    """List the partitions that a worker does not read on, and why."""
    from services.console.queries.consumers import stopped_partitions

    found = run.read(stopped_partitions)
    run.document({"stopped": found})
    run.table(found, STOPPED)
    if not found:
        run.say("no partition is stopped")


@command(app, sends=True)
def skip(
    run: Run,
    topic: Topic,
    partition: Annotated[int, typer.Argument(metavar="PARTITION")],
    to: Annotated[
        int | None,
        option("The first offset to read; default behind what can't be decoded.", metavar="OFFSET"),
    ] = None,
    service: Service = None,
) -> None:
    """Read a stopped partition on behind what can't be decoded. Needs --reason."""
    run.send_each(
        [
            run.new_command(
                "skip-records",
                service=stop["service"],
                topic=topic,
                partition=partition,
                to_offset=stop["following"] if to is None else to,
            )
            for stop in _stopped(run, topic, partition, service)
        ],
    )


@command(app, sends=True)
def resume(run: Run, topic: Topic, service: Service = None) -> None:
    """Read the stopped partitions of a topic again where they stopped. Needs --reason."""
    services = {stop["service"] for stop in _stopped(run, topic, None, service)}
    run.send_each(
        [run.new_command("resume-consumer", service=one, topic=topic) for one in sorted(services)]
    )


def _stopped(
    run: Run, topic: str, partition: int | None, service: str | None
) -> list[dict[str, Any]]:
    """The stopped partitions that are meant; exits 1 if there is none."""
    from services.console.queries.consumers import stopped_partitions

    found = [
        stop
        for stop in run.read(stopped_partitions)
        if stop["topic"] == topic
        and partition in (None, stop["partition"])
        and service in (None, stop["service"])
    ]
    if not found:
        which = topic if partition is None else f"partition {partition} of {topic}"
        run.refuse(
            "not_stopped",
            f"{service or 'every service'} reads {which}",
            "see `backoffice consumers list`",
        )
    return found
