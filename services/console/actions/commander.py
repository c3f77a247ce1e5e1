"""Commands of a process that stays: built from a form, sent once, their results read from views.

A form has an id of its own. The id of its command is made of the id of the form and of what the
form says, so that a double click, a reload or a retry is the same command, which gets its first
answer again, and a form that is changed and sent again is another command.
"""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from services.console.actions.commands import MODELS
from services.console.actions.kafka_client import Client
from shared.broker.topics import OPERATOR_COMMANDS
from shared.events.commands import AnyCommand, key_of

if TYPE_CHECKING:
    from shared.broker.security import KafkaAccess
    from shared.signing import Signer

POLL_SECONDS = 0.1
ID_LENGTH = 32
SEALED = "sealed_"
"""How fields with sealed secrets begin: sealing twice gives two texts, and the form is the same."""

ReadResult = Callable[[AnyCommand], Awaitable[dict[str, Any] | None]]
"""Reads the result of a command; None while there is none."""


def command_of_form(form_id: str, name: str, actor: str, /, **fields: Any) -> AnyCommand:
    """The command of a form. Raises `ValidationError` if the service could not read it."""
    body = {"command": name, "actor": actor, **fields}
    hashed = {key: value for key, value in body.items() if not key.startswith(SEALED)}
    text = json.dumps([form_id, hashed], default=str, sort_keys=True)
    body["command_id"] = hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH]
    command: AnyCommand = MODELS[name].model_validate_json(json.dumps(body, default=str))
    return command


class Commander:
    """Publishes commands on one connection to Kafka, which it makes for the first of them."""

    def __init__(self, kafka: "KafkaAccess", signer: "Signer | None") -> None:
        self.signer = signer
        self._client = Client(kafka, signer=signer)
        self._turn = asyncio.Lock()

    async def close(self) -> None:
        """Disconnect."""
        await self._client.__aexit__()

    async def publish(self, command: AnyCommand) -> None:
        """Publish a command; its result comes later. Raises `Refused` and `Unavailable`."""
        async with self._turn:
            record = (key_of(command), command.model_dump_json().encode())
            await self._client.publish(OPERATOR_COMMANDS.name, [record])


async def result_within(
    read: ReadResult, command: AnyCommand, seconds: float
) -> dict[str, Any] | None:
    """The result of a command as soon as it is there; None if it is not there in time."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    while (result := await read(command)) is None and clock() < deadline:
        await asyncio.sleep(POLL_SECONDS)
    return result
