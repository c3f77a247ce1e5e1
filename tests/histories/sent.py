"""What the ATS sends in a history: timesheets with revisions and adjustments, placements, job orders with rates, nodes; each perhaps again."""

from datetime import date, timedelta
from decimal import Decimal

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests import builders
from tests.histories import world
from tests.histories.ground import Ground
from tests.histories.reference.pricing import Fees


class Sent(Ground):
    """Rules of what comes in, once, again, late."""

    @rule(drawn=world.entries, week=st.sampled_from(world.WEEKS), stamp=world.stamps)
    def a_timesheet_comes(self, drawn: list[world.Drawn], week: date, stamp: str) -> None:
        """The first revision of an original."""
        self.sheet(self.stamps.new("T"), week, drawn, stamp)

    @precondition(lambda self: self.stamps.weeks)
    @rule(pick=world.picks, drawn=world.entries, stamp=world.stamps, late=st.integers(0, 5))
    def a_revision_comes(self, pick: int, drawn: list[world.Drawn], stamp: str, late: int) -> None:
        """A later revision with other time; sometimes one below the newest, which is recorded without effect on the worth."""
        original = self.pick(pick, sorted(self.stamps.weeks))
        self.sheet(original, self.stamps.weeks[original], drawn, stamp, late=late == 5)

    @precondition(lambda self: self.stamps.weeks)
    @rule(pick=world.picks, at=world.picks, hours=st.sampled_from(world.HOURS))
    def a_day_changes(self, pick: int, at: int, hours: str) -> None:
        """A later revision that differs in the hours of one day only."""
        original = self.pick(pick, sorted(self.stamps.weeks))
        drawn = list(self.stamps.drawn[original])
        if drawn:
            place = at % len(drawn)
            drawn[place] = (*drawn[place][:2], hours, drawn[place][3])
        self.sheet(original, self.stamps.weeks[original], drawn, "imported")

    @precondition(lambda self: self.stamps.weeks)
    @rule(pick=world.picks)
    def it_is_cancelled(self, pick: int) -> None:
        """A revision without entries."""
        original = self.pick(pick, sorted(self.stamps.weeks))
        self.sheet(original, self.stamps.weeks[original], [], "imported")

    @precondition(lambda self: self.stamps.weeks)
    @rule(pick=world.picks, drawn=world.entries, sheet=st.sampled_from(["A", "B"]), stamp=world.stamps)
    def an_adjustment_comes(self, pick: int, drawn: list[world.Drawn], sheet: str, stamp: str) -> None:
        """A timesheet of its own that adjusts an original, approved or not."""
        original = self.pick(pick, sorted(self.stamps.weeks))
        self.sheet(original, self.stamps.weeks[original], drawn, stamp, f"{original}-{sheet}")

    @rule(pick=world.picks, new=st.booleans(), order_id=st.sampled_from(sorted(world.ORDERS)), drawn=world.fees, start=st.integers(-10, 3))
    def a_placement_comes(self, pick: int, new: bool, order_id: str, drawn: list[tuple[str, list[tuple[str, int]]]], start: int) -> None:
        """A direct hire, or a later revision of one: other fees, another start, none at all."""
        known = sorted(self.stamps.placements)
        placement_id = self.stamps.new("P") if new or not known else self.pick(pick, known)
        order_id = self.stamps.placements.setdefault(placement_id, order_id)
        currency, revision, day = world.ORDERS[order_id][2], self.stamps.next(placement_id), world.FIRST_DAY + timedelta(days=start)
        plans = [{"fee_id": f"F{at}", "item_id": world.ITEM, "amount": amount, "plan": [{"share": share, "day": due} for share, due in plan]}
                 for at, (amount, plan) in enumerate(drawn)]  # fmt: skip
        event = builders.placement(placement_id, revision, requirement_id=order_id, start_date=str(day), salary=None, currency=currency, fees=plans)
        self.send("placement-created", event)
        fees = tuple((f"F{at}", world.ITEM, Decimal(amount), tuple((Decimal(share), due) for share, due in plan)) for at, (amount, plan) in enumerate(drawn))
        self.reference.pricing.placement_comes(placement_id, Fees(revision, order_id, builders.WORKER, day, currency, fees))
        self.flow()

    @rule(
        order_id=st.sampled_from(sorted(world.ORDERS)),
        rates=st.dictionaries(st.tuples(st.sampled_from(world.TIME_TYPES), st.sampled_from(world.RATE_DAYS)), world.prices, max_size=4),
        billable=st.sampled_from([True, True, True, False]),
        office=st.sampled_from(["", "", *world.OFFICES]),
    )
    def a_job_order_changes(self, order_id: str, rates: dict[tuple[str, date], str], billable: bool, office: str) -> None:
        """Other rates, another office, no longer Filled: open lines follow at once, invoiced ones keep what they cite."""
        order = self.order(order_id, {("REG", world.LONG_SINCE): "50", ("OT", world.LONG_SINCE): "75.1255", **rates}, billable=billable, office=office)
        self.send("requirement-changed", order)
        self.flow()

    @rule(node_id=st.sampled_from(sorted(world.NODES)), account=st.sampled_from(["", *world.ACCOUNTS]), parent=st.booleans())
    def a_node_moves(self, node_id: str, account: str, parent: bool) -> None:
        """Another Account Name, or none, or no parent any more: open debits move, documents and their credits do not."""
        level, above, _ = world.NODES[node_id]
        self.send("billto-changed", self.node(node_id, level, above if parent else None, account))

    # -- repeats and reorderings

    @precondition(lambda self: self.statements)
    @rule(pick=world.picks, other=world.picks, what=st.sampled_from(["event", "command", "statements", "worker"]))
    def something_comes_again(self, pick: int, other: int, what: str) -> None:
        """A repeat has no effect: an event, a command, statements that were settled long ago in any order; and workers may start anew."""
        if what == "worker":
            self.run(self.office.restart())
        if what == "event":
            topic, event = self.pick(pick, self.sent)
            self.run(self.office.tell(topic, event))
        elif what == "command" and self.asked:
            self.run(self.office.ask(self.pick(pick, self.asked)))
        else:
            self.arrive([self.pick(pick, self.statements), self.pick(other, self.statements)])
        self.flow()

    @precondition(lambda self: not self.held_up)
    @rule(steps=st.integers(1, 4))
    def statements_are_held_up(self, steps: int) -> None:
        """For some steps statements stay under way: batches close before them, later ones overtake earlier ones."""
        self.held_up = steps + 1

    @precondition(lambda self: self.office.under_way)
    @rule(pick=world.picks)
    def one_of_them_gets_through(self, pick: int) -> None:
        """A later statement may overtake an earlier one."""
        self.arrive([self.pick(pick, self.office.under_way)])

    @precondition(lambda self: self.reference.pricing.papers)
    @rule(days=st.integers(1, 8))
    def days_pass(self, days: int) -> None:
        """Scheduled lines fall due, snoozes end."""
        self.reference.day_comes(self.reference.today + timedelta(days=days))
        self.today_is(self.reference.today)
