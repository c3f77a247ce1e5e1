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

    `circuit_open`: arg_sync pauses calls after repeated failures. `message`: why. `tax_basis`: how
    the company must compute tax so that the ledger's own agrees ("any": as it does). `line_code`:
    what a line needs, an account, an item or either. `maps_codes`: a document
    needs codes of the ledger's own.
    """

    ledger: str
    state: str
    circuit_open: bool = False
    check_failed: bool = False
    message: str = ""
    tax_basis: str = "any"
    line_code: str = "either"
    maps_codes: bool = True

    @property
    def problem(self) -> str:
        """What is wrong with the connection; empty if nothing."""
        if self.state == "disconnected":
            return "it is disconnected"
        if self.state != "connected":
            what = "its login is refused" if self.state == "login refused" else "it is stopped"
            return f"{what}: {self.message}"
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


@dataclass(frozen=True, slots=True)
class UnusableCode:
    """A mapped code, or a currency, that the last test of a connection did not find usable."""

    what: str
    code: str
    message: str


def unmapped(sold: Iterable[SoldItem], codes: Codes, line_code: str = "either") -> list[str]:
    """Return the codes that a mapping lacks, worded as in the refusal of a delivery."""
    missing: set[str] = set()
    needed = ("account", "item") if line_code == "either" else (line_code,)
    for each in sold:
        if not any((what, code) in codes for what in needed for code in [*_named(each), ""]):
            missing.add(f"{needed[0]} {_named(each)[0]}")
        if ("tax", each.tax_code) not in codes and (each.tax_code or each.tax_rate != 0):
            missing.add(f"tax {each.tax_code or f'{each.tax_rate.normalize():f} %'}")
    return sorted(missing)


def _named(sold: SoldItem) -> list[str]:
    """Return the codes by which a line may be mapped, the most exact first."""
    kind = "time" if sold.line_kind == "timesheet" else "product"
    return [code for code in (sold.item_id, sold.time_type, kind) if code]


def unusable(
    sold: Iterable[SoldItem],
    codes: Codes,
    others: Codes,
    known: Iterable[UnusableCode],
) -> list[str]:
    """Return why documents of these lines would be refused: the codes that they use.

    `others`: the pairs of what a document uses besides, its currency and its payment terms.
    """
    used = set(others)
    for each in sold:
        for what in ("account", "item"):
            mapped = (code for code in [*_named(each), ""] if (what, code) in codes)
            used |= {(what, code) for code in [next(mapped, None)] if code is not None}
        used.add(("tax", each.tax_code))
    return sorted(each.message for each in known if (each.what, each.code) in used)


def relevant_connections(ledgers: Iterable[LedgerConnection]) -> list[LedgerConnection]:
    """Return the connections in use; the disconnected ones only if there is no other."""
    connections = list(ledgers)
    return [each for each in connections if each.state != "disconnected"] or connections
