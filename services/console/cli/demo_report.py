"""The story of the demonstration: what came in, what waits and why, what was closed, where the files are, what to try next."""

from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.console.cli.output import Column, Screen

if TYPE_CHECKING:
    from services.console.sample.play import Closed, Story

BATCHES = [
    Column("billing_company"),
    Column("batch"),
    Column("documents", figures=True),
    Column("lines", figures=True),
    Column("numbers"),
    Column("net", figures=True),
    Column("tax", figures=True),
    Column("total", figures=True),
    Column("currency", ""),
    Column("agree", "batch = CSV = PDF"),
]
WAITING = [Column("what"), Column("which", most=44), Column("why", most=600)]


def tell(screen: Screen, story: "Story", data: Path, out: Path, seconds: float) -> None:
    """Prints the story."""
    screen.say()
    screen.say("What happened", "bold green")
    _came_in(screen, story)
    screen.say()
    screen.table(_waiting(story), WAITING, title="What is not on an invoice, and why")
    screen.say()
    screen.table([_batch(closed) for closed in story.closed], BATCHES, title="What was closed")
    _checked(screen, story)
    _files(screen, story, out)
    _next(screen, story, data)
    screen.say()
    screen.say(
        f"Done in {seconds:.0f} s. Everything that was started is stopped; the books stay in {data}.",
        "green",
    )


def _came_in(screen: Screen, story: "Story") -> None:
    records = sum(story.published.values())
    lines = sum(story.lines.values())
    screen.say(
        f"{records} records came in over Kafka, the timesheets before the requirements that price them; they became {lines} pay lines."
    )
    for row in story.pending:
        products = row["amount_products_and_services"]
        screen.say(
            f"  {row['billing_company']}: pending {row['amount_timesheets']:,f} {row['currency']} of timesheets"
            f" and {products:,f} {row['currency']} of products and services"
        )
    screen.say(
        "One sheet came unsigned and was released when its signed revision came; one adjustment took its original's place unbilled."
    )


def _waiting(story: "Story") -> list[dict[str, Any]]:
    rows = [
        {"what": "held", "which": row["document_id"], "why": row["message"]} for row in story.held
    ]
    rows += [
        {
            "what": "dead letter",
            "which": f"{row['topic']}, offset {row['offset']}",
            "why": row["message"],
        }
        for row in story.letters
    ]
    snoozed = {int(line["pay_line_id"]) for line in story.snoozed}
    for line in story.left:
        if int(line["pay_line_id"]) in snoozed:
            rows.append(
                {
                    "what": "snoozed",
                    "which": line["document_id"],
                    "why": f"{_amount(line)}: {line.get('hold_reason') or 'on hold'}",
                }
            )
        elif line["status"] == "Scheduled":
            rows.append(
                {
                    "what": "scheduled",
                    "which": line["document_id"],
                    "why": f"{_amount(line)} falls due on {line['effective_date']}",
                }
            )
    rows += _set_aside(story, snoozed)
    return rows


def _set_aside(story: "Story", snoozed: set[int]) -> list[dict[str, Any]]:
    """Pending lines that no batch took: by the document's last reason in the preview, grouped."""
    from services.console.sample.month import CUT_OFF

    open_lines = [
        line
        for line in story.left
        if line["status"] == "Pending" and int(line["pay_line_id"]) not in snoozed
    ]
    early = [line for line in open_lines if line["effective_date"] > CUT_OFF]
    rest = [line for line in open_lines if line["effective_date"] <= CUT_OFF]
    rows = [
        {
            "what": "next month",
            "which": line["document_id"],
            "why": f"{_amount(line)}: week ending {line['week_ending']} lies beyond the cut-off date {CUT_OFF}",
        }
        for line in early
    ]
    for node, number in sorted(Counter(str(line["billto_node"]) for line in rest).items()):
        total = sum((line["amount"] for line in rest if line["billto_node"] == node), Decimal(0))
        currency = next(line["currency"] for line in rest if line["billto_node"] == node)
        rows.append(
            {
                "what": "set aside",
                "which": node,
                "why": f"{total:,f} {currency} in {number} lines: no Account Name on the way from this office up, so nobody to invoice",
            }
        )
    return rows


def _amount(line: dict[str, Any]) -> str:
    return f"{line['amount']:,f} {line['currency']}"


