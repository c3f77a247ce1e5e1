"""Batches, debtors, documents: billing cycles, payers of nodes, tax, numbers, credits by hand."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

from tests.histories.reference.ledger import Billed, Ledger, Open, Terms, settle
from tests.histories.reference.values import DECIMALS, ZERO, Document, Pair, money

WORDINGS = {
    "standard": "",
    "exempt": "Exempt from tax",
    "reverse-charge": "Reverse charge: tax is due by the buyer",
}
LEVELS = ("company", "client", "office")
ALWAYS = date(1970, 1, 1)


@dataclass(frozen=True)
class Cycle:
    """A time group."""

    kind: str
    weekday: int = 0
    anchor: date = ALWAYS
    periods: tuple[tuple[date, date], ...] = ()

    def last_day(self, cut_off: date) -> date | None:
        """The last day of the last complete cycle that ends on or before the cut-off, or None."""
        for back in range(800):
            day = cut_off - timedelta(days=back)
            if self._ends(day):
                return day
        return None

    def _ends(self, day: date) -> bool:
        if self.kind == "weekly":
            return day.weekday() == self.weekday
        if self.kind == "fortnightly":
            return (day - self.anchor).days % 14 == 0
        if self.kind == "monthly":
            return (day + timedelta(days=1)).day == 1
        return any(last == day for _, last in self.periods)


@dataclass(frozen=True)
class Allowance:
    """A discount (`sign` -1) or surcharge of a debtor: a percentage, or an amount once a batch."""

    name: str
    sign: int
    percent: Decimal | None = None
    amount: Decimal = ZERO
    of: str = "all"

    def takes(self, one: Open) -> bool:
        """Whether it is taken of a line: a debit above zero of its kind; an amount of originals."""
        kinds = ("all", "products" if one.line.week is None else "timesheets")
        original = self.percent is not None or not one.correction
        return one.corrects is None and one.worth.amount > 0 and self.of in kinds and original


@dataclass(frozen=True)
class Way:
    """How a debtor is billed by a company."""

    payment: str = ""
    credits: str = "separate"
    zero_documents: bool = False
    regime: str = "standard"
    time_group: str = ""
    allowances: tuple[Allowance, ...] = ()


@dataclass
class Company:
    """A billing company. `taxes`: percent from a date on; none means that it charges no tax."""

    name: str
    prefix: str
    taxes: dict[date, Decimal] = field(default_factory=dict)
    payment: str = "net:30"
    time_group: str = ""
    next_number: int = 1

    def percent(self, day: date) -> Decimal:
        """The tax in force on an effective date."""
        since = [of for of in self.taxes if of <= day]
        return self.taxes[max(since)] if since else ZERO


@dataclass(frozen=True)
class Node:
    """A node of the hierarchy."""

    level: str
    parent: str | None
    account: str


@dataclass(eq=False)
class Invoice:
    """A closed document."""

    number: str
    kind: str
    company: str
    account: str
    currency: str
    terms: Terms
    po: str
    lines: list[Billed]
    allowances: list[tuple[str, Decimal, Decimal, Decimal]]
    """Name, tax rate, base and amount."""

    @property
    def net(self) -> Decimal:
        """The sum of its lines after their allowances."""
        return sum((one.worth.amount + one.allowance for one in self.lines), ZERO)

    @property
    def tax(self) -> Decimal:
        """The sum of their tax."""
        return sum((one.tax for one in self.lines), ZERO)


@dataclass(frozen=True)
class Narrowed:
    """What a batch takes: all or some time groups (`none`: debtors without one), without some
    debtors.
    """

    cut_off: date
    groups: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()


@dataclass
class BatchAllowances:
    """The allowances of the debits of a batch: the share of each, and the rows of each group."""

    shares: dict[Open, Decimal] = field(default_factory=dict)
    rows: dict[tuple[object, ...], list[tuple[str, Decimal, Decimal, Decimal]]] = field(
        default_factory=dict
    )
    fixed: set[tuple[object, ...]] = field(default_factory=set)


NO_ALLOWANCES = BatchAllowances()


@dataclass
class Billing:
    """All closed documents, and what decides their debtors."""

    ledger: Ledger
    today: date
    companies: dict[str, Company] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    cycles: dict[str, Cycle] = field(default_factory=dict)
    ways: dict[tuple[str, str], dict[date, Way]] = field(default_factory=dict)
    invoices: list[Invoice] = field(default_factory=list)
    unpriced: Callable[[Document], bool] = lambda document: False

    def account_of(self, node_id: str) -> str | None:
        """The payer of a node: its lowest ancestor with an Account Name."""
        node = self.nodes.get(node_id)
        while node is not None and not node.account:
            above = self.nodes.get(node.parent or "")
            node = (
                above
                if above is not None and LEVELS.index(above.level) < LEVELS.index(node.level)
                else None
            )
        return None if node is None else node.account

    def way(self, company: str, account: str, day: date) -> Way:
        """How a debtor is billed on a day."""
        of = self.ways.get((company, account), {})
        since = [start for start in of if start <= day]
        return of[max(since)] if since else Way()

    def time_group(self, company: str, account: str, cut_off: date) -> str:
        """The debtor's time group that is valid on the cut-off date, else the company's."""
        return self.way(company, account, cut_off).time_group or self.companies[company].time_group

    # -- batches

    def batch(self, company: str, taken: Narrowed) -> tuple[list[Invoice], Counter[str]]:
        """Close a batch; return what was closed, and the number of open lines by reason."""
        out: Counter[str] = Counter()
        groups: dict[tuple[object, ...], list[Open]] = {}
        for one in self.ledger.lines():
            if one.line.company != company:
                continue
            why = self._why_out(company, one, taken)
            if why:
                out[why] += 1
            else:
                groups.setdefault(self._split(company, one), []).append(one)
        closing = []
        taken_off = self._allowances(company, groups)
        for key, lines in groups.items():
            kind = self._kind(company, str(key[0]), lines, taken_off)
            if kind is None:
                out["zero_total"] += len(lines)
            else:
                closing.append((key[:4], kind == "credit-note", key[4], kind, lines, key))
        closing.sort(key=lambda one: one[:3])
        closed = [
            self._close(company, kind, lines, taken_off, key) for *_, kind, lines, key in closing
        ]
        credited = {
            one.document
            for invoice in closed
            for one in invoice.lines
            if one.corrects is not None and one.line.rates_of is not None
        }
        for document, page in self.ledger.pages.items():
            if closed and (page.uncited or document in credited):
                page.note()
        return closed, out

    def _why_out(self, company: str, one: Open, taken: Narrowed) -> str:
        """The first reason for which a line is not in a batch, or empty."""
        if one.line.effective > self.today:
            return "scheduled"
        credit = one.corrects is not None
        account = (
            one.corrects.account if one.corrects is not None else self.account_of(one.line.node)
        )
        hold = self.ledger.pages[one.document].holds.get(one.line.key)
        if hold is not None and not credit and (hold.until is None or hold.until > self.today):
            return hold.code
        if self.unpriced(one.document):
            return "to_be_priced"
        group = self.time_group(company, account, taken.cut_off) if account is not None else ""
        if not self._in_cycle(one, group, taken.cut_off):
            of_cycle = one.line.week is not None and group
            return "not_in_cycle" if of_cycle else "after_cut_off"
        if account is None:
            return "no_account_name"
        if taken.groups and (group or "none") not in taken.groups:
            return "group_not_chosen"
        return "debtor_left_out" if account in taken.without else ""

    def _in_cycle(self, one: Open, time_group: str, cut_off: date) -> bool:
        if one.line.week is None:
            return one.line.effective <= cut_off
        if one.correction or (time_group and self.cycles[time_group].kind == "non-date"):
            return True
        last = self.cycles[time_group].last_day(cut_off) if time_group else cut_off
        return last is not None and one.line.week <= last

    def _split(self, company: str, one: Open) -> tuple[object, ...]:
        """What separates documents: debtor, currency, terms, PO, and credits unless netted."""
        if one.corrects is None:
            account = self.account_of(one.line.node)
            assert account is not None
            way = self.way(company, account, self.today)
            terms = Terms(
                way.regime, WORDINGS[way.regime], way.payment or self.companies[company].payment
            )
            return account, one.line.currency, terms, one.line.po, 0
        corrected = one.corrects
        credits = self.way(company, corrected.account, self.today).credits
        credit_split = {"net": 0, "separate": 1, "per-invoice": 2 + corrected.sequence}[credits]
        return corrected.account, one.line.currency, corrected.terms, corrected.po, credit_split

    def _allowances(
        self, company: str, groups: dict[tuple[object, ...], list[Open]]
    ) -> BatchAllowances:
        """The discounts and surcharges of a batch.

        A group that comes to zero with an amount stays open, so the next one takes it as well.
        """
        staying: set[tuple[object, ...]] = set()
        while True:
            taken = self._taken(company, groups, staying)
            zero = {
                key
                for key in taken.fixed
                if self._kind(company, str(key[0]), groups[key], taken) is None
            }
            if zero <= staying:
                return taken
            staying |= zero

    def _taken(
        self,
        company: str,
        groups: dict[tuple[object, ...], list[Open]],
        staying: set[tuple[object, ...]],
    ) -> BatchAllowances:
        taken, once = BatchAllowances(), set()
        for key in sorted(groups, key=lambda key: key[:5]):
            account, currency = str(key[0]), str(key[1])
            way = self.way(company, account, self.today)
            for allowance in sorted(way.allowances, key=lambda each: each.sign):
                lines = sorted(filter(allowance.takes, groups[key]), key=in_order)
                parts: dict[Decimal | None, list[Open]] = {}
                for one in lines:
                    rate = None if allowance.percent is None else self._rate(one)
                    parts.setdefault(rate, []).append(one)
                if allowance.percent is None and lines:
                    if (account, currency, allowance.name) in once:
                        continue
                    taken.fixed.add(key)
                    if key not in staying:
                        once.add((account, currency, allowance.name))
                for part in parts.values():
                    self._take(taken, key, allowance, part)
        return taken

    def _take(
        self,
        taken: BatchAllowances,
        key: tuple[object, ...],
        allowance: Allowance,
        lines: list[Open],
    ) -> None:
        """Take an allowance of lines, each its part by what it is worth so far."""
        currency = lines[0].line.currency
        bases = [one.worth.amount + taken.shares.get(one, ZERO) for one in lines]
        whole = sum(bases, ZERO)
        percent = allowance.percent
        exact = allowance.amount if percent is None else whole * percent / 100
        amount = min(money(exact, currency), whole)
        rows: dict[Decimal, list[Decimal]] = {}
        for one, base, share in zip(lines, bases, shared(amount, bases, currency), strict=True):
            signed = allowance.sign * share
            taken.shares[one] = taken.shares.get(one, ZERO) + signed
            row = rows.setdefault(self._rate(one), [ZERO, ZERO])
            row[0], row[1] = row[0] + base, row[1] + signed
        taken.rows.setdefault(key, []).extend(
            (allowance.name, rate, base, sum_) for rate, (base, sum_) in rows.items() if sum_
        )

    def _kind(
        self, company: str, account: str, lines: Iterable[Open], taken: BatchAllowances
    ) -> str | None:
        """An invoice raises the debt, a credit note lowers it.

        A sum of zero closes only for debtors who request it.
        """
        shares = {one: self._share(one, taken) for one in lines}
        net = sum((one.worth.amount + shares[one] for one in lines), ZERO)
        weight = net + sum((self._tax(one, shares[one])[0] for one in lines), ZERO) or net
        if weight == 0 and not self.way(company, account, self.today).zero_documents:
            return None
        if weight == 0:
            return "credit-note" if all(one.corrects is not None for one in lines) else "invoice"
        return "invoice" if weight > 0 else "credit-note"

    def _share(self, one: Open, taken: BatchAllowances) -> Decimal:
        """The allowance of a line; a credit gives back its proportion, the last one the rest."""
        corrected = one.corrects
        if corrected is None:
            return taken.shares.get(one, ZERO)
        if corrected.worth.amount == 0 or corrected.allowance == 0:
            return ZERO
        left = corrected.allowance_left
        if corrected.left.amount + one.worth.amount == 0:
            return -left
        exact = corrected.allowance * -one.worth.amount / corrected.worth.amount
        share = min(abs(money(exact, one.line.currency)), abs(left))
        return share if corrected.allowance < 0 else -share

    def _rate(self, one: Open) -> Decimal:
        """The tax rate of a debit: that of its effective date."""
        account = self.account_of(one.line.node)
        assert account is not None
        company = self.companies[one.line.company]
        taxed = self.way(company.name, account, self.today).regime == "standard"
        return company.percent(one.line.effective) if taxed else ZERO

    def _tax(self, one: Open, allowance: Decimal) -> tuple[Decimal, Decimal]:
        """Tax and rate of a line after its allowance.

        A credit takes its proportion, the last one the rest.
        """
        corrected = one.corrects
        if corrected is None:
            rate = self._rate(one)
            return money((one.worth.amount + allowance) * rate / 100, one.line.currency), rate
        if corrected.worth.amount == 0:
            return ZERO, corrected.tax_rate
        if corrected.left.amount + one.worth.amount == 0:
            return -corrected.tax_left, corrected.tax_rate
        share = money(corrected.tax * -one.worth.amount / corrected.worth.amount, one.line.currency)
        return -min(share, corrected.tax_left), corrected.tax_rate

    def _close(
        self,
        company: str,
        kind: str,
        lines: list[Open],
        taken: BatchAllowances = NO_ALLOWANCES,
        key: tuple[object, ...] = (),
    ) -> Invoice:
        """Give a document its number, and move its lines onto it."""
        seller = self.companies[company]
        number = f"{seller.prefix}{seller.next_number:06d}"
        seller.next_number += 1
        account, currency, terms, po, _ = self._split(company, lines[0])
        assert (
            isinstance(account, str)
            and isinstance(currency, str)
            and isinstance(terms, Terms)
            and isinstance(po, str)
        )
        rows = list(taken.rows.get(key, ()))
        invoice = Invoice(number, kind, company, account, currency, terms, po, [], rows)
        returned: dict[tuple[str, Decimal], list[Decimal]] = {}
        sequence = len(self.invoices)
        self.invoices.append(invoice)
        for one in lines:
            share = self._share(one, taken)
            tax, rate = self._tax(one, share)
            if one.corrects is not None and share:
                row = returned.setdefault((one.corrects.number, rate), [ZERO, ZERO])
                row[0], row[1] = row[0] + one.worth.amount, row[1] + share
            line = replace(one.line, worth=one.worth)
            billed = Billed(
                number,
                sequence,
                one.document,
                line,
                one.worth,
                account,
                terms,
                po,
                tax,
                rate,
                one.corrects,
                allowance=share,
            )
            if one.corrects is not None:
                one.corrects.credits.append(billed)
            invoice.lines.append(billed)
            page = self.ledger.pages[one.document]
            page.billed.append(billed)
            page.open.remove(one)
        invoice.allowances += [
            (f"allowances of {corrected}", rate, base, amount)
            for (corrected, rate), (base, amount) in returned.items()
        ]
        return invoice

    # -- credits by hand

    def credit(
        self, number: str, taken: list[tuple[Billed, Decimal | None]], to: str
    ) -> Invoice | None:
        """Close a credit note of these lines and quantities (None: all that is left).

        Without lines: of all that is left of the document. Every document concerned is settled
        again. Returns None if there was nothing to credit but write-offs to reverse.
        """
        (issued,) = [one for one in self.invoices if one.number == number]
        concerned = {one.document for one, _ in taken}
        if not taken:
            taken = [(one, None) for one in issued.lines if one.corrects is None and one.left]
            concerned = {one.document for one, _ in taken}
        if to == "reissue":
            for document in {one.document for one in issued.lines}:
                page = self.ledger.pages[document]
                kept = [off for off in page.written_off if off[1] != number]
                if len(kept) < len(page.written_off):
                    page.written_off, concerned = kept, concerned | {document}
        opened = [
            Open(one.document, one.line, -of_line(one, quantity), one) for one, quantity in taken
        ]
        for one in opened:
            page = self.ledger.pages[one.document]
            page.open.append(one)
            if to == "write-off":
                page.written_off.append((one.line.key, number, -one.worth))
        note = self._close(issued.company, "credit-note", opened) if opened else None
        for document in sorted(concerned):
            settle(document, self.ledger.pages[document])
            self.ledger.pages[document].note()
        return note


def of_line(one: Billed, quantity: Decimal | None) -> Pair:
    """What a credit by hand takes from a line.

    The line minus the rounded amount of the quantity that remains. Where an edit changed the amount
    of the line, what remains is in proportion.
    """
    stands = one.left
    if quantity is None or quantity == stands.quantity:
        return stands
    remains = stands.quantity - quantity
    unit = Decimal(1).scaleb(-DECIMALS[one.line.currency])
    priced = abs(stands.amount - stands.quantity * one.line.price) <= unit
    amount = money(
        remains * one.line.price if priced else stands.amount * remains / stands.quantity,
        one.line.currency,
    )
    return Pair(quantity, stands.amount - min(amount, stands.amount))


def in_order(one: Open) -> tuple[object, ...]:
    """The order of lines on a document."""
    line = one.line
    return line.week or date.max, line.worker, one.document[1], line.key, line.effective


def shared(amount: Decimal, bases: list[Decimal], currency: str) -> list[Decimal]:
    """An amount in parts by what lines are worth: a unit more for the largest remainders."""
    unit = Decimal(1).scaleb(-DECIMALS[currency])
    whole = sum(bases, ZERO)
    exact = [Fraction(amount / unit) * Fraction(base) / Fraction(whole or 1) for base in bases]
    units = [int(one) for one in exact]
    by_remainder = sorted(range(len(bases)), key=lambda at: units[at] - exact[at])
    for at in by_remainder[: int(amount / unit) - sum(units)]:
        units[at] += 1
    return [unit * one for one in units]
