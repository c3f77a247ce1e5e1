"""The rows of the health check about invoice options; `health.RULES` has them in its table.

Columns: code, severity, what it is about, noun, message and fix. What each finds is counted under
its code.
"""

TWO_INVOICE_OPTIONS = "two_invoice_options"
OPTION_FINDINGS = (
    (
        TWO_INVOICE_OPTIONS, "error", "debtor", "debtor",
        "{counted} with items that two default options of one rank take: {ids}",
        "leave one of them: `backoffice options set NAME` with --inactive, or without --default",
    ),
    (
        "option_does_not_fit", "error", "line", "line",
        "{counted} whose engagement names an invoice option that does not take them: {ids}",
        "see why: `backoffice options why LINE`; then change the option, or the engagement",
    ),
    (
        "no_invoice_option", "error", "line", "line",
        "{counted} in a client country with options, none of which takes them by default: {ids}",
        "set one: `backoffice options set NAME --billing-company {company} --country C"
        " --bill-to client --default`",
    ),
    (
        "not_visible", "error", "line", "line",
        "{counted} that their billing filter hides from the party of their option: {ids}",
        "see which: `backoffice options why LINE`; the ATS sets filters on engagements",
    ),
    # Otherwise drafts would wait, and no one would know for whom.
    (
        "step_without_approver", "warning", "billing_company", "step",
        "{counted} of approval workflows that too few people can approve: {ids}",
        "give the role to a person (`backoffice people set`), or name others:"
        " `backoffice workflows set NAME --file STEPS.csv`",
    ),
    (
        "approver_field_empty", "warning", "line", "engagement",
        "{counted} without the field that names an approver: {ids}",
        "let the ATS send the field on engagement-changed; or, when they are drafted,"
        " `backoffice drafts reassign ID --to PERSON`",
    ),
)  # fmt: skip
