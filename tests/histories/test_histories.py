"""Random histories: the tables equal a slow and simple reference to the cent.

`pytest -m nightly tests/histories` runs 2,000 new ones; without it the same 100 run, and some more
where those did not reach every case.
"""

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.conftest import Configure
from tests.histories.coverage import WANTED
from tests.histories.machine import Histories
from tests.histories.office import Office
from tests.histories.setup import Counts

HISTORIES, STEPS = 100, 16
MORE, ROUNDS = 50, 6
NIGHTLY, NIGHTLY_STEPS = 2_000, 25
PROFILE = settings(
    stateful_step_count=STEPS,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
    database=None,
)


@contextmanager
def office(url: str, configure: Configure) -> Iterator[Counts]:
    """The services on this database, for any number of histories."""
    with asyncio.Runner() as runner:
        Histories.office, Histories.run, Histories.ran = (
            Office(url),
            staticmethod(runner.run),
            Counts(),
        )

        def today_is(today: date) -> None:
            configure(today=str(today))

        Histories.today_is = staticmethod(today_is)
        runner.run(Histories.office.open())
        yield Histories.ran
        runner.run(Histories.office.close())


@pytest.mark.slow
def test_a_hundred_histories(
    database: str, configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    """After every step the invariants hold and the reference agrees.

    Conservation per document and key, each line in one place, no excess of credits, no unexplained
    number. Steps: documents, revisions, adjustments, cancellations, holds, rates, snoozes, edits,
    moves, batches, credits, repeats.
    """
    with office(database, configure) as ran:
        for number in range(ROUNDS):
            if number == 0 or _not_met(ran):
                run_state_machine_as_test(
                    seed(number)(Histories),
                    settings=settings(
                        PROFILE,
                        max_examples=HISTORIES if number == 0 else MORE,
                        phases=(Phase.generate, Phase.shrink),
                    ),
                )
    with capsys.disabled():
        print(
            f"\n{ran.histories} histories ran, {ran.steps} times the data was compared and verified"
        )
    assert ran.histories >= HISTORIES
    assert _not_met(ran) == []


def _not_met(ran: Counts) -> list[str]:
    """The cases that no history has reached yet: some are rare, so more histories run."""
    return [what for what in WANTED if not ran.met[what]]


@pytest.mark.nightly
@pytest.mark.timeout(6 * 3600)
def test_two_thousand_histories(
    database: str, configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same, with other histories each night."""
    with office(database, configure) as ran:
        tonight = random.SystemRandom().randrange(2**32)
        run_state_machine_as_test(
            seed(tonight)(Histories),
            settings=settings(PROFILE, max_examples=NIGHTLY, stateful_step_count=NIGHTLY_STEPS),
        )
    with capsys.disabled():
        print(
            f"\n{ran.histories} histories ran, {ran.steps} times the data was compared and verified"
        )
    assert ran.histories >= NIGHTLY
