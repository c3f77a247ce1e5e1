"""Where an accounting system differs from what we delivered: each drift with a code, a message and a proposed fix. Nothing is changed here.

What could not be read is no drift: these rules are asked only about documents that the accounting system itself told of.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from services.arg_sync.rules.comparing import differences
from services.arg_sync.rules.documents import Found
from services.arg_sync.rules.states import Expected
from shared.money import plain
from shared.terms import DocumentType

Code = Literal[
    "missing",
    "deleted",
    "voided",
    "edited",
    "duplicated",
    "customer-changed",
    "not-received",
    "event-differs",
    "unknown-document",
]
OF_THE_LEDGER: tuple[Code, ...] = ("deleted", "voided", "edited", "duplicated", "customer-changed")
LATE_MINUTES = 15
"""A document that was closed so lately may not have been heard yet, nor one that was heard so lately be queued."""
OUR_BOOKS: dict[Code, tuple[str, str]] = {
    "not-received": (
        "{number} is closed, and no invoice-closed of it was heard",
        "say it again: `backoffice republish --service invoicer`",
    ),
    "event-differs": (
        "{number} was heard as {had}, which is not what our books hold",
        "run `backoffice verify`: somebody changed a closed document",
    ),
    "unknown-document": (
        "{number} was heard, and our books hold no such document",
        "run `backoffice verify`: the books may be older than what was said",
    ),
    "missing": (
        "{number} was to be delivered by itself and was never queued",
        "queue its batch: `backoffice batch sync`",
    ),
}
"""MessageText and fix where our own books disagree. `had`: what was heard instead."""
OF_THE_BOOKS: tuple[Code, ...] = tuple(OUR_BOOKS)


@dataclass(frozen=True, slots=True)
class Ours:
    """A delivery as we believe that it stands there. `posted` is False for one that waits for a person: then only doubles count.
    `by_hand`: a person took a document there for ours, whatever was in it."""

    delivery_id: int
    lease: int
    ledger: str
    invoice_id: int
    number: str
    kind: DocumentType
    currency: str
    total: Decimal
    customer: str
    remote_id: str
    posted: bool
    by_hand: bool

    @property
    def expected(self) -> Expected:
        """What must stand there, in the accounting system's signs."""
        return Expected(
            self.number,
            self.kind,
            self.currency,
            -self.total if self.kind == "credit-note" else self.total,
            self.customer,
        )


@dataclass(frozen=True, slots=True)
class Drift:
    """One difference. `remote_id` is the document there that it is about."""

    invoice_id: int | None
    number: str
    code: Code
    remote_id: str
    message: str
    fix: str


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One place where what was said, our documents and our deliveries do not agree."""

    code: Code
    invoice_id: int
    number: str
    had: str


def must_be_asked_by_id(ours: Ours, by_number: Sequence[Found]) -> bool:
    """Whether the document is not among those that bear its number: then it was voided, deleted, or given another number."""
    return (
        ours.posted
        and bool(ours.remote_id)
        and all(one.remote_id != ours.remote_id for one in by_number)
    )


def drifts_of(ours: Ours, by_number: Sequence[Found], by_id: Found | None) -> list[Drift]:
    """What differs of one document. `by_number`: all documents there that bear its number, none of them voided; `by_id`: the one of our id."""
    mine = next((one for one in by_number if one.remote_id == ours.remote_id), by_id)
    if not ours.posted or not ours.remote_id:
        return _doubles(ours, sorted(by_number, key=_age)[1:])
    others = [one for one in by_number if one.remote_id != ours.remote_id]
    if mine is None or mine.state == "voided":
        if (
            mine is None
            and len(others) == 1
            and not differences(ours.expected, others[0])
            and others[0].state != "draft"
        ):
            return []  # it stands there under another id: some systems give a document a new one when it is posted
        return [_gone(ours, mine, others)]
    return [*_changes(ours, mine), *_doubles(ours, others)]


def drift_of_the_books(one: Disagreement) -> Drift:
    """A disagreement of our own books, in words."""
    message, fix = OUR_BOOKS[one.code]
    return Drift(
        one.invoice_id,
        one.number,
        one.code,
        "",
        message.format(number=one.number, had=one.had),
        fix,
    )


def _age(one: Found) -> tuple[bool, int, str]:
    return one.state == "draft", len(one.remote_id), one.remote_id


def _gone(ours: Ours, mine: Found | None, others: Sequence[Found]) -> Drift:
    code: Code = "deleted" if mine is None else "voided"
    also = f"; {_named(others)} now bears its number" if others else ""
    again = f"`backoffice deliveries resync {ours.number} --ledger {ours.ledger}` looks again and delivers it if it is not there"
    return _drift(
        ours,
        code,
        ours.remote_id,
        f"{ours.number} was posted as {ours.remote_id}, which is {code} there{also}",
        f"if that was a mistake, {again}; if it was meant, credit it here too: `backoffice credit`",
    )


def _changes(ours: Ours, mine: Found) -> list[Drift]:
    found = []
    wanted = ours.expected
    edited = (
        []
        if ours.by_hand
        else differences(
            Expected(wanted.number, wanted.kind, wanted.currency, wanted.total, ""), mine
        )
    )
    if mine.state == "draft":
        edited.append("it is a draft again")
    if edited:
        words = f"{ours.number} ({ours.remote_id}) was changed there: {'; '.join(edited)}"
        fix = "set it right there; or if the change is meant, credit the document here and bill it anew: `backoffice credit`"
        found.append(_drift(ours, "edited", ours.remote_id, words, fix))
    if wanted.customer and mine.customer != wanted.customer and not ours.by_hand:
        words = f"{ours.number} ({ours.remote_id}) now belongs to customer {mine.customer}, it was delivered to {wanted.customer}"
        fix = f"if the customers were merged there, map {mine.customer} with `backoffice ledger map import` for what is to come; else set it right there"
        found.append(_drift(ours, "customer-changed", ours.remote_id, words, fix))
    return found


def _doubles(ours: Ours, others: Sequence[Found]) -> list[Drift]:
    return [
        _drift(
            ours,
            "duplicated",
            one.remote_id,
            f"{ours.number} stands there twice: besides {ours.remote_id or 'ours'} also as {_named([one])}",
            f"delete the draft {one.remote_id} there"
            if one.state == "draft"
            else f"void {one.remote_id} there, if nothing is paid on it",
        )
        for one in others
    ]


def _named(there: Sequence[Found]) -> str:
    return ", ".join(
        f"{one.remote_id} ({one.state}, {plain(one.total)} {one.currency})" for one in there
    )


def _drift(ours: Ours, code: Code, remote_id: str, message: str, fix: str) -> Drift:
    return Drift(ours.invoice_id, ours.number, code, remote_id, message, fix)
