"""Events of the ATS in a history: timesheets, adjustments, placements, requirements, nodes.

Each may be repeated.
"""

from datetime import date, timedelta
from decimal import Decimal

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests import builders
from tests.histories import domain as domain
from tests.histories.reference.billing import Narrowed, Way
from tests.histories.reference.fees import TRAVEL, Charge, Fees
from tests.histories.setup import HistorySetup


class AtsEvents(HistorySetup):
    """Rules of events: once, repeated, late."""

    @rule(drawn=domain.entries, week=st.sampled_from(domain.WEEKS), stamp=domain.stamps)
    def a_timesheet_comes(self, drawn: list[domain.Drawn], week: date, stamp: str) -> None:
        """The first revision of an original."""
        self.sheet(self.stamps.new("T"), week, drawn, stamp)

    @precondition(lambda self: self.stamps.weeks)
    @rule(
        pick=domain.picks,
        drawn=domain.entries,
        stamp=domain.stamps,
        what=domain.revisions,
        billed=st.booleans(),
    )
    def a_revision_comes(
        self, pick: int, drawn: list[domain.Drawn], stamp: str, what: str, billed: bool
    ) -> None:
        """A later revision of a timesheet.

        With other time or without entries; an adjustment timesheet, approved or not; or a revision
        below the newest, which is stored without effect. What it opens is billed at once or not.
        """
        original = self.pick(pick, sorted(self.stamps.weeks))
        week = self.stamps.weeks[original]
        if what == "cancelled":
            self.sheet(original, week, [], "imported")
        elif what in ("A", "B"):
            self.sheet(original, week, drawn, stamp, f"{original}-{what}")
        else:
            self.sheet(original, week, drawn, stamp, late=what == "late")
        for name in domain.COMPANIES if billed else ():
            self.close(name, Narrowed(self.reference.today + domain.LATER))

    @precondition(lambda self: self.stamps.weeks)
    @rule(
        pick=domain.picks,
        at=domain.picks,
        turns=domain.turns,
        moves=st.none() | st.sampled_from(domain.ACCOUNTS),
        billed=st.booleans(),
        swapped=st.booleans(),
    )
    def hours_go_up_and_down(
        self, pick: int, at: int, turns: list[str], moves: str | None, billed: bool, swapped: bool
    ) -> None:
        """Revisions that change the hours of one day only, each billed or not.

        So a key is on several invoices, is credited in steps down to nothing, and has several
        debtors if the office moves meanwhile. With the last revision some hours have the other time
        type: a credit and a debit.
        """
        on_documents = [
            document[1]
            for document, page in self.reference.ledger.pages.items()
            if page.billed and document[1] in self.stamps.weeks
        ]
        original = self.pick(pick, sorted(on_documents or self.stamps.weeks))
        company = domain.NORTH
        for number, hours in enumerate(turns, 1):
            drawn = list(self.stamps.drawn[original])
            if drawn:
                place = at % len(drawn)
                drawn[place] = (*drawn[place][:2], hours, drawn[place][3])
                company = domain.ORDERS[drawn[place][0]][0]
                if swapped and number == len(turns) and len(drawn) < domain.WEEK_DAYS:
                    drawn.append(
                        (
                            drawn[place][0],
                            "OT" if drawn[place][1] == "REG" else "REG",
                            "1",
                            drawn[place][3],
                        )
                    )
            self.sheet(original, self.stamps.weeks[original], drawn, "imported")
            if number == 1 and moves is not None:
                self.send(
                    "billto-changed",
                    *(self.node(office, "office", None, moves) for office in domain.OFFICES),
                )
            if billed or number < len(turns):
                self.close(company, Narrowed(self.reference.today + domain.LATER))

    @rule(
        pick=domain.picks,
        new=st.booleans(),
        order_id=st.sampled_from(sorted(domain.ORDERS)),
        drawn=domain.fees,
        start=st.integers(-10, 3),
        end=domain.ends,
    )
    def a_placement_comes(
        self,
        pick: int,
        new: bool,
        order_id: str,
        drawn: list[tuple[str, list[tuple[str, int]]]],
        start: int,
        end: int | None = None,
    ) -> None:
        """A direct hire, or a later revision of one: other fees, another start, an end, none."""
        known = sorted(self.stamps.placements)
        placement_id = self.stamps.new("P") if new or not known else self.pick(pick, known)
        order_id = self.stamps.placements.setdefault(placement_id, order_id)
        currency, revision, day = (
            domain.ORDERS[order_id][2],
            self.stamps.next(placement_id),
            domain.FIRST_DAY + timedelta(days=start),
        )
        plans = [
            {
                "fee_id": f"F{at}",
                "item_id": domain.ITEM,
                "amount": amount,
                "plan": [{"share": share, "day": due} for share, due in plan],
            }
            for at, (amount, plan) in enumerate(drawn)
        ]
        event = builders.placement(
            placement_id,
            revision,
            requirement_id=order_id,
            start_date=str(day),
            end_date=None if end is None else str(day + timedelta(days=end)),
            salary=None,
            currency=currency,
            fees=plans,
        )
        self.send("placement-created", event)
        fees = tuple(
            (
                f"F{at}",
                domain.ITEM,
                Decimal(amount),
                tuple((Decimal(share), due) for share, due in plan),
            )
            for at, (amount, plan) in enumerate(drawn)
        )
        self.reference.pricing.placement_comes(
            placement_id,
            Fees(
                revision,
                order_id,
                builders.WORKER,
                day,
                currency,
                fees,
                None if end is None else day + timedelta(days=end),
            ),
        )
        self.flow()

    @rule(
        pick=domain.picks,
        new=st.booleans(),
        order_id=st.sampled_from(sorted(domain.ORDERS)),
        drawn=domain.charges,
        day=st.integers(-10, 3),
    )
    def a_charge_comes(
        self, pick: int, new: bool, order_id: str, drawn: tuple[str, str], day: int
    ) -> None:
        """A charge, or its next revision: another quantity, price or day, or none."""
        known = sorted(self.stamps.charges)
        charge_id = self.stamps.new("C") if new or not known else self.pick(pick, known)
        company, office, currency = domain.ORDERS[
            self.stamps.charges.setdefault(charge_id, order_id)
        ]
        (quantity, price), on = drawn, domain.FIRST_DAY + timedelta(days=day)
        revision = self.stamps.next(charge_id)
        event = builders.charge(
            charge_id,
            revision,
            billing_company=company,
            node_id=office,
            item_id=TRAVEL,
            quantity=quantity,
            price=price,
            currency=currency,
            service_date=str(on),
            receipt="",
            recoverable_tax=None,
            markup=None,
        )
        self.send("charge-added", event)
        charge = Charge(revision, company, office, currency, Decimal(quantity), Decimal(price), on)
        self.reference.pricing.charge_comes(charge_id, charge)
        self.flow()

    @rule(
        order_id=st.sampled_from(sorted(domain.ORDERS)),
        rates=st.dictionaries(
            st.tuples(st.sampled_from(domain.TIME_TYPES), st.sampled_from(domain.RATE_DAYS)),
            domain.prices,
            max_size=4,
        ),
        billable=st.sampled_from([True, True, True, False]),
        office=st.sampled_from(["", "", *domain.OFFICES]),
        retainer=domain.retainers,
        refundable=st.booleans(),
    )
    def a_job_order_changes(
        self,
        order_id: str,
        rates: dict[tuple[str, date], str],
        billable: bool,
        office: str,
        retainer: str | None = None,
        refundable: bool = False,
    ) -> None:
        """Other rates, another office, no longer Filled, another retainer.

        Open lines follow at once, invoiced ones keep what they cite.
        """
        known = self.reference.pricing.orders[order_id]
        known.retainer = None if retainer is None else Decimal(retainer)
        known.refundable = refundable
        order = self.order(
            order_id,
            {("REG", domain.LONG_SINCE): "50", ("OT", domain.LONG_SINCE): "75.1255", **rates},
            billable=billable,
            office=office,
        )
        self.send("requirement-changed", order)
        self.flow()

    @rule(
        node_id=st.sampled_from(sorted(domain.NODES)),
        account=st.sampled_from(["", *domain.ACCOUNTS]),
        parent=st.booleans(),
        way=st.none() | domain.ways,
    )
    def who_pays_changes(self, node_id: str, account: str, parent: bool, way: Way | None) -> None:
        """Another Account Name, none, or no parent.

        Open debits move, documents and their credits do not. Or the terms of a debtor change from
        today on: cycle, credits, documents of zero, payment terms.
        """
        level, above, _ = domain.NODES[node_id]
        if way is None or not account:
            self.send(
                "billto-changed", self.node(node_id, level, above if parent else None, account)
            )
        else:
            self.way(domain.NORTH if parent else domain.SOUTH, account, way)

    # -- repeats and reorderings

    @precondition(lambda self: self.realizations)
    @rule(
        pick=domain.picks,
        other=domain.picks,
        what=st.sampled_from(["event", "command", "statements", "worker"]),
    )
    def something_comes_again(self, pick: int, other: int, what: str) -> None:
        """A repeat has no effect, nor does a restart of the workers.

        An event, a command, or realizations that were settled long ago, in any order.
        """
        if what == "worker":
            self.run(self.office.restart())
        if what == "event":
            topic, event = self.pick(pick, self.sent)
            self.run(self.office.tell(topic, event))
        elif what == "command" and self.asked:
            self.run(self.office.ask(self.pick(pick, self.asked)))
        else:
            self.arrive([self.pick(pick, self.realizations), self.pick(other, self.realizations)])
        self.flow()

    @precondition(lambda self: not self.held_up)
    @rule(steps=st.integers(1, 4))
    def statements_are_held_up(self, steps: int) -> None:
        """For some steps realizations stay in flight.

        Batches close before them, later ones overtake earlier ones.
        """
        self.held_up = steps + 1

    @precondition(lambda self: self.office.under_way)
    @rule(pick=domain.picks)
    def one_of_them_gets_through(self, pick: int) -> None:
        """A later realization may overtake an earlier one."""
        self.arrive([self.pick(pick, self.office.under_way)])
