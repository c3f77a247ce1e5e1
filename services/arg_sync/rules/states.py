"""The life of a delivery: what is known of it, and what a look at the ledger or a failed call makes of it.

queued → sending → posted | unknown | refused. `doubt`: an earlier call may have reached the ledger; nothing is sent before a look-up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from services.arg_sync.rules.backoff import Chances, backoff, capped
from services.arg_sync.rules.comparing import differences
from services.arg_sync.rules.documents import Found
from services.arg_sync.rules.failures import Failure

State = Literal["queued", "sending", "posted", "unknown", "refused"]
PATIENCE_SECONDS = 72 * 3600.0
LATE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Expected:
    """What must stand in the ledger: the parts of a document that a look-up can compare."""

    number: str
    kind: str
    currency: str
    total: object
    customer: str


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a delivery when a step fails. `safe_repeat`: the ledger answers a repeated key with the first answer.
    `settle_seconds`: how long after a lost call the ledger may still carry it out."""

    tries: int
    doubt: bool
    troubled_seconds: float
    safe_repeat: bool
    settle_seconds: float


@dataclass(frozen=True, slots=True)
class Next:
    """What happens to a delivery: its state, when it is taken up again, whether a look comes first, and what a person reads."""

    state: State
    wait_seconds: float = 0.0
    doubt: bool = False
    tries: int = 0
    code: str = ""
    message: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """What a look-up means: send it, post the draft that is there, take what is there, or park it."""

    verdict: Literal["send", "post", "adopt", "park"]
    found: Found | None = None
    code: str = ""
    message: str = ""
    fix: str = ""


def after_look(expected: "Expected", there: Sequence[Found], ours: str | None) -> Look:
    """None there: send. One that is equal: take it, or post it if it is a draft. Different, or several: a person decides.

    `ours` is the id that an earlier call gave us: of several, drafts that are not it were left by workers that were killed or overtaken
    between two calls. If all are drafts and equal, one is taken: a draft is posted by nobody but who has the lease.
    """
    if not there:
        return Look("send")
    if len(there) > 1:
        kept = [one for one in there if one.remote_id == ours] or [
            one for one in there if one.state != "draft"
        ]
        if not kept and not any(differences(expected, one) for one in there):
            kept = [min(there, key=lambda one: (len(one.remote_id), one.remote_id))]
        strangers = [one for one in there if one not in kept]
        if len(kept) != 1 or any(one.state != "draft" for one in strangers):
            ids = ", ".join(f"{one.remote_id} ({one.state})" for one in there)
            return Look(
                "park",
                None,
                "several",
                f"{len(there)} documents bear the number {expected.number}: {ids}",
                "void those that are not ours in the ledger, then `backoffice deliveries retry`, or name the one with `backoffice deliveries adopt`",
            )
        there = kept
    (one,) = there
    unlike = differences(expected, one)
    if unlike:
        return Look(
            "park",
            one,
            "different",
            f"{expected.number} stands in the ledger as {one.remote_id}, but {'; '.join(unlike)}",
            "correct or void it in the ledger, then `backoffice deliveries retry`; or take it as it is with `backoffice deliveries adopt`",
        )
    return Look("post" if one.state == "draft" else "adopt", one)


def after_failure(failed: Failure, standing: Standing, chances: Chances) -> Next:
    """What a failed call makes of a delivery. `auth` is the connection's trouble: the delivery waits as it was."""
    tries = standing.tries + 1
    if failed.failure == "permanent":
        return parked(failed.code, failed.message)
    if failed.failure == "auth":
        return Next(
            "unknown" if standing.doubt else "queued",
            0.0,
            standing.doubt,
            standing.tries,
            failed.code,
            failed.message,
        )
    if failed.code == "late":
        return Next(
            "unknown" if standing.doubt else "queued", LATE_SECONDS, standing.doubt, standing.tries
        )
    doubt = standing.doubt or failed.failure in ("unknown", "duplicate")
    if standing.troubled_seconds > PATIENCE_SECONDS and not failed.everywhere:
        return parked(
            "gave_up",
            f"it did not get through for {PATIENCE_SECONDS / 3600:.0f} hours; at last: {failed.message}",
        )
    wait = max(backoff(tries, chances), capped(failed.retry_after))
    if failed.failure == "unknown" and not standing.safe_repeat:
        wait = max(wait, standing.settle_seconds)
    if failed.failure == "duplicate" and tries == 1:
        wait = 0.0  # it is there: look now
    if failed.failure == "duplicate" and standing.doubt:
        return parked(
            "number_taken",
            f"the ledger says that the number is taken, and shows no such document: {failed.message}",
            "look for a voided or deleted document of that number in the ledger; free the number there, then `backoffice deliveries retry`",
        )
    return Next("unknown" if doubt else "queued", wait, doubt, tries, failed.code, failed.message)


def parked(code: str, message: str, fix: str = "") -> Next:
    """Refused: it waits for a person."""
    return Next(
        "refused",
        0.0,
        True,
        0,
        code,
        message,
        fix or "fix it in the ledger or in the mapping, then `backoffice deliveries retry`",
    )
