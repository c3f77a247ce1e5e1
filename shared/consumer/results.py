"""Fit the result of a command into a message."""

import json
from typing import Any

from shared.events.billing import CommandResult
from shared.events.field_types import MESSAGE_BYTES

SHORTENED, FINDINGS = "shortened", "findings"
WORTH_EMPTYING = 1_000
"""Bytes of a detail: if none has more, there are too many details to empty them one by one."""


def fit_into_message(result: CommandResult) -> CommandResult:
    """Shorten a result until it fits into a message; do this before it is stored.

    The longest details are emptied first; findings are halved. `shortened` names what is
    incomplete. The command's row keeps what the command changed in any case.
    """
    shortened: list[str] = []
    while len(encode(result.model_dump(mode="json"))) > MESSAGE_BYTES:
        sizes = {
            name: len(encode(value))
            for name, value in result.details.items()
            if name not in (*shortened, SHORTENED)
        }
        sizes[FINDINGS] = len(encode([finding.model_dump() for finding in result.findings]))
        longest = max(sizes, key=lambda name: sizes[name])
        if sizes[longest] < WORTH_EMPTYING:
            return result.model_copy(update={"details": {SHORTENED: ["details"]}})
        shortened += [longest] if longest not in shortened else []
        details = result.details | {SHORTENED: shortened}
        if longest == FINDINGS:
            halved = result.findings[: len(result.findings) // 2]
            result = result.model_copy(update={FINDINGS: halved, "details": details})
        else:
            details[longest] = _empty(result.details[longest])
            result = result.model_copy(update={"details": details})
    return result


def _empty(value: Any) -> Any:
    """An empty value of the same type, so that readers still find the type that they expect."""
    return type(value)() if isinstance(value, list | dict | str) else None


def encode(result: Any) -> bytes:
    """The JSON of a result as it is published."""
    return json.dumps(result, ensure_ascii=False).encode()
