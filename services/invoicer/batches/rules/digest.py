"""The digest of a preview: the hash of its documents, so that a batch that cites it closes exactly what was seen (design 5)."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from shared.money import plain


@dataclass(frozen=True, slots=True)
class PreviewDocument:
    """A document as a preview stores it; `line_hash` covers line ids, billto nodes, tax codes and rates."""

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

    @property
    def content(self) -> str:
        """What the digest is made of: everything but the place in the list."""
        return json.dumps(
            [plain(value) if isinstance(value, Decimal) else value for value in astuple(self)[1:]],
            ensure_ascii=False,
        )


def digest(
    billing_company: str, cut_off: date, documents: Iterable[PreviewDocument], narrowed: str = ""
) -> str:
    """The hash over billing company, cut-off, what the batch was narrowed to, and the sorted documents."""
    rows = sorted(document.content for document in documents)
    about = [billing_company, cut_off.isoformat(), *([narrowed] if narrowed else [])]
    return hashlib.sha256("\n".join([*about, *rows]).encode()).hexdigest()


def debtors_that_differ(
    then: Sequence[PreviewDocument], now: Sequence[PreviewDocument]
) -> list[str]:
    """Account Names whose documents are not the same in both, in order."""
    return sorted(
        {
            account
            for account, _ in {(each.account_name, each.content) for each in then}
            ^ {(each.account_name, each.content) for each in now}
        }
    )


def changed_settings(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Names of the settings whose values are not the same in both."""
    return sorted(name for name in {*then, *now} if then.get(name) != now.get(name))
