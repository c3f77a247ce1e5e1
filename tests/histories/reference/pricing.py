"""Values of documents: which timesheet counts, holds, hours times the bill rate, charges.

A document gets a new realization whenever its value changes. Lines on documents keep the rates
that they cite.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from tests.histories.reference.assignments import Assignment, Occurrence, Setting, in_force
from tests.histories.reference.fees import Charge, Fees, instalments, retainer_line
from tests.histories.reference.values import Document, Line, Pair, money, short

LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)
Rates = dict[tuple[str, date], Decimal]
"""Time type and from-date → price."""


@dataclass
class Order:
    """A requirement. It keeps every state of its rates, so that invoiced lines can cite one."""

    order_id: str
    company: str
    office: str
    currency: str
    statuses: dict[date, tuple[str, str]] = field(default_factory=dict)
    from_ats: Rates = field(default_factory=dict)
    by_command: Rates = field(default_factory=dict)
    revision: int = -1
    rate_books: list[Rates] = field(default_factory=lambda: [{}])
    confirmed: list[tuple[str, date, int]] = field(default_factory=list)
    retainer: Decimal | None = None
    refundable: bool = False

    @property
    def book(self) -> int:
        """The number of the newest state."""
        return len(self.rate_books) - 1

    def rate_limiter(self) -> None:
        """Add a state: for one from-date the rate of the command wins."""
        self.rate_books.append({**self.from_ats, **self.by_command})

    def price(self, time_type: str, day: date, book: int) -> tuple[date, Decimal] | None:
        """The rate in force on a day."""
        since = [of for kind, of in self.rate_books[book] if kind == time_type and of <= day]
        return (max(since), self.rate_books[book][time_type, max(since)]) if since else None

    def cited_price(self, time_type: str, day: date, book: int) -> tuple[date, Decimal] | None:
        """The rate of a line on a document: that of its state, or a later confirmed one."""
        for kind, since, later in reversed(self.confirmed):
            found = self.price(time_type, day, later)
            if kind == time_type and later > book and found is not None and found[0] == since:
                return found
        return self.price(time_type, day, book) or self.price(time_type, day, self.book)

    def billable(self, day: date) -> str:
        """Why time of that day may not be billed: a code, or empty."""
        since = [of for of in self.statuses if of <= day]
        status, position = self.statuses[max(since)] if since else ("", "")
        if status.lower() != "filled":
            return "requirement_not_filled"
        return "" if position.lower() in ("contract", "temp") else "position_type_not_billable"


@dataclass(frozen=True)
class Hours:
    """Time of one day."""

    order_id: str
    day: date
    time_type: str
    hours: Decimal
    po: str = ""


@dataclass(frozen=True)
class Sheet:
    """A revision of a timesheet: approved with a timestamp, imported (None), or not approved."""

    source_id: str
    revision: int
    worker: str
    week: date
    approved: bool
    approved_at: datetime | None
    entries: tuple[Hours, ...]


@dataclass(frozen=True)
class Realization:
    """The value of a document, or that it is held.

    `basis`: time type of a requirement → state of the rates. `cited`: which of them invoiced lines
    cited.
    """

    number: int
    realized: bool
    lines: tuple[Line, ...] = ()
    basis: Mapping[tuple[str, str], int] = field(default_factory=dict)
    cited: frozenset[tuple[str, str]] = frozenset()


@dataclass
class Paper:
    """A document with everything that was sent of it and all its realizations."""

    sheets: dict[str, dict[int, Sheet]] = field(default_factory=dict)
    placements: dict[int, Fees] = field(default_factory=dict)
    charges: dict[int, Charge] = field(default_factory=dict)
    occurrences: dict[int, Occurrence] = field(default_factory=dict)
    in_force: tuple[str, int] | None = None
    realizations: list[Realization] = field(default_factory=list)
    held: str = ""


@dataclass
class Pricing:
    """All documents and their facts. `cited` returns which rates its invoiced lines cite."""

    cited: Callable[[Document], Mapping[tuple[str, str], int]]
    orders: dict[str, Order] = field(default_factory=dict)
    gates: dict[str, str] = field(default_factory=dict)
    papers: dict[Document, Paper] = field(default_factory=dict)
    assignments: dict[str, Assignment] = field(default_factory=dict)

    # -- what comes

    def sheet_comes(self, original: str, sheet: Sheet) -> None:
        """A revision of an original or of an adjustment; a repeat has no effect."""
        paper = self.papers.setdefault(("timesheet", original), Paper())
        paper.sheets.setdefault(sheet.source_id, {}).setdefault(sheet.revision, sheet)
        chosen = _chosen(original, paper.sheets)
        if chosen is not None and (chosen.source_id, chosen.revision) != paper.in_force:
            paper.in_force = chosen.source_id, chosen.revision
            self.price(("timesheet", original))

    def placement_comes(self, placement_id: str, fees: Fees) -> None:
        """A revision of a placement; the highest counts."""
        paper = self.papers.setdefault(("placement", placement_id), Paper())
        paper.placements.setdefault(fees.revision, fees)
        if paper.in_force is None or fees.revision > paper.in_force[1]:
            paper.in_force = placement_id, fees.revision
            self.price(("placement", placement_id))
            if self.orders[fees.order_id].retainer is not None:
                self._price_retained(fees.order_id)

    def charge_comes(self, charge_id: str, charge: Charge) -> None:
        """The next revision of a charge."""
        paper = self.papers.setdefault(("charge", charge_id), Paper())
        paper.charges[charge.revision] = charge
        paper.in_force = charge_id, charge.revision
        self.price(("charge", charge_id))

    def assignment_is_set(self, assignment_id: str, setting: Setting, today: date) -> None:
        """Another price, other days or an end from a day on."""
        self.assignments[assignment_id].change(setting)
        self.realize_occurrences(today)

    def realize_occurrences(self, today: date) -> None:
        """Value what assignments are due within a year, once each."""
        for assignment_id, assignment in self.assignments.items():
            for occurrence in assignment.realize(today) if assignment.settings else ():
                self._occurs(assignment_id, occurrence)

    def unconfirmed(self, assignment_id: str) -> dict[date, list[Occurrence]]:
        """Invoiced occurrences that later terms would change, by the day since when these hold."""
        found: dict[date, list[Occurrence]] = {}
        for due, made in sorted(self.assignments[assignment_id].made.items()):
            document = "assignment", f"{assignment_id}@{due}"
            cited = self.cited(document).get((document[1], ""))
            if cited is None or made.withdrawn:
                continue
            terms, book = in_force(self.papers[document].occurrences, cited)
            now, then = terms.lines(document[1], book), made.lines(document[1], book)
            if now and [one.said for one in now] != [one.said for one in then]:
                found.setdefault(made.since, []).append(made)
        return found

    def assignment_is_confirmed(self, assignment_id: str, since: date) -> None:
        """Invoiced occurrences take the terms that hold since a day."""
        assignment = self.assignments[assignment_id]
        occurrences = self.unconfirmed(assignment_id)[since]
        assignment.changes += 1
        for made in occurrences:
            self._occurs(assignment_id, assignment.confirm(made))

    def _occurs(self, assignment_id: str, occurrence: Occurrence) -> None:
        document = "assignment", f"{assignment_id}@{occurrence.due}"
        paper = self.papers.setdefault(document, Paper())
        paper.occurrences[occurrence.revision] = occurrence
        paper.in_force = document[1], occurrence.revision
        self.price(document)

    def newest_book(self, of: tuple[str, str]) -> int:
        """The newest state of the rates of a requirement, or the newest revision of an occurrence,
        which has no time type.
        """
        if of[1]:
            return self.orders[of[0]].book
        return max(self.papers["assignment", of[0]].occurrences)

    def retainer_comes(self, order_id: str, revision: int) -> None:
        """The next revision of a requirement that has a retainer, or had one."""
        document = "retainer", order_id
        if self.orders[order_id].retainer is not None or document in self.papers:
            self.papers.setdefault(document, Paper()).in_force = order_id, revision

    def placements_of(self, document: Document) -> Fees:
        """The revision of a placement that is in force."""
        paper = self.papers[document]
        assert paper.in_force is not None
        return paper.placements[paper.in_force[1]]

    def _placed(self, order_id: str) -> dict[str, Fees]:
        """The placements of a requirement, as they are in force."""
        found = {}
        for (kind, document_id), paper in self.papers.items():
            if kind == "placement" and paper.in_force is not None:
                fees = paper.placements[paper.in_force[1]]
                if fees.order_id == order_id:
                    found[document_id] = fees
        return found

    def _price_retained(self, order_id: str) -> None:
        """Price what shares a retainer: its placements, then itself."""
        for placement_id in sorted(self._placed(order_id)):
            self.price(("placement", placement_id))
        if ("retainer", order_id) in self.papers:
            self.price(("retainer", order_id))

    def rates_change(self, order_id: str) -> None:
        """A changed requirement reprices the documents that ever named it."""
        for document, paper in self.papers.items():
            named = {
                entry.order_id
                for of in paper.sheets.values()
                for sheet in of.values()
                for entry in sheet.entries
                if entry.hours
            }
            named |= {fees.order_id for fees in paper.placements.values() if fees.fees}
            if order_id in named and paper.in_force is not None:
                self.price(document)
        self._price_retained(order_id)

    # -- what it is worth

    def price(self, document: Document, *, stale: bool = False) -> None:
        """Add a realization if the value changed or the last realization was not settled."""
        paper = self.papers[document]
        last = paper.realizations[-1] if paper.realizations else None
        found = self._worth(document)
        number = len(paper.realizations) + 1
        if isinstance(found, str):
            paper.held = found
            if last is not None and last.realized:
                paper.realizations.append(Realization(number, realized=False))
            return
        paper.held = ""
        lines, basis = found
        if (
            stale
            or last is None
            or not last.realized
            or [line.said for line in lines] != [line.said for line in last.lines]
        ):
            cited = frozenset(self.cited(document).keys() & basis.keys())
            paper.realizations.append(Realization(number, True, tuple(lines), basis, cited))

    def _worth(self, document: Document) -> str | tuple[list[Line], dict[tuple[str, str], int]]:
        paper = self.papers[document]
        assert paper.in_force is not None
        source_id, revision = paper.in_force
        if document[0] == "placement":
            fees = paper.placements[revision]
            order = self.orders[fees.order_id]
            lines, _ = instalments(order, self._placed(fees.order_id), source_id)
            return lines, {}
        if document[0] == "charge":
            return paper.charges[revision].lines(), {}
        if document[0] == "assignment":
            terms, book = in_force(paper.occurrences, self.cited(document).get((source_id, "")))
            return terms.lines(source_id, book), {(source_id, ""): book}
        if document[0] == "retainer":
            order = self.orders[source_id]
            if order.retainer is None:
                return [], {}
            if "filled" not in {status.lower() for status, _ in order.statuses.values()}:
                return "requirement_not_approved"
            return [retainer_line(order, self._placed(source_id))], {}
        sheet = paper.sheets[source_id][revision]
        entries = [entry for entry in sheet.entries if entry.hours]
        if sheet.approved is False:
            return "not_approved"
        for order_id in sorted({entry.order_id for entry in entries}):
            why = self.orders[order_id].billable(sheet.week)
            if why:
                return why
        return self._time(sheet, entries, self.cited(document))

    def _time(
        self, sheet: Sheet, entries: Iterable[Hours], cited: Mapping[tuple[str, str], int]
    ) -> str | tuple[list[Line], dict[tuple[str, str], int]]:
        sums: dict[str, list[Any]] = {}
        basis: dict[tuple[str, str], int] = {}
        for entry in entries:
            order, kind = self.orders[entry.order_id], (entry.order_id, entry.time_type)
            basis[kind] = cited.get(kind, order.book)
            found = order.cited_price(entry.time_type, entry.day, basis[kind])
            if found is None:
                return "no_bill_rate"
            since, price = found
            key = _text(
                ["t", entry.order_id, entry.time_type, f"{since}@{short(price)}", "", "", entry.po]
            )
            sums.setdefault(key, [entry, price, []])[2].append(entry)
        lines = []
        for key, (one, price, own) in sorted(sums.items()):
            order = self.orders[one.order_id]
            hours = sum((entry.hours for entry in own), Decimal(0))
            days = [entry.day for entry in own]
            kind = one.order_id, one.time_type
            worth = Pair(hours, money(hours * price, order.currency))
            place = order.company, order.office, order.currency
            span = min(days), max(days)
            lines.append(
                Line(
                    key,
                    ("t", *kind),
                    *place,
                    worth,
                    price,
                    sheet.week,
                    sheet.week,
                    span,
                    sheet.worker,
                    one.po,
                    kind,
                    basis[kind],
                )
            )
        return lines, basis


def _text(key: list[Any]) -> str:
    return json.dumps(key, separators=(",", ":"))


def _chosen(original: str, sheets: Mapping[str, Mapping[int, Sheet]]) -> Sheet | None:
    """The newest revision of each sheet; of the ever approved ones that approved last.

    An original that was never approved counts alone.
    """
    best: tuple[datetime, str] | None = None
    for source_id, revisions in sheets.items():
        approved = [sheet for sheet in revisions.values() if sheet.approved]
        if approved:
            newest = max(approved, key=lambda sheet: sheet.revision)
            order = (newest.approved_at or LONG_AGO, source_id)
            best = order if best is None else max(best, order)
    source_id = original if best is None else best[1]
    return sheets[source_id][max(sheets[source_id])] if source_id in sheets else None
