"""Why an open line is not in a batch: exactly one reason, the first that holds in this order. Numbers are positions in `REASONS`."""

SCHEDULED = "scheduled"
SNOOZED = "snoozed"
EDIT_MEETS_REVISION = "edit-meets-revision"
NOT_IN_CYCLE = "not_in_cycle"
UNKNOWN_NODE = "unknown_node"
NO_ACCOUNT_NAME = "no_account_name"
DEBTOR_PARKED = "debtor_parked"
NO_TAX_RATE = "no_tax_rate"
ZERO_TOTAL = "zero_total"

REASONS = (
    SCHEDULED,
    SNOOZED,
    EDIT_MEETS_REVISION,
    NOT_IN_CYCLE,
    UNKNOWN_NODE,
    NO_ACCOUNT_NAME,
    DEBTOR_PARKED,
    NO_TAX_RATE,
    ZERO_TOTAL,
)
IN = 0


def number(reason: str) -> int:
    """The number under which the selection keeps a reason; 0 is `in`."""
    return REASONS.index(reason) + 1
