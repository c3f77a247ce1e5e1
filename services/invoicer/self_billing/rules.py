"""Which number of a supplier a self-billed document may have."""

from shared.errors import Refused


def check_number(
    invoice: str, supplier: str, number: str, known: str | None, used_for: str | None
) -> None:
    """Refuse a number if the document has another one, or the supplier used it for another.

    `known`: the number that the document has; `used_for`: the document that has `number`.
    """
    if known is not None and known != number:
        raise Refused(
            "has_supplier_number",
            f"{invoice} has the number {known} of supplier {supplier}",
            "credit the document if it is wrong, and give the number to the next one",
        )
    if known is None and used_for is not None:
        raise Refused(
            "supplier_number_used",
            f"supplier {supplier} used {number} for {used_for}",
            "ask the supplier for the right number",
        )
