"""Commands built from plain values, checked as the service that receives them checks them."""

import json
import uuid
from typing import Any, get_args

from shared.events.commands import AnyCommand

MODELS = {model.model_fields["command"].default: model for model in get_args(AnyCommand)}


def new_command_id() -> str:
    """An id that no command had before."""
    return uuid.uuid4().hex


def new_command(name: str, /, **fields: Any) -> AnyCommand:
    """A command with an id of its own. Raises `ValidationError` if the service could not read it.

    Its fields pass through JSON, so that they are checked in the form in which they are sent.
    """
    body = fields | {"command_id": new_command_id(), "command": name}
    command: AnyCommand = MODELS[name].model_validate_json(json.dumps(body, default=str))
    return command
