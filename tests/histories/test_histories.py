"""Random histories: the tables equal a slow and simple reference to the cent.

`make nightly` runs 2,000 new ones on all cores (HISTORIES for another number, HISTORIES_SEED to run
the same again); without it the same 100 run, and some more where those did not reach every case.
"""

import asyncio
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.conftest import Configure
from tests.histories.coverage import WANTED
from tests.histories.domain import ACCOUNTS, ALLOWANCES, LATER, LONG_SINCE
from tests.histories.machine import Histories
from tests.histories.office import Office
from tests.histories.reference.billing import Way
from tests.histories.setup import Counts

HISTORIES, STEPS = 100, 16
MORE, ROUNDS = 50, 6
NIGHTLY, NIGHTLY_STEPS = int(os.environ.get("HISTORIES", "2000")), 25
SHARES = 40
"""The nightly histories are run in so many parts, which pytest distributes over the cores."""
Record = Callable[[str, object], None]
OPEN_AMOUNT = (
    "SELECT sum(p.amount) FROM invoicer.open_line o JOIN invoicer.pay_line p USING (pay_line_id)"
    " WHERE p.requirement_id = 'R-TWO'"
)
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
def test_a_hundred_histories(database: str, configure: Configure, record_property: Record) -> None:
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
    _record(record_property, ran, 0)
    assert ran.histories >= HISTORIES
    assert _not_met(ran) == []


def test_lines_that_credits_open_again_take_the_rates_in_force(
    database: str, configure: Configure
) -> None:
    """What a credit takes off the documents is open, and open lines take the rates in force.

    Found by a random history: a written-off invoice is taken back after the rate became 0. Product
    and reference priced the lines only when something else priced the timesheet, such as the
    confirmation of another rate, so the next batch billed 400.00 that no one owed.
    """
    with office(database, configure) as ran:
        state = Histories()
        week, hours = date(2026, 2, 22), ("REG", "8", "")
        state.open_the_office(
            weeks=[(week, [("R-TWO", *hours), ("R-JPY", *hours)])],
            ways={
                (company, account): Way(credits="net")
                for company in ("north", "south")
                for account in ("Alpha", "Client")
            },
            prices=["50"] * 8,
            billed=True,
        )
        steps: list[Callable[[], None]] = [
            lambda: state.a_timesheet_comes([("R-JPY", *hours)], week, "imported"),
            lambda: state.a_batch_closes("north", 0, LATER.days, set(), None),
            lambda: state.an_invoice_is_credited_whole(_usd(state), "write-off"),
            lambda: state.a_rate_is_set(_priced(state), LONG_SINCE, "0", overtaken=False),
            lambda: state.a_placement_comes(0, True, "R-USD", [], 0),
            lambda: state.what_was_written_off_is_taken_back(0),
            lambda: state.a_rate_is_confirmed(0),
        ]
        for step in steps:
            step()
            state.the_books_are_right()
        assert ran.met["credited after a change of rates"] == 1
        ((amount,),) = state.run(state.office.select(OPEN_AMOUNT))
        assert amount == 0


def test_an_assignment_of_a_debtor_with_discounts(database: str, configure: Configure) -> None:
    """One history with the cases of assignments and allowances that random ones reach rarely.

    Rent on day 9 of each month, two of which are invoiced with discounts; a lower price is
    confirmed, so one is credited and billed again; it ends, and an invoice is written off.
    """
    company, latest = "north", LATER.days
    with office(database, configure) as ran:
        state = Histories()
        state.open_the_office(
            weeks=[(date(2026, 3, 8), [("R-TWO", "REG", "8", "")])],
            ways={(company, account): Way(allowances=ALLOWANCES) for account in ACCOUNTS},
            prices=["50"] * 8,
            billed=True,
        )
        monthly = ("R-TWO", "client", "500", 9, -40, 75, False)
        lower = ("R-TWO", "client", "480.005", 9, -9, 75, False)
        steps: list[Callable[[], None]] = [
            lambda: state.an_assignment_is_set(0, True, *monthly),
            lambda: state.a_batch_closes(company, 0, latest, set(), None),
            lambda: state.an_assignment_is_set(0, False, *lower),
            lambda: state.an_assignment_is_confirmed(0, 0),
            lambda: state.a_batch_closes(company, 8, latest, set(), None),
            lambda: state.an_assignment_ends(0, 0, overtaken=False),
            lambda: state.an_invoice_is_credited_whole(1, "write-off"),
        ]
        for step in steps:
            step()
            state.the_books_are_right()
        state.teardown()
        assert ran.met["occurrence confirmed"] == 1
        for case in ("occurrence invoiced", "occurrence withdrawn", "discount", "surcharge"):
            assert ran.met[case], case
        assert ran.met["credit of an allowance"]


def _usd(state: Histories) -> int:
    """The number of the first invoice in USD."""
    return [invoice.currency for invoice in state.invoices()].index("USD")


def _priced(state: Histories) -> int:
    """The number of the regular time of R-TWO."""
    return state.priced().index(("R-TWO", "REG"))


def _not_met(ran: Counts) -> list[str]:
    """The cases that no history has reached yet: some are rare, so more histories run."""
    return [what for what in WANTED if not ran.met[what]]


@pytest.mark.nightly
@pytest.mark.timeout(6 * 3600)
@pytest.mark.parametrize("share", range(SHARES))
def test_two_thousand_histories(
    database: str, configure: Configure, record_property: Record, share: int
) -> None:
    """The same, with other histories each night unless HISTORIES_SEED names them."""
    chosen = int(os.environ.get("HISTORIES_SEED") or random.SystemRandom().randrange(2**32))
    number = NIGHTLY // SHARES + (share < NIGHTLY % SHARES)
    with office(database, configure) as ran:
        try:
            run_state_machine_as_test(
                seed(chosen * SHARES + share)(Histories),
                settings=settings(PROFILE, max_examples=number, stateful_step_count=NIGHTLY_STEPS),
            )
        finally:
            _record(record_property, ran, chosen)
    assert ran.histories >= number


def _record(record_property: Record, ran: Counts, chosen: int) -> None:
    """Record what ran for the summary of the run, and the seed to run it again."""
    record_property("histories", ran.histories)
    record_property("compared", ran.steps)
    record_property("seed", chosen)
