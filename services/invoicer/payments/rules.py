"""Which entries of payments are not written, and why."""

from decimal import Decimal

from shared.money import plain


def rejection_for(
    invoiced_in: str | None, currency: str, before: Decimal | None, amount: Decimal
) -> tuple[str, str] | None:
    """Code and message; None if it may be written, or was written just so. `before`: the amount of an entry of the same name."""
    if invoiced_in is None:
        return (
            "unknown_invoice",
            "it names an invoice that these books do not hold: were they made anew?",
        )
    if invoiced_in != currency:
        return (
            "other_currency",
            f"it is booked in {currency}, its invoice is in {invoiced_in}: book it in the invoice's currency there, or enter it by hand",
        )
    if before is not None and before != amount:
        return (
            "conflict",
            f"an entry of that number was said before with {plain(before)}, now it is {plain(amount)}: a change is an entry of its own",
        )
    return None
