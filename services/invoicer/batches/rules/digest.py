"""The digest of a preview: a batch that cites it closes what the preview showed."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import date
from decimal import Decimal
from typing import Any

from shared.money import plain


@dataclass(frozen=True, slots=True)
class PreviewDocument:
    """A document as a preview stores it.

    `line_hash` covers line ids, billto nodes, tax codes and rates. `allowances`, `invoice_option`
    and `fees` are JSON, or empty.
    """

    document_no: int
    account_name: str
    document_type: str
    currency: str
    payment_terms: str
    po_number: str
    tax_regime: str
    line_count: int
    net: Decimal
    tax: Decimal
    line_hash: str
    allowances: str = ""
    invoice_option: str = ""
    fees: str = ""

    @property
    def content(self) -> str:
        """What the digest covers: everything but the position in the list."""
        last = [self.allowances, self.invoice_option, self.fees]
        while last and not last[-1]:
            last.pop()
        covered = len(fields(self)) - 3 + len(last)
        return json.dumps(
            [
                plain(value) if isinstance(value, Decimal) else value
                for value in astuple(self)[1:covered]
            ],
            ensure_ascii=False,
        )


def digest(
    billing_company: str,
    cut_off: date,
    documents: Iterable[PreviewDocument],
    batch_filter: str = "",
) -> str:
    """Hash the billing company, the cut-off, the batch filter and the sorted documents."""
    rows = sorted(document.content for document in documents)
    head = [billing_company, cut_off.isoformat(), *([batch_filter] if batch_filter else [])]
    return hashlib.sha256("\n".join([*head, *rows]).encode()).hexdigest()


def debtors_that_differ(
    then: Sequence[PreviewDocument], now: Sequence[PreviewDocument]
) -> list[str]:
    """Return the Account Names whose documents differ, sorted."""
    before, after = ({(each.account_name, each.content) for each in side} for side in (then, now))
    return sorted({account_name for account_name, _ in before ^ after})


def changed_settings(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the names of the settings whose values differ, sorted."""
    return sorted(name for name in {*then, *now} if then.get(name) != now.get(name))
