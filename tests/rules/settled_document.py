"""The account of one document in a list: what a batch would invoice is invoiced by hand."""

from dataclasses import dataclass, field
from decimal import Decimal

from services.invoicer.lines.rules import NOTHING, InvoicedLine, PayLine, QuantityAmount
from services.invoicer.settlement.rules.settlement import Settlement, settle
from shared.events.realizations import RealizationLine


@dataclass
class Document:
    """One document's lines that count, its edits and write-offs."""

    pay_lines: list[PayLine] = field(default_factory=list)
    edits: dict[str, QuantityAmount] = field(default_factory=dict)
    written_off: dict[str, QuantityAmount] = field(default_factory=dict)
    realized: tuple[RealizationLine, ...] = ()
    invoices: int = 0
    born: int = 0

    def state(self, *lines: RealizationLine) -> Settlement:
        """Settles a realization and returns what it opens and replaces."""
        self.realized = lines
        settled = settle(lines, self.pay_lines, self.edits, self.written_off)
        self._keep(settled)
        return settled

    def _keep(self, settled: Settlement) -> None:
        gone = {one.pay_line_id for one in settled.replaced}
        self.pay_lines = [one for one in self.pay_lines if one.pay_line_id not in gone]
        for new in settled.opened:
            self.born += 1
            self.pay_lines.append(PayLine(self.born, "open", new.realized, None, new.corrects))

    def invoice(self) -> None:
        """A batch takes all open lines onto one closed document."""
        self.invoices += 1
        for at, one in enumerate(self.pay_lines):
            if one.location == "open":
                self.pay_lines[at] = one._replace(
                    location="invoiced",
                    invoiced_line=InvoicedLine(self.invoices, at + 1, f"INV-{self.invoices}"),
                )

    def credit_by_hand(self, one: PayLine, given: QuantityAmount, *, write_off: bool) -> None:
        """A credit note that closes at once, for part of an invoice line."""
        assert one.invoiced_line is not None
        self.born += 1
        self.invoices += 1
        changes = {
            "quantity": -given.quantity,
            "amount": -given.amount,
            "derivation": {"credit": {"to": "write-off" if write_off else "rebill"}},
        }
        line = one.realized.model_copy(update=changes)
        invoiced_line = InvoicedLine(self.invoices, 1, f"INV-{self.invoices}")
        self.pay_lines.append(
            PayLine(
                self.born,
                "invoiced",
                line,
                invoiced_line,
                (one.invoiced_line.invoice_id, one.invoiced_line.line_no),
            )
        )
        if write_off:
            self.written_off[line.line_key] = self.written_off.get(line.line_key, NOTHING) + given

    def open(self) -> list[tuple[Decimal, Decimal]]:
        """Quantity and amount of what is open."""
        return [
            (one.realized.quantity, one.realized.amount)
            for one in self.pay_lines
            if one.location == "open"
        ]


def invoiced(*lines: RealizationLine) -> Document:
    """A document of which everything is on invoice 1."""
    document = Document()
    document.state(*lines)
    document.invoice()
    return document
