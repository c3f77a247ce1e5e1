"""`backoffice up|down|status|lag|verify`: the stack on this machine, how far its workers are, and whether the books are right."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.console.cli.options import AsJson, Data
from services.console.cli.output import Column, Screen, finish, screen_for

if TYPE_CHECKING:
    from shared.verify import Report

MOST_OFFENDERS = 20
"""Of each check on the screen; --json has more."""
LAG = [
    Column("group"),
    Column("topic"),
    Column("partition", "part", figures=True),
    Column("committed", figures=True),
    Column("end", figures=True),
    Column("lag", figures=True),
]
WORKERS = [
    Column("name"),
    Column("pid"),
    Column("alive"),
    Column("ready"),
    Column("port"),
    Column("restarts", figures=True),
    Column("log", most=120),
]


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    for command in (up, down, status, lag, verify):
        backoffice.command()(command)


def up(
    detach: Annotated[bool, typer.Option("--detach", help="Leave it running and return.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Empty the data folder first.")] = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Start Kafka, PostgreSQL and the workers. In the foreground Ctrl-C stops all of it."""
    with screen_for(as_json) as screen:
        from services.console.client.addresses import data_folder
        from shared.stack import up as bring_up

        answer = bring_up(data_folder(data), fresh=fresh, detach=detach, say=_sayer(screen))
        screen.document(answer)
        if detach:
            _show_status(screen, answer)


def down(as_json: AsJson = False, data: Data = None) -> None:
    """Stop the stack of the data folder, and whatever an earlier one left behind."""
    with screen_for(as_json) as screen:
        from services.console.client.addresses import data_folder
        from shared.stack import down as bring_down

        screen.document(bring_down(data_folder(data), say=_sayer(screen)))


def status(as_json: AsJson = False, data: Data = None) -> None:
    """What runs now. Exit 1 if the stack is not up, or a part of it is not ready."""
    with screen_for(as_json) as screen:
        from services.console.client.addresses import data_folder
        from shared.stack import status as status_of

        answer = status_of(data_folder(data))
        wrong = [worker["name"] for worker in answer["workers"] if not worker["ready"]]
        wrong += [name for name, server in answer["servers"].items() if not server["alive"]]
        screen.document(answer)
        _show_status(screen, answer)
        if not answer["running"]:
            screen.no(
                "not_running",
                f"no stack runs on {answer['data']} ({answer['phase']})",
                "start it with `backoffice up --detach`",
            )
        if wrong:
            screen.no("not_ready", f"{', '.join(wrong)} not ready", "see the logs named above")


def _sayer(screen: Screen) -> Any:
    return screen.aside if screen.as_json else screen.say


def _show_status(screen: Screen, answer: dict[str, Any]) -> None:
    screen.facts(
        {name: answer[name] for name in ("data", "phase", "kafka", "database_url", "left_behind")}
    )
    servers = [{"name": name, **server} for name, server in answer["servers"].items()]
    screen.table(
        servers,
        [Column("name"), Column("kind"), Column("alive"), Column("why"), Column("log", most=120)],
        title="servers",
    )
    screen.table(answer["workers"], WORKERS, title="workers")


def lag(
    everything: Annotated[
        bool, typer.Option("--all", help="Every partition, not only those that are behind.")
    ] = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """How far each worker is behind on each topic (-1: nothing committed yet)."""
    with screen_for(as_json) as screen:
        from aiokafka.errors import KafkaError

        from services.console.client.addresses import find_addresses
        from shared.consumer.lag import lag_of

        kafka = find_addresses(data).kafka
        try:
            rows = finish(lag_of(kafka))
        except KafkaError as error:
            screen.refuse(
                "unavailable",
                f"Kafka at {kafka} does not answer ({type(error).__name__})",
                "see `backoffice status`",
            )
        found = [
            {
                name: getattr(row, name)
                for name in ("group", "topic", "partition", "committed", "end", "lag", "behind")
            }
            for row in rows
        ]
        behind = sum(row["behind"] for row in found)
        screen.document({"groups": found, "behind": behind})
        screen.table(found if everything else [row for row in found if row["behind"]], LAG)
        screen.say(
            f"{behind:,} record(s) to be read"
            if behind
            else f"nothing to be read: all {len({row['group'] for row in found})} groups are at the end"
        )


def verify(as_json: AsJson = False, data: Data = None) -> None:
    """Check the books: conservation, sums, numbers, seals, each line in one place. Exit 1 with the offending ids."""
    with screen_for(as_json) as screen:
        from services.console.client.addresses import find_addresses
        from services.console.client.verified import verified

        show_report(screen, finish(verified(find_addresses(data).database_url)))


def show_report(screen: Screen, report: "Report") -> None:
    """What the checks found; anything that is off ends with exit 1."""
    screen.document(report.as_dict())
    for fault in report.faults:
        screen.say(f"{fault.check}: {fault.message} ({fault.count:,})", "red")
        screen.table(
            [{"id": one.id, "detail": one.detail} for one in fault.offenders[:MOST_OFFENDERS]],
            [Column("id", most=80), Column("detail", most=600)],
        )
        screen.shortened(min(len(fault.offenders), MOST_OFFENDERS), fault.count, "--json")
    if report.in_flight_count:
        screen.say(
            f"{report.in_flight_count:,} statement(s) in flight: issued and not settled yet",
            "yellow",
        )
    looked_at = ", ".join(
        f"{number:,} {name.replace('_', ' ')}" for name, number in report.looked_at.items()
    )
    if report.clean:
        screen.say(f"clean: {len(report.checks)} checks hold over {looked_at}", "green")
        return
    names = ", ".join(fault.check for fault in report.faults)
    screen.no(
        "books_off",
        f"{len(report.faults)} of {len(report.checks)} checks do not hold ({names}); looked at {looked_at}",
        "give these ids to the engineers",
    )
