"""What handlers of commands return."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.consumer.records import OutboxId
from shared.events.billing import Finding


@dataclass
class Answer:
    """What the handler of a command returns.

    The history keeps `before` and `after`, and finds the command by `subjects` (document, pay line,
    invoice number, Account Name ... as plain text). `publish_after` is published after the result.
    """

    message: str
    details: dict[str, Any] = field(default_factory=dict)
    findings: Sequence[Finding] = ()
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    subjects: Sequence[str] = ()
    publish_after: list[OutboxId] = field(default_factory=list)
    jobs_due: bool = False
