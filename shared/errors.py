"""The two ways in which work may fail, and no third.

`Refused`: the business says no; an operator can act on the message. `Unavailable`: the world is away; try again later.
Anything else that is raised is a bug. (house.md style rule 3; protocol.md section 2.)
"""

from collections.abc import Mapping
from typing import Any


class Refused(Exception):
    """The business says no: a code for programs, a message that says what is wrong, and what fixes it."""

    def __init__(self, code: str, message: str, fix: str = "", **details: Any) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.fix = fix
        self.details: Mapping[str, Any] = details


class Unavailable(Exception):
    """Something outside this process does not answer now; the same work is right later."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
