"""The invoicing status, and what may be done in it: the one table of MSP invoicing, section 2.

Handlers, command line and console read it. An item that is open is Pending Invoicing, a draft has
one of the next three statuses, a closed document is Processed. A cancelled draft allows nothing.
"""

from collections.abc import Collection, Mapping
from typing import Literal, NamedTuple, Protocol

from shared.errors import Refused

DraftStatus = Literal[
    "pending_billing_transfer",
    "pending_approval_routing",
    "pending_finalization",
    "processed",
    "cancelled",
]
Status = Literal["pending_invoicing"] | DraftStatus
Action = Literal[
    "edit",
    "snooze",
    "remove_line",
    "combine",
    "cancel",
    "confirm_transfer",
    "approve",
    "finalize",
    "pro_forma",
    "apply_payment",
    "deliver",
    "download",
    "credit",
]

PENDING_INVOICING: Status = "pending_invoicing"
PENDING_BILLING_TRANSFER: DraftStatus = "pending_billing_transfer"
PENDING_APPROVAL_ROUTING: DraftStatus = "pending_approval_routing"
PENDING_FINALIZATION: DraftStatus = "pending_finalization"
PROCESSED: DraftStatus = "processed"
CANCELLED: DraftStatus = "cancelled"

TITLES: Mapping[Status, str] = {
    PENDING_INVOICING: "Pending Invoicing",
    PENDING_BILLING_TRANSFER: "Pending Billing Transfer",
    PENDING_APPROVAL_ROUTING: "Pending Approval Routing",
    PENDING_FINALIZATION: "Pending Finalization",
    PROCESSED: "Processed",
    CANCELLED: "Cancelled",
}
WORDS: Mapping[Action, str] = {
    "finalize": "finalize",
    "approve": "approve, reject or reassign",
    "confirm_transfer": "confirm or refuse the transfer",
    "apply_payment": "apply a payment",
    "deliver": "deliver",
    "download": "download",
    "credit": "credit",
    "edit": "edit",
    "cancel": "cancel",
    "combine": "combine",
    "remove_line": "remove a line",
    "snooze": "snooze",
    "pro_forma": "make a pro-forma",
}
"""The actions in words, in the order in which a refusal names them."""
WAYS: Mapping[Status, str] = {
    PENDING_INVOICING: "items are open again when their draft is cancelled (`backoffice drafts"
    " cancel ID`) or they are removed from it (`backoffice drafts remove-line ID --line N`)",
    PENDING_BILLING_TRANSFER: "a new draft gets it if its option needs billing transfer",
    PENDING_APPROVAL_ROUTING: "a draft gets it when its transfer is confirmed, or at once, if its"
    " option has a workflow",
    PENDING_FINALIZATION: "a draft gets it when its transfer is confirmed and every step of its"
    " workflow has approved it (`backoffice drafts approve ID`)",
    PROCESSED: "a draft gets it by `backoffice drafts finalize ID`",
    CANCELLED: "`backoffice drafts cancel ID`",
}
"""How something gets to a status."""


class Cell(NamedTuple):
    """What an action does in a status: whether it is allowed, and what follows for routing.

    `locked_in_flight`: not while items were sent to the client's system and are not answered.
    `restarts_routing`: the draft must be approved again, if its option has a workflow.
    `instead`: what to do where it is not allowed.
    """

    allowed: bool
    locked_in_flight: bool = False
    restarts_routing: bool = False
    instead: str = ""


NO = Cell(False)
YES = Cell(True)
IN_FLIGHT = Cell(True, locked_in_flight=True)
RESTARTS = Cell(True, restarts_routing=True)
CREDIT_IT = Cell(False, instead="credit it: `backoffice credit INVOICE_NUMBER`")

COLUMNS: tuple[Status, ...] = (
    PENDING_INVOICING,
    PENDING_BILLING_TRANSFER,
    PENDING_APPROVAL_ROUTING,
    PENDING_FINALIZATION,
    PROCESSED,
)
TABLE: Mapping[Action, tuple[Cell, Cell, Cell, Cell, Cell]] = {
    "edit": (YES, IN_FLIGHT, RESTARTS, RESTARTS, CREDIT_IT),
    "snooze": (YES, IN_FLIGHT, RESTARTS, RESTARTS, CREDIT_IT),
    "remove_line": (NO, IN_FLIGHT, RESTARTS, RESTARTS, CREDIT_IT),
    "combine": (NO, IN_FLIGHT, NO, NO, NO),
    "cancel": (NO, IN_FLIGHT, YES, YES, CREDIT_IT),
    "confirm_transfer": (NO, YES, NO, NO, NO),
    "approve": (NO, NO, YES, NO, NO),
    "finalize": (NO, NO, NO, YES, NO),
    "pro_forma": (NO, YES, YES, YES, NO),
    "apply_payment": (NO, NO, NO, NO, YES),
    "deliver": (NO, NO, NO, NO, YES),
    "download": (NO, NO, NO, NO, YES),
    "credit": (NO, NO, NO, NO, YES),
}
"""Rows of the specification with a cell for each of `COLUMNS`. Data can allow none of its "no"."""


def cell(action: Action, status: Status) -> Cell:
    """Return the cell of an action in a status; nothing is allowed for a cancelled draft."""
    return TABLE[action][COLUMNS.index(status)] if status in COLUMNS else NO


def allowed_in(status: Status, *, in_flight: bool = False) -> list[Action]:
    """Return what a status allows, in the order in which a refusal names it."""
    return [
        action
        for action in WORDS
        if cell(action, status).allowed
        and not (in_flight and cell(action, status).locked_in_flight)
    ]


def require_allowed(
    subject: str,
    status: Status,
    action: Action,
    *,
    in_flight: bool = False,
    forbidden: Collection[str] = (),
) -> Cell:
    """Return the cell of an action; refuse one that the status does not allow.

    The refusal names the status, what it allows, and how to get to one that allows the action.
    `forbidden`: what the workflow of the draft forbids in addition, in this status.
    """
    found = cell(action, status)
    title = TITLES[status]
    if found.allowed and in_flight and found.locked_in_flight:
        raise Refused(
            "transfer_in_flight",
            f"{subject} is {title} and was sent to the client's system, which has not answered",
            f"wait for the answer, then {WORDS[action]} again",
        )
    if found.allowed and action not in forbidden:
        return found
    allowed = [WORDS[each] for each in allowed_in(status) if each not in forbidden]
    says = ", ".join(allowed) if allowed else "nothing more"
    by_workflow = f"; its workflow forbids to {WORDS[action]}" if found.allowed else ""
    raise Refused(
        "status_forbids",
        f"{subject} is {title}: {title} allows {says}{by_workflow}",
        found.instead or _way_to(action),
        status=status,
    )


def _way_to(action: Action) -> str:
    """Return how to get to the first status that allows an action."""
    status = next(each for each in TITLES if cell(action, each).allowed)
    return f"{TITLES[status]} allows to {WORDS[action]}: {WAYS[status]}"


class Needs(Protocol):
    """What an invoice option, or a draft of it, needs before finalization."""

    @property
    def workflow(self) -> str:
        """The name of the approval workflow; empty: none."""

    @property
    def needs_transfer(self) -> bool:
        """Whether the client's system must confirm the items first."""


def first_status(option: Needs | None) -> DraftStatus:
    """Return the status of a new draft: transfer, else routing, else finalization."""
    if option is not None and option.needs_transfer:
        return PENDING_BILLING_TRANSFER
    return status_after_transfer(option)


def status_after_transfer(option: Needs | None) -> DraftStatus:
    """Return the status of a draft whose items are all confirmed."""
    return PENDING_APPROVAL_ROUTING if option and option.workflow else PENDING_FINALIZATION


def next_status(status: DraftStatus, option: Needs | None) -> DraftStatus:
    """Return the status that follows when the work of a status is done.

    After the last confirmation of a transfer comes routing or finalization, after the last
    mandatory approval finalization, after finalization Processed.
    """
    if status == PENDING_BILLING_TRANSFER:
        return status_after_transfer(option)
    return PENDING_FINALIZATION if status == PENDING_APPROVAL_ROUTING else PROCESSED


def status_after_change(
    status: DraftStatus, option: Needs | None, *, sends_again: bool
) -> DraftStatus:
    """Return the status of a draft whose items changed; routing starts anew.

    `sends_again`: an item has a successor or was withdrawn, so that a draft whose option needs
    transfer goes back to it.
    """
    if status == PENDING_BILLING_TRANSFER or (sends_again and option and option.needs_transfer):
        return PENDING_BILLING_TRANSFER
    return status_after_transfer(option)
