"""What people see of batches and previews: facts, and tables of totals, documents and lines."""

from typing import Any

from services.console.cli.output import Column, Screen
from services.console.columns.batches import (
    DOCUMENTS,
    LEFT_OUT,
    PARKED,
    PREVIEW_LINES,
    TOTALS,
    line_cells,
    with_hours,
)

TABLES = {"totals": TOTALS, "parked": PARKED, "still_parked": PARKED}
RESULT = (
    "batch_id",
    "preview_id",
    "billing_company",
    "cut_off_date",
    "invoice_date",
    "first_number",
    "last_number",
    "numbers_passed_over",
    "reason",
    "digest",
)
PREVIEW = (
    "preview_id",
    "billing_company",
    "cut_off_date",
    "digest",
    "actor",
    "previewed_at",
    "totals",
)
IN_TOTALS = ("documents", "lines", "hours", "left_out")


def show_batch_result(screen: Screen, details: dict[str, Any]) -> None:
    """Shows a preview or a batch: facts in a fixed order, then the tables."""
    tables = {
        name: value
        for name, value in details.items()
        if isinstance(value, list) and value and isinstance(value[0], dict)
    }
    names = [name for name in RESULT if name in details]
    names += [name for name in details if name not in names]
    screen.facts({name: details[name] for name in names if name not in (*tables, *IN_TOTALS)})
    if "listed" in tables:
        tables["documents"] = [row | {"line_count": row["lines"]} for row in tables.pop("listed")]
    if "totals" in tables:
        tables["totals"] = with_hours(tables["totals"], details.get("hours", {}))
    for name, rows in sorted(tables.items()):
        columns = DOCUMENTS if "account_name" in rows[0] else [Column(field) for field in rows[0]]
        screen.table(rows, TABLES.get(name, columns), title=name.replace("_", " "))
        if name == "documents":
            screen.shortened(len(rows), details["documents"], "backoffice batch show")
    left_out = details.get("left_out", {}).items()
    screen.table(
        [{"reason": reason, "lines": lines} for reason, lines in left_out],
        LEFT_OUT,
        title="left out",
    )
    if details.get("preview_id"):
        screen.say(f"to see its lines: backoffice batch show {details['preview_id']}", "dim")
    if details.get("preview_id") and details.get("documents"):
        screen.say(f"to bill it: backoffice batch generate ... --digest {details['digest']}", "dim")
    if details.get("batch_id"):
        download = f"{details['batch_id']} --format pdf --out invoices/"
        screen.say(f"to get its files: backoffice batch download {download}", "dim")


def show_preview(screen: Screen, found: dict[str, Any]) -> None:
    """Shows a stored preview: what is in, and what is left out."""
    screen.facts({name: found[name] for name in PREVIEW if name != "totals"})
    screen.table(with_hours(found["totals"], found["hours"]), TOTALS, title="totals")
    screen.table(found["documents"], DOCUMENTS, title="documents", empty="no document")
    screen.shortened(len(found["documents"]), sum(each["documents"] for each in found["totals"]))
    out = [row | {"pay_line_ids": ", ".join(map(str, row["pay_line_ids"]))} for row in found["out"]]
    screen.table(out, LEFT_OUT, title="left out")
    for name, title in (("in", "lines in, by document"), ("out", "lines left out, by reason")):
        lines = found[f"lines_{name}"]
        screen.table([line_cells(row) for row in lines], PREVIEW_LINES, title=title)
        screen.shortened(len(lines), found[f"{name}_total"])