def _batch(closed: "Closed") -> dict[str, Any]:
    head = closed.head
    (totals,) = head["totals"]
    return {
        "billing_company": closed.billing_company,
        "batch": head["batch_id"],
        "documents": head["documents"],
        "lines": head["line_count"],
        "numbers": f"{head['first_number']} … {head['last_number']}",
        "net": Decimal(totals["net"]),
        "tax": Decimal(totals["tax"]),
        "total": Decimal(totals["total"]),
        "currency": totals["currency"],
        "agree": "yes" if _agree(closed, totals) else "NO",
    }


def _agree(closed: "Closed", totals: dict[str, Any]) -> bool:
    """Whether the lines counted while each file was written add up to the batch."""
    if closed.csv is None or closed.pdf is None:
        return False
    counted = [saved.totals.by_currency[totals["currency"]] for saved in (closed.csv, closed.pdf)]
    return all(
        (one.net, one.tax, one.total)
        == tuple(Decimal(totals[name]) for name in ("net", "tax", "total"))
        for one in counted
    )


def _checked(screen: Screen, story: "Story") -> None:
    screen.say()
    report = story.report
    if report is not None and report.clean:
        looked = report.looked_at
        screen.say(
            f"The books are clean: {len(report.checks)} checks over {looked['documents']} documents, {looked['pay_lines']} pay lines"
            f" and {looked['invoices']} invoices; no number is missing.",
            "green",
        )
    elif report is not None:
        for fault in report.faults:
            screen.say(
                f"{fault.check}: {fault.message} ({fault.count}, e.g. {', '.join(one.id for one in fault.offenders[:3])})",
                "red",
            )


def _files(screen: Screen, story: "Story", out: Path) -> None:
    screen.say()
    screen.say("The files", "bold green")
    for closed in story.closed:
        if closed.csv is not None and closed.pdf is not None:
            screen.say(
                f"  {out / (closed.billing_company + '.csv')}   {closed.csv.totals.lines} lines"
            )
            screen.say(
                f"  {out / closed.billing_company}/   {closed.pdf.files} PDF files, {closed.head['first_number']}.pdf and on"
            )


def _next(screen: Screen, story: "Story", data: Path) -> None:
    first = story.snoozed[0] if story.snoozed else None
    bin_path = ".venv/bin/backoffice" if Path(".venv/bin/backoffice").exists() else "backoffice"
    screen.say()
    screen.say("Try next", "bold green")
    tries = [
        ("up --detach", "the same books, running again"),
        ("health-check --billing-company harbor-us --cut-off 2026-11-30", "what stands in the way"),
    ]
    if story.closed:
        tries.append(
            (
                f"invoices show {story.closed[0].head['first_number']}",
                "a closed document with its lines",
            )
        )
    if first is not None:
        line = first["pay_line_id"]
        tries.append(
            (f"why {line}", "where a line comes from, down to the rate version and the payer")
        )
        tries.append(
            (
                f"pay-lines release {line} --reason 'the client agrees'",
                "into the next batch with it",
            )
        )
    tries += [
        ("documents held", "what waits, and for what"),
        ("dead-letters list", "what nobody could read"),
        ("down", "stops it again"),
    ]
    wide = max(len(words) for words, _ in tries)
    screen.say(f"  export BACKOFFICE_DATA={data}")
    for words, what in tries:
        screen.say(f"  {bin_path} {words:<{wide}}  # {what}")


def document_of(story: "Story", data: Path, out: Path) -> dict[str, Any]:
    """The story for programs."""
    return {
        "published": story.published,
        "pay_lines": story.lines,
        "held": [
            {name: row[name] for name in ("document_id", "code", "message")} for row in story.held
        ],
        "dead_letters": [
            {name: row[name] for name in ("service", "topic", "code", "message")}
            for row in story.letters
        ],
        "not_invoiced": _waiting(story),
        "batches": [
            _batch(closed) | {"preview": closed.preview.details if closed.preview else None}
            for closed in story.closed
        ],
        "findings": {
            closed.billing_company: [finding.model_dump() for finding in closed.findings]
            for closed in story.closed
        },
        "verify": story.report.as_dict() if story.report else None,
        "data": data,
        "files": out,
    }
