"""The two expected kinds of failure.

`Refused`: a business rule refuses the request, and an operator can act on the message.
`Unavailable`: the infrastructure (Kafka, PostgreSQL, a ledger) does not answer; try again later.
Any other exception is a defect.
"""

from collections.abc import Mapping
from typing import Any


class Refused(Exception):
    """A business rule refuses: a code for programs, a message for people, and how to fix it."""

    def __init__(self, code: str, message: str, fix: str = "", **details: Any) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.fix = fix
        self.details: Mapping[str, Any] = details


class Unavailable(Exception):
    """Something outside this process does not answer now; the same request can succeed later."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
