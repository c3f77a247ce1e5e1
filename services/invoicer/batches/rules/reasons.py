"""Why an open line is not in a batch: exactly one reason, the first that holds in this order.

The number of a reason is its position in `REASONS`. There are at most 31, because the selection
packs a reason into five bits.
"""

SCHEDULED = "scheduled"
SNOOZED = "snoozed"
EDIT_MEETS_REVISION = "edit_meets_revision"
TO_BE_PRICED = "to_be_priced"
AFTER_CUT_OFF = "after_cut_off"
NOT_IN_CYCLE = "not_in_cycle"
UNKNOWN_NODE = "unknown_node"
NO_ACCOUNT_NAME = "no_account_name"
GROUP_NOT_CHOSEN = "group_not_chosen"
DEBTOR_LEFT_OUT = "debtor_left_out"
DEBTOR_PARKED = "debtor_parked"
OPTION_DOES_NOT_FIT = "option_does_not_fit"
NO_INVOICE_OPTION = "no_invoice_option"
NOT_VISIBLE = "not_visible"
OPTION_NOT_CHOSEN = "option_not_chosen"
CREDIT_LEFT_OUT = "credit_left_out"
DOCUMENT_NOT_CHOSEN = "document_not_chosen"
WAITS_FOR_TIMESHEETS = "waits_for_timesheets"
NO_TAX_RATE = "no_tax_rate"
ZERO_TOTAL = "zero_total"

REASONS = (
    SCHEDULED,
    SNOOZED,
    EDIT_MEETS_REVISION,
    TO_BE_PRICED,
    AFTER_CUT_OFF,
    NOT_IN_CYCLE,
    UNKNOWN_NODE,
    NO_ACCOUNT_NAME,
    GROUP_NOT_CHOSEN,
    DEBTOR_LEFT_OUT,
    DEBTOR_PARKED,
    OPTION_DOES_NOT_FIT,
    NO_INVOICE_OPTION,
    NOT_VISIBLE,
    OPTION_NOT_CHOSEN,
    CREDIT_LEFT_OUT,
    DOCUMENT_NOT_CHOSEN,
    WAITS_FOR_TIMESHEETS,
    NO_TAX_RATE,
    ZERO_TOTAL,
)
IN = 0


def number(reason: str) -> int:
    """Return the number that the selection stores for a reason; 0 means `in`."""
    return REASONS.index(reason) + 1
