"""Templates of e-mails: a text in which `{number}` and other named fields are replaced.

A template has names in braces and nothing else: no attribute, index, format or expression, so that
a text which an operator writes can neither reach into the program nor fail when a document is sent.
`{{` and `}}` are braces.
"""

import string
from collections.abc import Iterator, Mapping

FIELDS: Mapping[str, str] = {
    "document": "Invoice or Credit note",
    "number": "number of the document",
    "invoice_date": "date of the document",
    "due_date": "due date; empty for a credit note",
    "total": "total with tax, as printed",
    "currency": "its currency",
    "debtor": "name of the debtor on the document",
    "company": "name of the billing company on the document",
    "po_number": "purchase order, empty if there is none",
    "service_from": "first day of the service",
    "service_to": "last day of the service",
}
"""The fields of a template, and what each holds."""
REMINDER_FIELDS: Mapping[str, str] = {
    "invoices": "a line for each invoice: number, date, due date, days overdue, what is open",
    "count": "how many invoices",
    "total": "what is open of them together",
    "currency": "their currency",
    "days": "the stage: days after the due date",
    "debtor": "name of the debtor on the newest invoice",
    "company": "name of the billing company on the newest invoice",
}
"""The fields of a template of a reminder."""


def check_template(template: str, fields: Mapping[str, str] = FIELDS) -> None:
    """Raise ValueError, with what to write, if a template has another field or a stray brace."""
    for _ in _parts(template, fields):
        pass


def fill_in(template: str, values: Mapping[str, str]) -> str:
    """Return a checked template with its fields replaced. `values` has every field."""
    parts = _parts(template, values)
    return "".join(literal + (values[name] if name else "") for literal, name in parts)


def _parts(template: str, fields: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Return each literal with the field that follows it ("": none)."""
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"a brace has no partner ({error}): write {{{{ or }}}} for one") from error
    for literal, name, form, conversion in parts:
        if name is None:
            yield literal, ""
        elif name not in fields or form or conversion:
            raise ValueError(f"knows no such field: it has {', '.join(sorted(fields))}")
        else:
            yield literal, name
