"""Commands of operators in a history: snoozes, edits, terms, rates, batches, credits by hand."""

import copy
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests import builders
from tests.histories import domain as domain
from tests.histories.compare import expected_answer, given_answer
from tests.histories.reference.billing import Invoice, Narrowed, of_line
from tests.histories.reference.ledger import Billed, Hold
from tests.histories.reference.values import Pair, money
from tests.histories.setup import HistorySetup


class OperatorCommands(HistorySetup):
    """Rules that send commands."""

    @precondition(lambda self: self.debits())
    @rule(pick=domain.picks, until=st.sampled_from([None, 1, 5]))
    def a_line_is_snoozed_or_released(self, pick: int, until: int | None) -> None:
        """A snoozed line is in no batch until released or a date.

        So is a line that replaces it; a snoozed line is released.
        """
        one = self.pick(pick, self.debits())
        holds, named = (
            self.reference.ledger.pages[one.document].holds,
            {
                "billing_company": one.line.company,
                "pay_line_ids": [self.run(self.office.pay_line(one))],
            },
        )
        if one.line.key in holds:
            self.ask("release-pay-lines", **named)
            del holds[one.line.key]
            return
        last = None if until is None else self.reference.today + timedelta(days=until)
        self.ask("snooze-pay-lines", **named, **({} if last is None else {"until": str(last)}))
        holds[one.line.key] = Hold("snoozed", last)

    @precondition(lambda self: self.debits())
    @rule(
        pick=domain.picks,
        quantity=st.sampled_from(["0", "1", "2.5", "7.77", "41"]),
        amount=st.sampled_from([None, None, "0", "1", "777"]),
    )
    def a_line_is_edited(self, pick: int, quantity: str, amount: str | None) -> None:
        """Another quantity or amount.

        The difference is added to every later realization.
        """
        one = self.pick(pick, self.debits())
        after = (
            Pair(Decimal(quantity), money(Decimal(quantity) * one.line.price, one.line.currency))
            if amount is None
            else Pair(one.worth.quantity, Decimal(amount))
        )
        if after == one.worth:
            return
        values = {"quantity": quantity} if amount is None else {"amount": amount}
        self.ask(
            "edit-pay-line",
            billing_company=one.line.company,
            pay_line_id=self.run(self.office.pay_line(one)),
            **values,
        )
        self.reference.edit(one, after)

    # -- rates

    @precondition(lambda self: self.priced())
    @rule(
        pick=domain.picks,
        since=st.sampled_from(domain.RATE_DAYS),
        price=domain.prices,
        overtaken=st.booleans(),
    )
    def a_rate_is_set(self, pick: int, since: date, price: str, overtaken: bool) -> None:
        """An operator's rate wins over the ATS's rate of the same date.

        Open lines are repriced at once. Sometimes batches close while the new realizations are in
        flight: then these were priced from rates that the invoiced lines do not cite.
        """
        order_id, kind = self.pick(pick, self.priced())
        self.ask(
            "set-bill-rate",
            requirement_id=order_id,
            time_type=kind,
            effective_from=str(since),
            bill_rate=price,
        )
        order = self.reference.pricing.orders[order_id]
        if order.by_command.get((kind, since)) != Decimal(price):
            order.by_command[kind, since] = Decimal(price)
            order.rate_limiter()
            self.reference.pricing.rates_change(order_id)
        for name in domain.COMPANIES if overtaken and self.office.under_way else ():
            self.close(name, Narrowed(self.reference.today + domain.LATER))
        self.flow()

    @precondition(lambda self: self.unconfirmed())
    @rule(pick=domain.picks)
    def a_rate_is_confirmed(self, pick: int) -> None:
        """Invoiced lines are credited at the old and debited at the new rate.

        Where nothing would change the command is refused.
        """
        order_id, kind, since = self.pick(pick, self.unconfirmed())
        asked = builders.command(
            "confirm-rates", requirement_id=order_id, time_type=kind, effective_from=str(since)
        )
        answer: dict[str, Any] = self.run(self.office.ask(asked))
        then = copy.deepcopy(self.reference)
        order = then.pricing.orders[order_id]
        order.confirmed.append((kind, since, order.book))
        then.pricing.rates_change(order_id)
        changes = any(
            len(paper.realizations) > len(self.reference.pricing.papers[document].realizations)
            for document, paper in then.pricing.papers.items()
        )
        assert (answer["outcome"] == "accepted") == changes, answer
        if changes:
            self.reference = then
            self.ran.met["rate confirmed"] += 1
        self.flow()

    def priced(self) -> list[tuple[str, str]]:
        """Requirements and time types that price open lines.

        If there are none, those of all settled realizations.
        """
        pages = self.reference.ledger.pages.values()
        of_open = {one.line.rates_of for page in pages for one in page.open}
        of_all = {
            line.rates_of
            for page in pages
            if page.settled is not None
            for line in page.settled.lines
        }
        found = of_open - {None} or of_all
        return sorted(of for of in found if of is not None and of[1])

    def unconfirmed(self) -> list[tuple[str, str, date]]:
        """Rates in force that differ from those that invoiced lines cite.

        If there are none, rates in force from which nothing differs.
        """
        differing: set[tuple[str, str, date]] = set()
        others: set[tuple[str, str, date]] = set()
        for page in self.reference.ledger.pages.values():
            for (order_id, kind), book in page.cited().items():
                if not kind:
                    continue  # an occurrence of an assignment
                rate_books = self.reference.pricing.orders[order_id].rate_books
                for of, since in rate_books[-1]:
                    if of == kind:
                        (
                            differing
                            if rate_books[book].get((of, since)) != rate_books[-1][of, since]
                            else others
                        ).add((order_id, kind, since))
        return sorted(differing or others)

    # -- batches and credits

    @rule(
        company=st.sampled_from(sorted(domain.COMPANIES)),
        passed=st.integers(0, 8),
        days=domain.cut_offs,
        groups=domain.groups,
        without=st.none() | domain.picks,
    )
    def a_batch_closes(
        self, company: str, passed: int, days: int, groups: set[str], without: int | None
    ) -> None:
        """Close a batch some days later.

        Scheduled lines fell due, snoozes ended. What arrived by the cut-off is on documents; the
        rest is open for a reason. Some time groups only, or not all debtors.
        """
        if passed:
            self.day_ends()
            self.day_begins(self.reference.today + timedelta(days=passed))
        lines = [one for one in self.reference.ledger.lines() if one.line.company == company]
        accounts = {
            one.corrects.account
            if one.corrects
            else self.reference.billing.account_of(one.line.node)
            for one in lines
        }
        known = sorted(account for account in accounts if account is not None)
        left_out = frozenset([self.pick(without, known)] if known and without is not None else [])
        self.close(
            company,
            Narrowed(self.reference.today + timedelta(days=days), frozenset(groups), left_out),
        )
        self.flow()

    @rule(
        company=st.sampled_from(sorted(domain.COMPANIES)),
        days=domain.cut_offs,
        more=st.integers(0, 9),
        what=st.sampled_from(["preview", "what-if", "rest"]),
    )
    def somebody_looks(self, company: str, days: int, more: int, what: str) -> None:
        """A preview and a what-if list what a batch would take, and change nothing."""
        first = self.reference.today + timedelta(days=days)
        cut_offs = sorted({first, first + timedelta(days=more)})
        wanted = [
            expected_answer(*copy.deepcopy(self.reference).billing.batch(company, Narrowed(one)))
            for one in cut_offs
        ]
        if what == "preview":
            preview = self.ask("preview-batch", billing_company=company, cut_off_date=str(first))
            assert given_answer(preview["details"]) == wanted[0], preview
        elif what == "what-if":
            sides = self.ask(
                "what-if", billing_company=company, cut_off_dates=[str(one) for one in cut_offs]
            )
            assert [given_answer(side) for side in sides["details"]["cut_offs"]] == wanted, sides
        else:
            self.ask("health-check", billing_company=company, cut_off_date=str(first))
            self.ask("list-batch-groups", billing_company=company, cut_off_date=str(first))
            self.ask("rates-impact")

    @precondition(lambda self: self.creditable())
    @rule(
        pick=domain.picks,
        part=st.sampled_from([None, "0.25", "1", "2.5"]),
        to=st.sampled_from(["rebill", "write-off"]),
    )
    def a_line_is_credited_by_hand(self, pick: int, part: str | None, to: str) -> None:
        """Credit a quantity of an invoice line, or all that is left.

        It is billed again or written off.
        """
        one = self.pick(pick, self.creditable())
        quantity = None if part is None or Decimal(part) > one.left.quantity else Decimal(part)
        if not of_line(one, quantity).amount:
            return  # so little that it comes to nothing is refused
        line_no = self.run(self.office.line_no(one))
        line = {"line_no": line_no} | ({} if quantity is None else {"quantity": part})
        self.ask(
            "credit-invoice",
            billing_company=one.line.company,
            invoice_number=one.number,
            lines=[line],
            to=to,
        )
        self.reference.billing.credit(one.number, [(one, quantity)], to)
        self.flow()
        self.ran.met["credited to rebill" if to == "rebill" else "written off"] += 1

    @precondition(lambda self: self.invoices())
    @rule(pick=domain.picks, to=st.sampled_from(["reissue", "rebill", "write-off"]))
    def an_invoice_is_credited_whole(self, pick: int, to: str) -> None:
        """Credit all that is left of a document."""
        self._credit_whole(self.pick(pick, self.invoices()), to)

    @precondition(lambda self: self.with_write_offs())
    @rule(pick=domain.picks)
    def what_was_written_off_is_taken_back(self, pick: int) -> None:
        """Reissuing a document reverses its write-offs, too."""
        self._credit_whole(self.pick(pick, self.with_write_offs()), "reissue")

    def _credit_whole(self, invoice: Invoice, to: str) -> None:
        offs = [
            off
            for page in self.reference.ledger.pages.values()
            for off in page.written_off
            if off[1] == invoice.number
        ]
        stands = any(one.left for one in invoice.lines if one.corrects is None)
        asked = builders.command(
            "credit-invoice", billing_company=invoice.company, invoice_number=invoice.number, to=to
        )
        answer: dict[str, Any] = self.run(self.office.ask(asked))
        assert (answer["outcome"] == "accepted") == (stands or (to == "reissue" and bool(offs))), (
            answer
        )
        if answer["outcome"] == "accepted":
            self.reference.billing.credit(invoice.number, [], to)
            self.flow()
            self.ran.met["issued again" if to == "reissue" else f"whole invoice to {to}"] += 1
            self.ran.met["written off and taken back"] += to == "reissue" and bool(offs)

    def creditable(self) -> list[Billed]:
        """Lines of documents that are not credited whole."""
        return [
            one
            for invoice in self.reference.billing.invoices
            for one in invoice.lines
            if one.corrects is None and one.left.amount
        ]

    def invoices(self) -> list[Invoice]:
        """Documents that may be credited whole."""
        return [invoice for invoice in self.reference.billing.invoices if invoice.kind == "invoice"]

    def with_write_offs(self) -> list[Invoice]:
        """Documents with write-offs."""
        numbers = {
            off[1] for page in self.reference.ledger.pages.values() for off in page.written_off
        }
        return [invoice for invoice in self.invoices() if invoice.number in numbers]
