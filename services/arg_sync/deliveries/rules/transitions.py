"""The states of a delivery, and what a comparison, a look-up or a failed call makes of it.

queued → sending → posted | unknown | refused, and sending → queued if nothing was sent or the call
had no effect. `outcome_unknown` means that an earlier call may have
reached the ledger: nothing is sent before a look-up.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from services.arg_sync.connections.rules import Jitter, backoff, capped
from services.arg_sync.ledgers.adapter import Capabilities
from services.arg_sync.ledgers.documents import RemoteDocument
from services.arg_sync.ledgers.failures import Failure
from shared.money import plain, rounded

State = Literal["queued", "sending", "posted", "unknown", "refused"]
PATIENCE_SECONDS = 72 * 3600.0
LATE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class AttemptContext:
    """What is known of a delivery when a step fails.

    `safe_repeat`: the ledger answers a repeated key with the first result.
    `settle_seconds`: how long after a lost call the ledger may still carry it out.
    """

    tries: int
    outcome_unknown: bool
    failing_seconds: float
    safe_repeat: bool
    settle_seconds: float


@dataclass(frozen=True, slots=True)
class Transition:
    """The next state of a delivery, the wait until its next attempt, and the operator's message.

    `raw`: the ledger's own answer, where the message is made from one.
    """

    state: State
    wait_seconds: float = 0.0
    outcome_unknown: bool = False
    tries: int = 0
    code: str = ""
    message: str = ""
    fix: str = ""
    raw: str = ""


@dataclass(frozen=True, slots=True)
class LookupResult:
    """What a look-up means: send, post the draft, adopt the document, or refuse the delivery."""

    verdict: Literal["send", "post", "adopt", "refuse"]
    found: RemoteDocument | None = None
    code: str = ""
    message: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True)
class ExpectedDocument:
    """The values that a document in the ledger must have. An empty customer matches any, and a tax
    of None, too.
    """

    number: str
    kind: str
    currency: str
    total: Decimal
    customer: str
    tax: Decimal | None = None


def differences(expected: ExpectedDocument, remote: RemoteDocument) -> list[str]:
    """Describe how the document in the ledger differs; an empty list means that it is equal.

    Total and tax are compared to the cent.
    """
    found = []
    if remote.number != expected.number:
        found.append(f"its number is {remote.number}")
    if remote.kind != expected.kind:
        found.append(f"it is a {remote.kind}, ours is a {expected.kind}")
    if remote.currency != expected.currency:
        found.append(f"its currency is {remote.currency}, ours is {expected.currency}")
    if remote.total != expected.total:
        found.append(f"its total is {plain(remote.total)}, ours is {plain(expected.total)}")
    if None not in (expected.tax, remote.tax) and remote.tax != expected.tax:
        theirs, ours = _written(remote.tax, expected), _written(expected.tax, expected)
        found.append(f"its tax is {theirs}, ours is {ours}")
    if expected.customer and remote.customer != expected.customer:
        found.append(f"it belongs to customer {remote.customer}, ours to {expected.customer}")
    if remote.state == "voided":
        found.append("it is voided")
    if remote.problem:
        found.append(remote.problem)
    return found


def fix_of_difference(
    expected: ExpectedDocument, remote: RemoteDocument, can: Capabilities, billing_company: str
) -> str:
    """Return what a person does about a document that the ledger made otherwise than it was sent.

    If only its amounts differ, it is corrected there, and a retry finds it equal. A system that
    computes the tax itself agrees with later documents if the company computes it in the same way.
    """
    amounts = replace(remote, total=expected.total, tax=expected.tax)
    if differences(expected, amounts):
        return (
            "correct the tax or account mapping, then `backoffice deliveries retry`"
            if remote.state == "draft"
            else "void it in the ledger and retry, or accept it with `backoffice deliveries adopt`"
        )
    total = _written(expected.total, expected)
    tax = "" if expected.tax is None else f" with a tax of {_written(expected.tax, expected)}"
    fix = f"{can.correction}, so that its total is {total}{tax}; then `backoffice"
    fix += " deliveries retry` takes it over"
    if remote.state == "draft":
        fix += "; or correct the tax mapping, then `backoffice deliveries retry`"
    else:
        fix += "; or accept it with `backoffice deliveries adopt`"
    if can.tax_basis != "any":
        fix += (
            "; later documents agree with"
            f" `backoffice billing-company set {billing_company} --tax-basis {can.tax_basis}`"
        )
    return fix


def after_lookup(
    expected: ExpectedDocument, remote: Sequence[RemoteDocument], our_id: str | None
) -> LookupResult:
    """Decide what follows from the documents in the ledger that bear our number.

    None: send. One that is equal: adopt it, or post it if it is a draft. A different one, or
    several: an operator decides.

    `our_id` is the id that an earlier call returned. Other drafts were left by workers that were
    killed or lost their lease between two calls. If all are equal drafts, any of them may be
    posted, because only the holder of the lease posts drafts.
    """
    if not remote:
        return LookupResult("send")
    kept = list(remote)
    if len(kept) > 1:
        kept = _ours_among(expected, remote, our_id)
        others = [one for one in remote if one not in kept]
        if len(kept) != 1 or any(one.state != "draft" for one in others):
            ids = ", ".join(f"{one.remote_id} ({one.state})" for one in remote)
            return LookupResult(
                "refuse",
                None,
                "several",
                f"{len(remote)} documents have the number {expected.number}: {ids}",
                "void those that are not ours in the ledger, then `backoffice deliveries retry`,"
                " or name ours with `backoffice deliveries adopt`",
            )
    (one,) = kept
    if unlike := differences(expected, one):
        return LookupResult(
            "refuse",
            one,
            "different",
            f"{expected.number} is {one.remote_id} in the ledger, but {'; '.join(unlike)}",
            "correct or void it in the ledger, then `backoffice deliveries retry`;"
            " or accept it as it is with `backoffice deliveries adopt`",
        )
    return LookupResult("post" if one.state == "draft" else "adopt", one)


def _ours_among(
    expected: ExpectedDocument, remote: Sequence[RemoteDocument], our_id: str | None
) -> list[RemoteDocument]:
    """Return the document of our id, else those that are no drafts, else one of equal drafts."""
    if kept := [one for one in remote if one.remote_id == our_id]:
        return kept
    if kept := [one for one in remote if one.state != "draft"]:
        return kept
    if any(differences(expected, one) for one in remote):
        return []
    return [min(remote, key=lambda one: (len(one.remote_id), one.remote_id))]


def after_failure(failed: Failure, context: AttemptContext, jitter: Jitter) -> Transition:
    """Return what a failed call makes of a delivery, with the ledger's own answer."""
    return replace(_after_failure(failed, context, jitter), raw=failed.raw)


