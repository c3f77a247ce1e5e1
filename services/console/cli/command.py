"""The commands of `backoffice`: their shared options, and the two things that they do.

A command reads views in one snapshot, or sends commands to the services and shows the results.
"""

import inspect
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import typer

from services.console.cli.options import Actor, AsJson, Data, Reason, Timeout, login_name
from services.console.cli.output import Screen, finish, screen_for
from services.console.columns.batches import FINDINGS, finding_rows

if TYPE_CHECKING:
    from services.console.queries.snapshot import ReadConnection
    from shared.events.billing import CommandResult
    from shared.events.commands import AnyCommand
    from shared.signing import Signer

Result = TypeVar("Result")
P = ParamSpec("P")

ANSWER_SECONDS = 120.0
POLL_SECONDS = 0.5


class Run(Screen):
    """One run of a CLI command: its output, its shared options, its reads and its commands."""

    def __init__(
        self,
        as_json: bool,
        data: Path | None = None,
        actor: str = "",
        reason: str = "",
        timeout: float = ANSWER_SECONDS,
    ) -> None:
        super().__init__(as_json)
        self.data, self.reason, self.timeout = data, reason, timeout
        self._actor = actor

    @cached_property
    def signer(self) -> "Signer | None":
        """The key with which commands are signed; None: they are not."""
        from services.console.actions.signer import find_signer

        return find_signer(self.data)

    @property
    def actor(self) -> str:
        """Who acts: as named, else the program whose key signs, else the login name of the user.

        A key that may assert actors signs for the user.
        """
        if self._actor:
            return self._actor
        signer = self.signer
        return signer.program if signer and not signer.asserts_actors else login_name()

    def read(
        self,
        query: "Callable[Concatenate[ReadConnection, P], Awaitable[Result]]",
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Result:
        """The result of a query, in a snapshot of its own."""
        from services.console.addresses import find_addresses
        from services.console.queries.snapshot import open_snapshot

        async def work() -> Result:
            async with open_snapshot(find_addresses(self.data).database_url) as connection:
                return await query(connection, *args, **kwargs)

        return finish(work())

    def read_until(
        self, done: Callable[[Result], object], read: Callable[[], Result], timeout: float
    ) -> Result:
        """Reads again and again until the result is `done` or the time is over; the last result."""
        last = time.monotonic() + timeout
        while not done(found := read()) and time.monotonic() < last:
            time.sleep(POLL_SECONDS)
        return found

    def new_command(self, name: str, /, **fields: Any) -> "AnyCommand":
        """A command of this actor, for this reason."""
        from services.console.actions.commands import new_command

        return new_command(name, **fields | {"actor": self.actor, "reason": self.reason})

    def send_all(
        self, commands: "Sequence[AnyCommand]", timeout: float | None = None
    ) -> "list[CommandResult]":
        """Sends commands and waits for their results; shows nothing."""
        from services.console.actions.kafka_client import Client
        from services.console.addresses import find_addresses

        async def work() -> "list[CommandResult]":
            kafka = find_addresses(self.data).kafka
            async with Client(kafka, self.aside, self.signer) as client:
                return await client.send_all(commands, timeout or self.timeout)

        return finish(work())

    def start(self, name: str, /, **fields: Any) -> dict[str, Any]:
        """The details of a command whose result is only the beginning; a refusal ends with exit
        1.
        """
        (result,) = self.send_all([self.new_command(name, **fields)], ANSWER_SECONDS)
        self._exit_if_refused(result)
        return result.details

    def send(
        self,
        name: str,
        /,
        *,
        show: Callable[[dict[str, Any]], None] | None = None,
        timeout: float | None = None,
        **fields: Any,
    ) -> None:
        """Sends one command and shows its result, the details by `show`; a refusal ends with
        exit 1.
        """
        (result,) = self.send_all([self.new_command(name, **fields)], timeout)
        self._exit_if_refused(result)
        self.document(result.model_dump(mode="json"))
        self.say(result.message)
        if show is not None:
            show(result.details)
        self.table(finding_rows(each.model_dump() for each in result.findings), FINDINGS)
        if result.details.get("shortened"):
            names = ", ".join(result.details["shortened"])
            self.say(f"shortened, because a message has a limit: {names}", "dim")

    def _exit_if_refused(self, result: "CommandResult") -> None:
        if result.outcome == "refused":
            self.document(result.model_dump(mode="json"))
            self.table(finding_rows(each.model_dump() for each in result.findings), FINDINGS)
            self.no(result.code, result.message, result.fix)

    def send_each(
        self,
        commands: "Sequence[AnyCommand]",
        timeout: float | None = None,
        *,
        one_is_enough: bool = False,
    ) -> None:
        """Sends commands and shows their results as one document.

        A refusal ends with exit 1, unless `one_is_enough` and another command was accepted.
        """
        self.show_results(self.send_all(commands, timeout), one_is_enough=one_is_enough)

    def show_results(
        self, results: "Sequence[CommandResult]", *, one_is_enough: bool = False, **more: Any
    ) -> None:
        """Shows results of commands as one document, with `more`; see `send_each`."""
        self.document(more | {"results": [result.model_dump(mode="json") for result in results]})
        refused = [result for result in results if result.outcome == "refused"]
        for result in results:
            if result.outcome == "accepted":
                self.say(f"{result.service}: {result.message}")
        if refused and not (one_is_enough and len(refused) < len(results)):
            messages = "; ".join(f"{result.service}: {result.message}" for result in refused)
            self.no(refused[0].code, messages, refused[0].fix)


def command(
    app: typer.Typer,
    name: str | None = None,
    *,
    sends: bool = False,
    timeout: float | None = None,
    data: bool = True,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Registers a function as a CLI command, with the options that commands share.

    The function gets a `Run` and the values of its own options. Every command has --json, and
    --data unless it has its own; one that `sends` has --actor and --reason; one with a `timeout`
    (its default) has --timeout.
    """
    shared = [
        *([_option("timeout", timeout, Timeout)] if timeout is not None else []),
        *([_option("actor", "", Actor), _option("reason", "", Reason)] if sends else []),
        _option("as_json", False, AsJson),
        *([_option("data", None, Data)] if data else []),
    ]

    def register(function: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(function).parameters.values())[1:]

        def run(**values: Any) -> None:
            common = {option.name: values.pop(option.name) for option in shared}
            with screen_for(Run(**common)) as screen:
                function(screen, **values)

        run.__name__, run.__doc__ = function.__name__, function.__doc__
        run.__signature__ = inspect.Signature([*own, *shared])  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in (*own, *shared)}
        app.command(name)(run)
        return function

    return register


def _option(name: str, default: Any, annotation: Any) -> inspect.Parameter:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Parameter(name, kind, default=default, annotation=annotation)
