"""Commands of approvers: approve a draft, reject it, give a place in a step to another person.

`draft` names a draft with the version that was seen: D-000001@2. `on_behalf_of`: for whom the actor
acts; both are recorded.
"""

from typing import Literal

from shared.events.commands.base import InvoicerCommand
from shared.events.field_types import Identifier


class ApproveDraft(InvoicerCommand):
    """Approve a version of a draft, in each open step in which the person is an approver."""

    command: Literal["approve-draft"] = "approve-draft"
    draft: Identifier
    on_behalf_of: Identifier | None = None


class RejectDraft(InvoicerCommand):
    """Reject a draft, for a reason; its items are open again, and on hold."""

    command: Literal["reject-draft"] = "reject-draft"
    draft: Identifier
    on_behalf_of: Identifier | None = None


class ReassignDraft(InvoicerCommand):
    """Give a place in a step of a draft to the person `to`.

    Without `step` it is the step in which the actor, or the person for whom he acts, approves.
    """

    command: Literal["reassign-draft"] = "reassign-draft"
    draft: Identifier
    to: Identifier
    step: Identifier | None = None
    on_behalf_of: Identifier | None = None
