"""Key pairs of programs that a form made, kept in memory until the person has the private key.

A form makes one pair however often it is sent, so that a double click is one command. A pair is
forgotten after ten minutes, and with the process: nothing is written to a disk.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.signing import Signer

KEPT_SECONDS = 600.0
MOST_PAIRS = 1_000


class KeyPairs:
    """The pairs by the id of their form and the person who sent it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._made: dict[tuple[str, str], tuple[float, Signer]] = {}

    def for_form(
        self, form_id: str, person: str, program: str, audience: str, *, asserts_actors: bool
    ) -> "Signer":
        """The pair of a form, made when it is sent first."""
        from shared.signing import Signer

        found = self.found(form_id, person)
        if found is not None and (found.program, found.asserts_actors) == (program, asserts_actors):
            return found
        made = Signer.new(program, audience, asserts_actors=asserts_actors)
        while len(self._made) >= MOST_PAIRS:
            del self._made[next(iter(self._made))]
        self._made[form_id, person] = (self._clock(), made)
        return made

    def found(self, form_id: str, person: str) -> "Signer | None":
        """The pair of a form of this person; None if there is none, or it is forgotten."""
        oldest = self._clock() - KEPT_SECONDS
        self._made = {key: kept for key, kept in self._made.items() if kept[0] > oldest}
        return self._made.get((form_id, person), (0.0, None))[1]
