"""The columns of tables, which the command line and the web console share.

A list of columns says what is shown of a row, under which heading and in which form; `cell` gives
the text. Each other module has the lists of one noun; `text` makes text of others harmless.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

MOST_CELL = 60
FIGURE = re.compile(r"-?\d+(\.\d+)?")
"""A decimal as answers to commands carry it: a string."""


def written_price(price: Decimal, currency: str) -> str:
    """A price with at least the decimals of its currency: 50.00, 35.035."""
    from services.console.queries.amounts import at_minor_unit

    return f"{at_minor_unit(price, currency):,f}"


class Column:
    """A column of a table: the field of the row, the heading, and whether it holds numbers.

    `figures`: counts and amounts, with thousands separators. `ids`: numbers that people type again,
    exactly as they are. `price`: figures with at least the decimals of the row's currency.
    `whole`: a narrow terminal does not fold it over lines; numbers are never folded.
    """

    def __init__(
        self,
        field: str,
        head: str | None = None,
        *,
        figures: bool = False,
        ids: bool = False,
        price: bool = False,
        whole: bool = False,
        most: int = MOST_CELL,
    ) -> None:
        self.field = field
        self.head = field.replace("_", " ") if head is None else head
        self.figures = figures or price
        self.ids = ids
        self.price = price
        self.whole = whole
        self.most = most

    @property
    def to_the_right(self) -> bool:
        """Whether the cells end at the right."""
        return self.figures or self.ids

    def cell(self, row: Mapping[str, Any], most: int = 0) -> str:
        """The text of this column in a row, shortened to `most` characters if that is more than the
        column has on a terminal.
        """
        value = row.get(self.field)
        if value is None:
            return ""
        if isinstance(value, datetime):
            return value.strftime("%Y-%m-%d %H:%M:%S")
        if self.figures and isinstance(value, str) and FIGURE.fullmatch(value):
            value = Decimal(value)
        if isinstance(value, Decimal):
            currency = row.get("currency") if self.price else None
            return written_price(value, currency) if currency else f"{value:,f}"
        if self.figures and isinstance(value, int):
            return f"{value:,}"
        text = str(value)
        limit = max(most, self.most)
        return text if len(text) <= limit else f"{text[: limit - 1]}…"
