"""When Python looks for objects that hold each other in a circle: in a worker's sweeps, hardly ever beside a transaction."""

import gc

COLLECT_AFTER = (1_000_000, 50, 100)
"""After so many new objects Python looks for circles among them. A batch is a hundred thousand objects that all live until its commit, and
none is in a circle: looking meanwhile took a quarter of a worker's processor time with Python's own 700, and an eighth with 50,000. So
a worker looks when it sweeps, every few seconds; the number is for what grows without end."""
SWEEPS_TO_COLLECT_ALL = 120
"""What has lived for long is looked through in one sweep of so many (ten minutes): with ten thousand requirements kept that takes a third of
a second, in which no message is worked on."""


def prepare() -> None:
    """At the start of a process: what was imported stays, and need not be looked through again."""
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


class Collector:
    """Looks in each sweep among what is new, and now and then among all."""

    def __init__(self) -> None:
        self._sweeps = 0

    def sweep(self) -> None:
        """Looks."""
        self._sweeps += 1
        gc.collect(1 if self._sweeps % SWEEPS_TO_COLLECT_ALL else 2)
