"""When Python collects cyclic garbage: in a worker's sweeps, hardly ever beside a transaction."""

import gc

COLLECT_AFTER = (1_000_000, 50, 100)
"""Python's thresholds: the first is the number of new objects after which it collects.

A batch makes a hundred thousand objects that all live until its commit, and none is in a cycle.
Collecting meanwhile took a quarter of a worker's processor time with Python's default of 700, and
an eighth with 50,000. So a worker collects when it sweeps, every few seconds; the threshold only
catches what grows without end.
"""
SWEEPS_TO_COLLECT_ALL = 120
"""One sweep in so many (ten minutes) collects among old objects, too.

With ten thousand requirements kept that takes a third of a second in which no message is processed.
"""


def prepare() -> None:
    """At the start of a process: excludes what was imported, which stays, from every collection."""
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


class Collector:
    """Collects in each sweep among new objects, and now and then among all."""

    def __init__(self) -> None:
        self._sweeps = 0

    def sweep(self) -> None:
        """Collects."""
        self._sweeps += 1
        gc.collect(1 if self._sweeps % SWEEPS_TO_COLLECT_ALL else 2)
