"""Faults of MSP fees, for the small data set of `test_verify`, which has none."""

_FEE = (
    "INSERT INTO invoicer.document_fee (invoice_id, fee_no, option_name, funded_by, charged_as,"
    " fee_from, percent, base, amount, line_no, volume, volume_since, corrects_invoice_id,"
    " corrects_fee_no) VALUES "
)


def _fee(
    charged_as: str,
    base: str,
    amount: str,
    line_no: str = "NULL",
    volume: str = "NULL, NULL",
    corrects: str = "NULL, NULL",
    invoice: str = "1",
) -> str:
    return (
        f"({invoice}, 1, 'US staffing', 'client', '{charged_as}', '2026-01-01', 3, {base},"
        f" {amount}, {line_no}, {volume}, {corrects})"
    )


FEE_FAULTS = {
    "an MSP fee that is not its percentage": (
        _FEE + _fee("markup", "2000", "61", "2"),
        {"fee_amount", "fee_line", "fee_base"},
    ),
    "a discount whose base has no lines": (
        _FEE + _fee("discount", "2000", "-60"),
        {"fee_base"},
    ),
    "a credit that returns more than the MSP fee": (
        _FEE
        + _fee("discount", "2000", "-60")
        + ", "
        + _fee("discount", "-2000", "61", corrects="1, 1", invoice="2"),
        {"fee_returned"},
    ),
    "a tier by a volume that was not reached": (
        _FEE + _fee("discount", "2000", "-60", volume="5, '2026-01-01'"),
        {"fee_tier"},
    ),
}
