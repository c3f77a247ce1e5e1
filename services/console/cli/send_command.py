"""The two ways in which a command reaches the services: it reads the books in one snapshot, or it sends a command and shows the answer."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from services.console.cli.output import Column, Screen, finish

if TYPE_CHECKING:
    from services.console.client.books import ReadConnection
    from shared.events.billing import CommandResult
    from shared.events.commands import AnyCommand

Result = TypeVar("Result")

FINDINGS = [
    Column("severity"),
    Column("code"),
    Column("count", figures=True),
    Column("message", most=600),
    Column("fix", "to fix it", most=400),
]
SEVERITIES = ("error", "warning", "info")


def read_books(data: Path | None, read: "Callable[[ReadConnection], Awaitable[Result]]") -> Result:
    """Runs a read in one read-only snapshot of the books."""
    from services.console.client.addresses import find_addresses
    from services.console.client.books import reading

    async def work() -> Result:
        async with reading(find_addresses(data).database_url) as connection:
            return await read(connection)

    return finish(work())


def send(
    screen: Screen, data: Path | None, commands: "Sequence[AnyCommand]", timeout_seconds: float
) -> "list[CommandResult]":
    """Sends commands and awaits their answers."""
    from services.console.client.addresses import find_addresses
    from services.console.client.kafka_client import Client

    async def work() -> "list[CommandResult]":
        async with Client(find_addresses(data).kafka, screen.aside) as client:
            return await client.send_all(commands, timeout_seconds)

    return finish(work())


def ask(
    screen: Screen,
    data: Path | None,
    command: "AnyCommand",
    timeout_seconds: float = 120.0,
    show: "Callable[[CommandResult], None] | None" = None,
) -> "CommandResult":
    """Sends one command and shows its answer; a refusal ends with exit 1."""
    (result,) = send(screen, data, [command], timeout_seconds)
    screen.document(result.model_dump(mode="json"))
    if result.outcome == "refused":
        screen.table(_findings(result), FINDINGS)
        screen.no(result.code, result.message, result.fix)
    screen.say(result.message)
    if show is not None:
        show(result)
    screen.table(_findings(result), FINDINGS)
    if result.details.get("shortened"):
        screen.say(
            f"the answer was longer than a message may be; not whole: {', '.join(result.details['shortened'])}",
            "dim",
        )
    return result


def ask_all(
    screen: Screen,
    data: Path | None,
    commands: "Sequence[AnyCommand]",
    timeout_seconds: float = 120.0,
    *,
    one_will_do: bool = False,
) -> None:
    """Sends several commands and shows their answers as one document. A refusal among them ends with exit 1, unless one accepted will do."""
    results = send(screen, data, commands, timeout_seconds)
    screen.document({"results": [result.model_dump(mode="json") for result in results]})
    refused = [result for result in results if result.outcome == "refused"]
    for result in results:
        if result.outcome == "accepted":
            screen.say(f"{result.service}: {result.message}")
    if refused and not (one_will_do and len(refused) < len(results)):
        screen.no(
            refused[0].code,
            "; ".join(f"{result.service}: {result.message}" for result in refused),
            refused[0].fix,
        )


def said_by(actor: str, reason: str) -> dict[str, Any]:
    """What every command carries: a new id, who asks, and why."""
    from services.console.client.kafka_client import new_command_id

    return {"command_id": new_command_id(), "actor": actor, "reason": reason}


def _findings(result: "CommandResult") -> list[dict[str, Any]]:
    """Findings, the worst first."""
    rows = [finding.model_dump() for finding in result.findings]
    for row in rows:
        ids = ", ".join(row["ids"][:5])
        if ids:
            row["message"] = f"{row['message']} [{ids}{', …' if row['count'] > 5 else ''}]"
    return sorted(rows, key=lambda row: SEVERITIES.index(row["severity"]))
