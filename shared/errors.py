"""The two ways in which work may fail, and no third.

`Refused`: the business says no; an operator can act on the sentence. `Unavailable`: the world is away; try again later.
Anything else that is raised is a bug. (house.md style rule 3; protocol.md section 2.)
"""

from collections.abc import Mapping
from typing import Any


class Refused(Exception):
    """The business says no: a code for programs, a sentence that says what is wrong, and what mends it."""

    def __init__(self, code: str, sentence: str, mend: str = "", **details: Any) -> None:
        super().__init__(f"{code}: {sentence}")
        self.code = code
        self.sentence = sentence
        self.mend = mend
        self.details: Mapping[str, Any] = details


class Unavailable(Exception):
    """Something outside this process does not answer now; the same work is right later."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence
