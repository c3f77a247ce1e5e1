"""The status of what is invoiced, and what may be done in it (MSP invoicing, section 2).

A closed document is Processed. The other statuses are those of drafts.
"""

from collections.abc import Mapping
from typing import Literal

from shared.errors import Refused

Status = Literal[
    "Pending Billing Transfer",
    "Pending Approval Routing",
    "Pending Finalization",
    "Processed",
]
PROCESSED: Status = "Processed"
ALLOWED: Mapping[Status, tuple[str, ...]] = {
    "Pending Billing Transfer": ("edit", "combine", "cancel", "confirm the transfer"),
    "Pending Approval Routing": ("approve", "reject", "edit", "cancel"),
    "Pending Finalization": ("finalize", "edit", "cancel"),
    PROCESSED: ("apply a payment", "deliver", "download", "credit"),
}


def require_allowed(document: str, status: Status, action: str) -> None:
    """Refuse an action that the status of a document does not allow; the refusal says what it
    allows.
    """
    allowed = ALLOWED[status]
    if action not in allowed:
        raise Refused(
            "status_forbids",
            f"{document} is {status}: {status} allows {', '.join(allowed)}",
            f"bring {document} to a status that allows to {action}, then try again",
        )
