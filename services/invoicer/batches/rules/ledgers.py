"""Whether the documents of a batch can be delivered: the connections of its billing company, and the codes that their mappings lack.

Which codes a document needs is decided by arg_sync (`rules.mapping`), which services may not import: a test holds both to the same answer.
"""

from collections.abc import Iterable, Set
from dataclasses import dataclass
from decimal import Decimal

Codes = Set[tuple[str, str]]
"""(what, our code) that a mapping has; an empty code is the default."""


@dataclass(frozen=True, slots=True)
class LedgerConnection:
    """A connection as arg_sync shows it. `circuit_open`: its circuit is open; `message`: why it is as it is."""

    ledger: str
    state: str
    circuit_open: bool = False
    check_failed: bool = False
    message: str = ""

    @property
    def problem(self) -> str:
        """What is wrong with it, "" if nothing."""
        if self.state == "disconnected":
            return "it is disconnected"
        if self.state != "connected":
            return f"it is {self.state}: {self.message}"
        if self.circuit_open:
            return f"it does not answer and is left alone for a while: {self.message}"
        return f"its last check failed: {self.message}" if self.check_failed else ""


@dataclass(frozen=True, slots=True)
class SoldItem:
    """What lines of a batch sell and how they are taxed, each combination once."""

    line_kind: str
    item_id: str
    time_type: str
    tax_code: str
    tax_rate: Decimal


def unmapped(sold: Iterable[SoldItem], codes: Codes) -> list[str]:
    """Codes that a mapping lacks, in the words in which a delivery would be refused."""
    missing: set[str] = set()
    for each in sold:
        kind = "time" if each.line_kind == "timesheet" else "product"
        named = {each.item_id, each.time_type, kind, ""}
        if not any((what, code) in codes for what in ("account", "item") for code in named):
            missing.add(f"account {each.item_id or each.time_type or kind}")
        if ("tax", each.tax_code) not in codes and (each.tax_code or each.tax_rate != 0):
            missing.add(f"tax {each.tax_code or f'{each.tax_rate.normalize():f} %'}")
    return sorted(missing)


def relevant_connections(ledgers: Iterable[LedgerConnection]) -> list[LedgerConnection]:
    """The connections about which a batch is warned: one that was ended counts only if no other took its place."""
    known = list(ledgers)
    alive = [each for each in known if each.state != "disconnected"]
    return alive or known
