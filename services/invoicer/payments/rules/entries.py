"""Which payment entries are rejected, and why."""

from decimal import Decimal

from shared.money import plain


def rejection_for(
    invoice_currency: str | None, currency: str, known_amount: Decimal | None, amount: Decimal
) -> tuple[str, str] | None:
    """Return code and message of a rejection; None if the entry is right.

    `known_amount`: the amount of an earlier entry with the same number.
    """
    if invoice_currency is None:
        return (
            "unknown_invoice",
            "there is no such invoice: was the database created anew?",
        )
    if invoice_currency != currency:
        return (
            "other_currency",
            f"the payment is in {currency}, its invoice is in {invoice_currency}: book it in the"
            " invoice's currency in the accounting system, or enter it by hand",
        )
    if known_amount is not None and known_amount != amount:
        return (
            "conflict",
            f"an entry with this number arrived before with {plain(known_amount)}, now it has"
            f" {plain(amount)}: send a change as an entry of its own",
        )
    return None
