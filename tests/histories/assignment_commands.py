"""Recurring assignments in a history: set, changed, ended, confirmed; days realize them."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests import builders
from tests.histories import domain as domain
from tests.histories.reference.assignments import DAY, RENT, Assignment, Setting
from tests.histories.setup import HistorySetup


class AssignmentCommands(HistorySetup):
    """Rules of assignments."""

    @rule(
        pick=domain.picks,
        new=st.booleans(),
        order_id=st.sampled_from(sorted(domain.ORDERS)),
        node=st.sampled_from(["", "client"]),
        price=domain.rents,
        schedule=domain.schedules,
        since=st.sampled_from(domain.SINCE),
        until=st.sampled_from([25, 45, 75]),
        overtaken=st.booleans(),
    )
    def an_assignment_is_set(
        self,
        pick: int,
        new: bool,
        order_id: str,
        node: str,
        price: str,
        schedule: int | list[int],
        since: int,
        until: int,
        overtaken: bool,
    ) -> None:
        """An item at a node on a day of each month or on some dates, or another price of it.

        Sometimes a batch closes while the new realizations are in flight.
        """
        known = sorted(self.reference.pricing.assignments)
        assignment_id = self.stamps.new("A") if new or not known else self.pick(pick, known)
        company, office, currency = domain.ORDERS[order_id]
        assignment = self.reference.pricing.assignments.get(
            assignment_id, Assignment(company, node or office, currency)
        )
        setting, given = self._setting(assignment, schedule, since, until, price)
        asked = builders.command(
            "set-assignment",
            assignment_id=assignment_id,
            billing_company=assignment.company,
            node_id=assignment.node,
            item_id=RENT,
            price=price,
            currency=assignment.currency,
            **given,
        )
        answer: dict[str, Any] = self.run(self.office.ask(asked))
        due = any(setting.is_due(setting.since + each * DAY) for each in range(500))
        assert (answer["outcome"] == "accepted") == due, answer
        last = assignment.settings[-1] if assignment.settings else None
        if due and (last is None or last.since > setting.since or not _is_same(last, setting)):
            self.asked.append(asked)
            self.reference.pricing.assignments[assignment_id] = assignment
            self._change(assignment_id, setting)
        self._billed_meanwhile(assignment.company, overtaken)

    def _setting(
        self,
        assignment: Assignment,
        schedule: int | list[int],
        since: int,
        until: int,
        price: str,
    ) -> tuple[Setting, dict[str, Any]]:
        """What is set, and the fields of the command. Dates hold from the beginning on."""
        number, first = assignment.changes + 1, domain.FIRST_DAY + timedelta(days=since)
        if isinstance(schedule, int):
            last = domain.FIRST_DAY + timedelta(days=until)
            given = {"monthly_day": schedule, "from_date": str(first), "until_date": str(last)}
            return Setting(number, first, last, schedule, (), Decimal(price)), given
        dates = tuple(domain.FIRST_DAY + timedelta(days=each) for each in sorted(schedule))
        if not since:
            first = min([*dates, *(one.since for one in assignment.settings)])
        given = {"dates": [str(each) for each in dates]}
        given |= {"from_date": str(first)} if since else {}
        return Setting(number, first, None, None, dates, Decimal(price)), given

    def _change(self, assignment_id: str, setting: Setting) -> None:
        """Realize what is set, and price again what was stale: both are background jobs."""
        self.reference.pricing.assignment_is_set(assignment_id, setting, self.reference.today)
        self.reference.price_stale()

    def _billed_meanwhile(self, company: str, overtaken: bool) -> None:
        """What was priced again is in flight: a batch closes, or it arrives."""
        if overtaken and self.office.under_way:
            self.bill(company)
        self.flow()

    @precondition(lambda self: self.reference.pricing.assignments)
    @rule(pick=domain.picks, last=st.sampled_from([-12, 0, 3, 30]), overtaken=st.booleans())
    def an_assignment_ends(self, pick: int, last: int, overtaken: bool) -> None:
        """What is open and due later is withdrawn; an earlier end than before is refused."""
        assignment_id = self.pick(pick, sorted(self.reference.pricing.assignments))
        assignment = self.reference.pricing.assignments[assignment_id]
        last_date = domain.FIRST_DAY + timedelta(days=last)
        newest, without = assignment.settings[-1], last_date + DAY
        asked = builders.command(
            "end-assignment", assignment_id=assignment_id, last_date=str(last_date)
        )
        answer: dict[str, Any] = self.run(self.office.ask(asked))
        ended = newest.price is None and newest.since <= without
        assert (answer["outcome"] == "accepted") == (not ended or newest.since == without), answer
        if not ended:
            self.asked.append(asked)
            setting = Setting(assignment.changes + 1, without)
            self._change(assignment_id, setting)
        self._billed_meanwhile(assignment.company, overtaken)

    @precondition(lambda self: self.reference.pricing.assignments and not self.office.under_way)
    @rule(pick=domain.picks, at=domain.picks)
    def an_assignment_is_confirmed(self, pick: int, at: int) -> None:
        """Invoiced occurrences are credited at the old and billed at the new price.

        Where nothing would change the command is refused.
        """
        pricing = self.reference.pricing
        known = sorted(pricing.assignments)
        differing = [one for one in known if pricing.unconfirmed(one)]
        assignment_id = self.pick(pick, differing or known)
        found = pricing.unconfirmed(assignment_id)
        since = self.pick(at, sorted(found)) if found else domain.FIRST_DAY
        asked = builders.command(
            "confirm-assignment", assignment_id=assignment_id, from_date=str(since)
        )
        answer: dict[str, Any] = self.run(self.office.ask(asked))
        assert (answer["outcome"] == "accepted") == bool(found), answer
        if found:
            pricing.assignment_is_confirmed(assignment_id, since)
            self.ran.met["occurrence confirmed"] += 1
            self.reference.price_stale()
        self.flow()


def _is_same(before: Setting, after: Setting) -> bool:
    """Whether an assignment is set to what it is set to already."""
    return (before.until, before.monthly, before.dates, before.price) == (
        after.until,
        after.monthly,
        after.dates,
        after.price,
    )
