"""The setup of every history: services and reference, actions on both, and invariants.

While they are delayed, realizations stay in flight, so that batches close in between and
realizations arrive out of order.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant
from pydantic import BaseModel

from shared.consumer.records import Record
from tests import builders
from tests.histories import domain as domain
from tests.histories.compare import (
    differences,
    expected_answer,
    expected_facts,
    given_answer,
    stored_facts,
)
from tests.histories.coverage import met
from tests.histories.office import Office, Unbilled
from tests.histories.reference.billing import ALWAYS, Narrowed, Node, Way
from tests.histories.reference.fees import RETAINER
from tests.histories.reference.ledger import Open
from tests.histories.reference.pricing import Hours, Order, Sheet
from tests.histories.reference.reference import Reference
from tests.histories.stamps import Stamps

Some = TypeVar("Some")


@dataclass
class Counts:
    """How many steps were checked, and how often each case was reached."""

    histories: int = 0
    steps: int = 0
    met: Counter[str] = field(default_factory=Counter)


class HistorySetup(RuleBasedStateMachine):
    """One history. `office`, `run` and `today_is` are set before the first one."""

    office: Office
    run: Callable[[Any], Any]
    today_is: Callable[[date], None]
    ran: Counts

    def __init__(self) -> None:
        super().__init__()
        self.run(self.office.empty())
        self.ran.histories += 1
        self.today_is(domain.FIRST_DAY)
        self.reference = Reference(domain.FIRST_DAY)
        self.reference.billing.companies = domain.companies()
        self.reference.billing.cycles = domain.cycles()
        self.stamps = Stamps()
        self.sent: list[tuple[str, BaseModel]] = []
        self.realizations: list[Record] = []
        self.asked: list[Any] = []
        self.held_up = 0
        self.unbilled: dict[date, Unbilled] = {}
        self.run(self.office.day_begins())

    def teardown(self) -> None:
        """At the end of a history its reports are right, those of past days included.

        `verify` itself finds nothing, which all its checks together did not find before.
        """
        report = self.run(self.office.verified())
        assert report.clean, report.faults
        self.run(self.office.check_reports(self.reference.today, self.unbilled))

    def day_ends(self) -> None:
        """Keep what is not billed at the end of this day."""
        self.unbilled[self.reference.today] = self.run(self.office.unbilled(self.reference.today))

    def day_begins(self, today: date) -> None:
        """Another day: the scheduler follows, and what comes within a year is realized."""
        self.reference.day_comes(today)
        self.today_is(today)
        self.run(self.office.day_begins())
        self.reference.pricing.realize_occurrences(today)
        self.reference.price_stale()

    # -- the ground

    @initialize(
        ways=st.dictionaries(
            st.tuples(st.sampled_from(sorted(domain.COMPANIES)), st.sampled_from(domain.ACCOUNTS)),
            domain.ways,
            min_size=4,
            max_size=6,
        ),
        prices=st.lists(domain.prices, min_size=8, max_size=8),
        weeks=st.lists(
            st.tuples(st.sampled_from(domain.WEEKS), domain.entries), min_size=1, max_size=3
        ),
        billed=st.booleans(),
    )
    def open_the_office(
        self,
        ways: dict[tuple[str, str], Way],
        prices: list[str],
        weeks: list[tuple[date, list[domain.Drawn]]],
        billed: bool,
    ) -> None:
        """Nodes, requirements with prices, terms of some debtors, first timesheets."""
        self.send(
            "billto-changed", *(self.node(node_id, *node) for node_id, node in domain.NODES.items())
        )
        for (company, account), way in ways.items():
            self.way(company, account, way)
        pairs = zip(prices[::2], prices[1::2], strict=True)
        rates = [
            {("REG", domain.LONG_SINCE): regular, ("OT", domain.LONG_SINCE): overtime}
            for regular, overtime in pairs
        ]
        self.send(
            "requirement-changed",
            *(
                self.order(order_id, rates[at], billable=True)
                for at, order_id in enumerate(domain.ORDERS)
            ),
        )
        for week, drawn in weeks:
            self.sheet(self.stamps.new("T"), week, drawn, "imported")
        for name in domain.COMPANIES if billed else ():
            self.close(name, Narrowed(self.reference.today + domain.LATER))

    def bill(self, company: str) -> None:
        """Close a batch of nearly everything."""
        self.close(company, Narrowed(self.reference.today + domain.LATER))

    def close(self, company: str, taken: Narrowed) -> None:
        """Close a batch on both sides."""
        answer = self.ask(
            "generate-batch",
            billing_company=company,
            cut_off_date=str(taken.cut_off),
            groups=sorted(taken.groups),
            exclude_debtors=sorted(taken.without),
        )
        assert given_answer(answer["details"]) == expected_answer(
            *self.reference.billing.batch(company, taken)
        ), answer
        self.price_uncited()

    def ask(self, kind: str, **values: Any) -> dict[str, Any]:
        """Send a command that must be accepted."""
        asked = builders.command(kind, **values)
        answer: dict[str, Any] = self.run(self.office.ask(asked))
        assert answer["outcome"] == "accepted", answer
        self.asked.append(asked)
        return answer

    def send(self, topic: str, *events: BaseModel) -> None:
        """Send events, now and perhaps again later."""
        self.run(self.office.tell(topic, *events))
        self.sent += [(topic, event) for event in events]

    def node(self, node_id: str, level: str, parent: str | None, account: str) -> BaseModel:
        """A new revision of a node, to be sent."""
        self.reference.billing.nodes[node_id] = Node(level, parent, account)
        return builders.node(
            node_id, level, self.stamps.next(node_id), parent_id=parent, account_name=account
        )

    def order(
        self, order_id: str, rates: dict[tuple[str, date], str], *, billable: bool, office: str = ""
    ) -> BaseModel:
        """A new revision of a requirement, to be sent."""
        company, home, currency = domain.ORDERS[order_id]
        status = "Filled" if billable else "Open"
        known = self.reference.pricing.orders.setdefault(
            order_id, Order(order_id, company, home, currency)
        )
        known.office, known.statuses = office or home, {domain.LONG_SINCE: (status, "Temp")}
        after = {key: Decimal(price) for key, price in rates.items()}
        if after != known.from_ats:
            known.from_ats = after
            known.rate_limiter()
        revision = self.stamps.next(order_id)
        self.reference.pricing.retainer_comes(order_id, revision)
        self.reference.pricing.rates_change(order_id)
        retainer: dict[str, Any] | None = None
        if known.retainer is not None:
            retainer = {"item_id": RETAINER, "amount": str(known.retainer)}
            retainer["refundable"] = known.refundable
        return builders.requirement(
            order_id,
            revision,
            retainer=retainer,
            billing_company=company,
            office_id=office or home,
            currency=currency,
            statuses=[
                {"from_date": str(domain.LONG_SINCE), "status": status, "position_type": "Temp"}
            ],
            rates=[
                builders.rate(kind, price, str(since)) for (kind, since), price in rates.items()
            ],
        )

    def way(self, company: str, account: str, way: Way) -> None:
        """The terms of a debtor: the first time from the beginning, later from today on."""
        known = self.reference.billing.ways.setdefault((company, account), {})
        # Allowances are removed by name. Later ones follow those in force, whose order they keep.
        before = self.reference.billing.way(company, account, self.reference.today).allowances
        kept = [each for each in before if each in way.allowances]
        added = [each for each in way.allowances if each not in before]
        self.ask(
            "set-debtor-terms",
            billing_company=company,
            account_name=account,
            payment_terms=way.payment,
            credits=way.credits,
            zero_documents=way.zero_documents,
            tax_regime=way.regime,
            time_group=way.time_group,
            allowances=[
                {
                    "kind": "discount" if each.sign < 0 else "surcharge",
                    "name": each.name,
                    "percent": None if each.percent is None else str(each.percent),
                    "amount": None if each.percent is not None else str(each.amount),
                    "applies_to": each.of,
                }
                for each in added
            ],
            remove_allowances=[each.name for each in before if each not in way.allowances],
        )
        known[self.reference.today if known else ALWAYS] = replace(way, allowances=(*kept, *added))

    def flow(self) -> None:
        """Deliver every realization until nothing is in flight and nothing is stale."""
        self.price_uncited()
        while not self.held_up and (self.office.under_way or self.reference.stale()):
            self.arrive(self.office.under_way)
            if self.reference.stale():
                self.ran.met["stale statement"] += 1
                self.run(self.office.jobs("fee_realizer"))
                self.reference.price_stale()
            self.price_uncited()

    def price_uncited(self) -> None:
        """Price documents again whose lines credits took off the documents."""
        if self.reference.uncited():
            self.ran.met["credited after a change of rates"] += 1
            self.run(self.office.jobs("fee_realizer"))
            self.reference.price_stale()

    def arrive(self, records: list[Record]) -> None:
        """Deliver these realizations to the invoicer as one polled batch."""
        arriving = list(records)
        self.office.under_way = [one for one in self.office.under_way if one not in arriving]
        self.realizations += [one for one in arriving if one not in self.realizations]
        if arriving:
            self.run(self.office.deliver(arriving))
            self.reference.deliver(self.stamps.of_realization(one) for one in arriving)

    def sheet(
        self,
        original: str,
        week: date,
        drawn: list[domain.Drawn],
        stamp: str,
        source_id: str = "",
        *,
        late: bool = False,
    ) -> None:
        """Send a revision of an original or of an adjustment of it."""
        source_id = source_id or original
        revision = self.stamps.late(source_id) if late else self.stamps.next(source_id)
        if revision is None:
            return
        entries = domain.week_of(drawn, week)
        approved_at = self.stamps.instant() if stamp == "stamped" else None
        workflow = (
            None
            if stamp == "imported"
            else {
                "submitted_at": "2026-01-01T00:00:00Z",
                "approved_at": approved_at and approved_at.isoformat(),
            }
        )
        event = builders.timesheet(
            source_id,
            revision,
            [one.wire for one in entries],
            week_ending=str(week),
            worker_id=f"W-{original}",
            workflow=workflow,
            adjusts=original if source_id != original else None,
        )
        self.stamps.weeks[original] = week
        if not late:
            self.stamps.drawn[original] = drawn
        self.send("timesheet-approved", event)
        own = tuple(
            Hours(one.order_id, one.day, one.time_type, one.hours, one.po) for one in entries
        )
        self.reference.pricing.sheet_comes(
            original,
            Sheet(
                source_id, revision, f"W-{original}", week, stamp != "unapproved", approved_at, own
            ),
        )
        self.flow()

    # -- what must hold

    @invariant()
    def the_books_are_right(self) -> None:
        """Every line equals the reference, and `verify` finds nothing."""
        self.ran.steps += 1
        if self.held_up:
            self.held_up -= 1
            self.flow()
        found = differences(self.run(stored_facts(self.office)), expected_facts(self.reference))
        assert not found, "\n".join(found)
        violations = self.run(self.office.violations())
        assert not violations, violations
        self.ran.met.update(met(self.reference))

    def pick(self, number: int, among: list[Some]) -> Some:
        """One of several things."""
        return among[number % len(among)]

    def debits(self) -> list[Open]:
        """Open lines that are no credits, in a fixed order."""
        return sorted(
            (one for one in self.reference.ledger.lines() if one.corrects is None),
            key=lambda one: (one.document, one.line.key),
        )
