"""Columns of layouts: what a CSV of documents may hold."""

from services.console.columns import Column

FIELDS_SHOWN = [
    Column("field"),
    Column("kind"),
    Column("rows"),
    Column("holds", most=200),
]


COLUMNS = [Column("heading"), Column("field"), Column("text")]


ROWS = {"line": "line", "tax": "tax code of a document", "document": "document"}


def field_rows() -> list[dict[str, str]]:
    """What a column may hold, and in which rows."""
    from shared.render.layout_fields import FIELDS  # slow to import

    return [
        {
            "field": name,
            "kind": field.kind,
            "rows": ", ".join(field.rows) + (" (file drop only)" if field.delivered else ""),
            "holds": field.explanation,
        }
        for name, field in FIELDS.items()
    ]
