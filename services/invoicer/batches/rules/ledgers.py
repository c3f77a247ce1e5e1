"""Whether the documents of a batch can be delivered: the ledger connections and their mappings.

arg_sync decides which codes a document needs. The invoicer may not import arg_sync, so a test
compares the answers of both.
"""

from collections.abc import Iterable, Set
from dataclasses import dataclass
from decimal import Decimal

Codes = Set[tuple[str, str]]
"""The pairs (what, our code) of a mapping; an empty code is the default."""


@dataclass(frozen=True, slots=True)
class LedgerConnection:
    """A ledger connection as arg_sync shows it.

    `circuit_open`: arg_sync pauses calls after repeated failures. `message`: why.
    """

    ledger: str
    state: str
    circuit_open: bool = False
    check_failed: bool = False
    message: str = ""

    @property
    def problem(self) -> str:
        """What is wrong with the connection; empty if nothing."""
        if self.state == "disconnected":
            return "it is disconnected"
        if self.state != "connected":
            return f"it is {self.state}: {self.message}"
        if self.circuit_open:
            return f"it does not answer and is retried later: {self.message}"
        return f"its last check failed: {self.message}" if self.check_failed else ""


@dataclass(frozen=True, slots=True)
class SoldItem:
    """What lines sell and how they are taxed."""

    line_kind: str
    item_id: str
    time_type: str
    tax_code: str
    tax_rate: Decimal


def unmapped(sold: Iterable[SoldItem], codes: Codes) -> list[str]:
    """Return the codes that a mapping lacks, worded as in the refusal of a delivery."""
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
    """Return the connections in use; the disconnected ones only if there is no other."""
    connections = list(ledgers)
    return [each for each in connections if each.state != "disconnected"] or connections