def _after_failure(failed: Failure, context: AttemptContext, jitter: Jitter) -> Transition:
    """Return the transition alone.

    An `auth` failure concerns the connection: the delivery waits without a change.
    """
    if failed.failure == "permanent":
        return refused(failed.code, failed.message)
    waiting = Transition(
        "unknown" if context.outcome_unknown else "queued",
        outcome_unknown=context.outcome_unknown,
        tries=context.tries,
    )
    if failed.failure == "auth":
        return replace(waiting, code=failed.code, message=failed.message)
    if failed.code == "late":
        return replace(waiting, wait_seconds=LATE_SECONDS)
    if context.failing_seconds > PATIENCE_SECONDS and not failed.everywhere:
        return refused(
            "gave_up",
            f"every attempt failed for {PATIENCE_SECONDS / 3600:.0f} hours;"
            f" the last one: {failed.message}",
        )
    if failed.failure == "duplicate" and context.outcome_unknown:
        return refused(
            "number_taken",
            f"the ledger refuses the number as taken and finds no such document: {failed.message}",
            "look for a voided or deleted document of that number in the ledger;"
            " free the number there, then `backoffice deliveries retry`",
        )
    tries = context.tries + 1
    wait = max(backoff(tries, jitter), capped(failed.retry_after))
    if failed.failure == "unknown" and not context.safe_repeat:
        wait = max(wait, context.settle_seconds)
    if failed.failure == "duplicate" and tries == 1:
        wait = 0.0  # the document is in the ledger: look it up now
    unknown = context.outcome_unknown or failed.failure in ("unknown", "duplicate")
    state: State = "unknown" if unknown else "queued"
    return Transition(state, wait, unknown, tries, failed.code, failed.message)


def _written(amount: Decimal | None, of: ExpectedDocument) -> str:
    return "" if amount is None else f"{rounded(amount, of.currency):f}"


def refused(code: str, message: str, fix: str = "") -> Transition:
    """Return the transition to `refused`: the delivery waits for an operator.

    A retry always begins with a look-up (`outcome_unknown`), also where nothing was sent: by then
    an operator may have entered the document by hand.
    """
    return Transition(
        "refused",
        outcome_unknown=True,
        code=code,
        message=message,
        fix=fix or "correct it in the ledger or in the mapping, then `backoffice deliveries retry`",
    )
