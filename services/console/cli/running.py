"""`backoffice up|down|status|lag|verify`: the stack on this machine, consumer lag, and the
checks of the data.
"""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.console.cli.command import Run, command
from services.console.cli.output import Column, Screen, finish
from services.console.columns.monitoring import OFFENDERS, STOPPED
from shared.settings import OPEN
from shared.terms import counted

if TYPE_CHECKING:
    from shared.verify import Report

WAIT_SECONDS = 120.0
MAX_OFFENDERS = 20
"""Rows of each failed check that people see; --json has more."""
LAG = [
    Column("group"),
    Column("topic"),
    Column("partition", "part", ids=True),
    Column("committed", ids=True),
    Column("end", ids=True),
    Column("lag", figures=True),
]
WORKERS = [
    Column("name"),
    Column("pid"),
    Column("alive"),
    Column("ready"),
    Column("port"),
    Column("restarts", figures=True),
    Column("reason", most=120),
    Column("log", most=120),
]
SERVERS = [
    Column("name"),
    Column("kind"),
    Column("alive"),
    Column("why"),
    Column("restarts", figures=True),
    Column("reason", most=120),
    Column("log", most=120),
]


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    for function in (up, down, status, verify):
        command(backoffice)(function)
    command(backoffice, timeout=WAIT_SECONDS)(lag)


def up(
    run: Run,
    detach: Annotated[bool, typer.Option("--detach", help="Leave it running and return.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Empty the data folder first.")] = False,
) -> None:
    """Start Kafka, PostgreSQL and the workers. In the foreground, Ctrl-C stops them."""
    from services.console.addresses import data_folder
    from shared.stack import up as start

    answer = start(data_folder(run.data), fresh=fresh, detach=detach, say=_notes(run))
    run.document(answer)
    if detach:
        _show_status(run, answer)


def down(run: Run) -> None:
    """Stop the stack of the data folder, and processes that an earlier one left behind."""
    from services.console.addresses import data_folder
    from shared.stack import down as stop

    run.document(stop(data_folder(run.data), say=_notes(run)))


def status(run: Run) -> None:
    """Show what runs now. Exit 1 if the stack is not up, or a part of it is not ready."""
    from services.console.addresses import data_folder
    from shared.stack import status as read_status

    answer = read_status(data_folder(run.data))
    wrong = [worker["name"] for worker in answer["workers"] if not worker["ready"]]
    wrong += [name for name, server in answer["servers"].items() if not server["alive"]]
    run.document(answer)
    _show_status(run, answer)
    if not answer["running"]:
        run.no(
            "not_running",
            f"no stack runs on {answer['data']} ({answer['phase']})",
            "start it with `backoffice up --detach`",
        )
    if wrong:
        run.no("not_ready", f"{', '.join(wrong)} not ready", "see the logs named above")


def _notes(screen: Screen) -> Any:
    return screen.aside if screen.as_json else screen.say


def _show_status(screen: Screen, answer: dict[str, Any]) -> None:
    names = ("data", "phase", "kafka", "database_url", "commands", "left_behind")
    facts = {name: answer[name] for name in names}
    if answer["commands"] == OPEN:
        facts["commands"] = f"{OPEN}: unsigned commands are carried out, under any name"
    clients = {f"kafka client {user}": path for user, path in answer["kafka_clients"].items()}
    screen.facts({**facts, **clients})
    servers = [{"name": name, **server} for name, server in answer["servers"].items()]
    screen.table(servers, SERVERS, title="servers")
    screen.table(answer["workers"], WORKERS, title="workers")


def lag(
    run: Run,
    everything: Annotated[
        bool, typer.Option("--all", help="Show every partition, not only those with lag.")
    ] = False,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Wait until nothing is left to read; exit 1 if it still is."),
    ] = False,
) -> None:
    """Show the lag of each worker on each topic (committed -1: nothing committed yet).

    With --wait, exit 1 while a worker is behind after --timeout seconds.
    """
    from aiokafka.errors import KafkaError

    from services.console.addresses import find_addresses
    from shared.consumer.lag import wait_until_read

    kafka = find_addresses(run.data).kafka
    try:
        rows = finish(wait_until_read(kafka, seconds=run.timeout if wait else 0))
    except KafkaError as error:
        run.refuse(
            "unavailable",
            f"Kafka at {kafka} does not answer ({type(error).__name__})",
            "see `backoffice status`",
        )
    names = ("group", "topic", "partition", "committed", "end", "lag", "behind")
    found = [{name: getattr(row, name) for name in names} for row in rows]
    behind = sum(row["behind"] for row in found)
    stopped = _stopped_partitions(run)
    run.document({"groups": found, "behind": behind, "stopped": stopped})
    run.table([row for row in found if row["behind"] or everything], LAG)
    run.table(stopped, STOPPED, title="not read on; see `backoffice consumers`")
    if behind and wait:
        slow = sorted({row["group"] for row in found if row["behind"]})
        run.no(
            "behind",
            f"{behind:,} record(s) are still to be read by {', '.join(slow)} after"
            f" {run.timeout:g} s",
            "see whether the workers are ready with `backoffice status`, or wait longer with"
            " --timeout SECONDS",
        )
    elif behind:
        run.say(f"{behind:,} record(s) to consume")
    else:
        groups = {row["group"] for row in found}
        run.say(f"no lag: all {len(groups)} consumer groups are at the end")


def _stopped_partitions(run: Run) -> list[dict[str, Any]]:
    """The stopped partitions; none where only Kafka can be reached, which has the lag."""
    from services.console.queries.consumers import stopped_partitions
    from shared.errors import Refused, Unavailable

    try:
        return run.read(stopped_partitions)
    except (Refused, Unavailable) as error:
        run.aside(f"stopped partitions are not shown: {error.message}")
        return []


def verify(run: Run) -> None:
    """Check the data: conservation, sums, numbers, seals, each line in one place.

    Exit 1 with the ids that break a check.
    """
    from services.console.addresses import find_addresses
    from services.console.queries.verification import run_checks

    show_report(run, finish(run_checks(find_addresses(run.data).database_url)))


def show_report(screen: Screen, report: "Report") -> None:
    """Shows the result of the checks; a failed check ends with exit 1."""
    screen.document(report.as_dict())
    for fault in report.faults:
        screen.say(f"{fault.check}: {fault.message} ({fault.count:,})", "red")
        shown = fault.offenders[:MAX_OFFENDERS]
        screen.table([{"id": one.id, "detail": one.detail} for one in shown], OFFENDERS)
        screen.shortened(len(shown), fault.count, "--json")
    if report.in_flight_count:
        in_flight = f"{report.in_flight_count:,} realization(s) in flight"
        screen.say(f"{in_flight}: issued and not settled yet", "yellow")
    if report.to_be_priced_count:
        unpriced = counted(report.to_be_priced_count, "document")
        screen.say(f"{unpriced} to be priced again; no batch takes their lines yet", "yellow")
    looked_at = ", ".join(
        f"{number:,} {name.replace('_', ' ')}" for name, number in report.looked_at.items()
    )
    if report.clean:
        screen.say(f"clean: {len(report.checks)} checks passed over {looked_at}", "green")
        return
    names = ", ".join(fault.check for fault in report.faults)
    failed = f"{len(report.faults)} of {len(report.checks)} checks failed ({names})"
    screen.no("books_off", f"{failed} over {looked_at}", "give these ids to the engineers")
