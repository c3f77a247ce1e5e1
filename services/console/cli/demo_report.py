"""The report of the demonstration: what came in, what waits and why, what was closed, the files,
and what to try next.
"""

from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.console.cli.output import Column, Screen

if TYPE_CHECKING:
    from services.console.sample.demo_run import ClosedBatch, DemoResult

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
BESIDE_HOURS = [
    Column("what"),
    Column("which"),
    Column("document"),
    Column("amount", figures=True),
    Column("currency", ""),
    Column("why", "what it is", most=120),
]
KINDS = {
    "placement": "fee",
    "retainer": "retainer",
    "assignment": "recurring product",
    "charge": "expense",
}
WAITING = [Column("what"), Column("which", most=44), Column("why", most=600)]


def show_result(
    screen: Screen, result: "DemoResult", data: Path, out: Path, seconds: float
) -> None:
    """Prints the report."""
    screen.say()
    screen.say("What happened", "bold green")
    _show_input(screen, result)
    screen.say()
    screen.table(_not_invoiced(result), WAITING, title="What is not on an invoice, and why")
    screen.say()
    screen.table([_batch(closed) for closed in result.closed], BATCHES, title="What was closed")
    screen.say()
    screen.table(_beside_hours(result), BESIDE_HOURS, title="What was billed beside hours")
    screen.say()
    _show_checks(screen, result)
    screen.say()
    _show_files(screen, result, out)
    screen.say()
    _show_next(screen, result, data)
    screen.say()
    stopped = "Everything that was started is stopped"
    screen.say(f"Done in {seconds:.0f} s. {stopped}; the data stay in {data}.", "green")


def _show_input(screen: Screen, result: "DemoResult") -> None:
    records, lines = sum(result.published.values()), sum(result.lines.values())
    screen.say(
        f"{records} records came in over Kafka, the timesheets before the requirements that price"
        f" them; they became {lines} pay lines."
    )
    for row in result.pending:
        currency = row["currency"]
        timesheets = f"{row['amount_timesheets']:,f} {currency} of timesheets"
        products = f"{row['amount_products_and_services']:,f} {currency} of products and services"
        screen.say(f"  {row['billing_company']}: pending {timesheets} and {products}")
    screen.say(
        "One timesheet came unsigned and was released when its signed revision came;"
        " one adjustment replaced its original, which was not billed."
    )


def _not_invoiced(result: "DemoResult") -> list[dict[str, Any]]:
    """What is on no invoice, with the reason."""
    from services.console.sample.month import CUT_OFF

    rows = [_row("held", row["document_id"], row["message"]) for row in result.held]
    for row in result.dead_letters:
        rows.append(_row("dead letter", f"{row['topic']}, offset {row['offset']}", row["message"]))
    snoozed = {int(line["pay_line_id"]) for line in result.snoozed}
    no_payer: list[dict[str, Any]] = []
    for line in result.open_lines:
        document, amount = line["document_id"], f"{line['amount']:,f} {line['currency']}"
        if int(line["pay_line_id"]) in snoozed:
            hold = line.get("hold_reason") or "on hold"
            rows.append(_row("snoozed", document, f"{amount}: {hold}"))
        elif line["status"] == "Scheduled":
            rows.append(
                _row("scheduled", document, f"{amount} falls due on {line['effective_date']}")
            )
        elif line["status"] == "Pending" and line["effective_date"] > CUT_OFF:
            day = f"{'week ending' if line['week_ending'] else 'due on'} {line['effective_date']}"
            why = f"{day}, after the cut-off date {CUT_OFF}"
            rows.append(_row("next month", document, f"{amount}: {why}"))
        elif line["status"] == "Pending":
            no_payer.append(line)
    counts = Counter((str(line["billto_node"]), str(line["currency"])) for line in no_payer)
    for (node, currency), number in sorted(counts.items()):
        amounts = (line["amount"] for line in no_payer if line["billto_node"] == node)
        total = f"{sum(amounts, Decimal(0)):,f} {currency} in {number} lines"
        why = "neither this office nor a node above it has an Account Name, so no debtor is known"
        rows.append(_row("set aside", node, f"{total}: {why}"))
    return rows


def _row(what: str, which: str, why: str) -> dict[str, Any]:
    return {"what": what, "which": which, "why": why}


def _beside_hours(result: "DemoResult") -> list[dict[str, Any]]:
    """Products on documents in the order of these, and discounts."""
    set_off = {each["requirement_id"]: each["set_off"] for each in result.retainers}
    rows: list[dict[str, Any]] = []
    for line in sorted(
        result.billed_lines, key=lambda line: (line["invoice_number"], line["line_no"])
    ):
        what = KINDS.get(line["document_kind"])
        if what is None:
            continue
        why = line["description"]
        if what == "retainer":
            why += f"; {set_off[line['document_id']]:,f} of it taken off the fee of the placement"
        row = {"what": what, "which": line["document_id"], "document": line["invoice_number"]}
        rows.append(row | {"amount": line["amount"], "currency": line["currency"], "why": why})
    for document in (each for closed in result.closed for each in closed.documents):
        rows += [
            {
                "what": "discount",
                "which": document["account_name"],
                "document": document["invoice_number"],
                "amount": Decimal(each["amount"]),
                "currency": document["currency"],
                "why": f"{each['name']}, {each['percent']} % of {Decimal(each['base']):,f}",
            }
            for each in document["allowances"]
        ]
    return rows


def _batch(closed: "ClosedBatch") -> dict[str, Any]:
    head = closed.head
    (totals,) = head["totals"]
    amounts = {name: Decimal(totals[name]) for name in ("net", "tax", "total")}
    return {
        "billing_company": closed.billing_company,
        "batch": head["batch_id"],
        "documents": head["documents"],
        "lines": head["line_count"],
        "numbers": f"{head['first_number']} … {head['last_number']}",
        **amounts,
        "currency": totals["currency"],
        "agree": "yes" if _agree(closed, totals["currency"], amounts) else "NO",
    }


def _agree(closed: "ClosedBatch", currency: str, amounts: dict[str, Decimal]) -> bool:
    """Whether the lines counted while each file was written add up to the batch."""
    written = [saved.totals.by_currency[currency] for saved in (closed.csv, closed.pdf) if saved]
    return len(written) == 2 and all(
        getattr(one, name) == amount for one in written for name, amount in amounts.items()
    )


def _show_checks(screen: Screen, result: "DemoResult") -> None:
    report = result.report
    if report is None:
        return
    if report.clean:
        looked = report.looked_at
        screen.say(
            f"Verify is clean: {len(report.checks)} checks over {looked['documents']} documents,"
            f" {looked['pay_lines']} pay lines and {looked['invoices']} invoices;"
            " no number is missing.",
            "green",
        )
    for fault in report.faults:
        ids = ", ".join(one.id for one in fault.offenders[:3])
        screen.say(f"{fault.check}: {fault.message} ({fault.count}, e.g. {ids})", "red")


def _show_files(screen: Screen, result: "DemoResult", out: Path) -> None:
    screen.say("The files", "bold green")
    for closed in result.closed:
        if closed.csv is not None and closed.pdf is not None:
            company, first = closed.billing_company, closed.head["first_number"]
            screen.say(f"  {out / f'{company}.csv'}   {closed.csv.totals.lines} lines")
            screen.say(f"  {out / company}/   {closed.pdf.files} PDF files, {first}.pdf and on")


def _show_next(screen: Screen, result: "DemoResult", data: Path) -> None:
    local = Path(".venv/bin/backoffice")
    health = "health-check --billing-company harbor-us --cut-off 2026-11-30"
    tries = [
        ("up --detach", "start the same data again, and the web console"),
        ("console link", "a link that signs you in to it in a browser"),
        (health, "what prevents a batch"),
    ]
    for closed in result.closed[:1]:
        tries.append((f"invoices show {closed.head['first_number']}", "a closed document"))
    for line in result.snoozed[:1]:
        number = line["pay_line_id"]
        release = f"pay-lines release {number} --reason 'the client agrees'"
        tries.append((f"why {number}", "where a line comes from, down to rate version and payer"))
        tries.append((release, "bill it with the next batch"))
    tries += [
        ("documents held", "what waits, and for what"),
        ("dead-letters list", "what could not be read"),
        ("down", "stop it again"),
    ]
    wide = max(len(words) for words, _ in tries)
    screen.say("Try next", "bold green")
    screen.say(f"  export BACKOFFICE_DATA={data}")
    for words, what in tries:
        screen.say(f"  {local if local.exists() else 'backoffice'} {words:<{wide}}  # {what}")


def document_of(result: "DemoResult", data: Path, out: Path) -> dict[str, Any]:
    """The report as one JSON document."""
    held, dead = ("document_id", "code", "message"), ("service", "topic", "code", "message")
    return {
        "published": result.published,
        "pay_lines": result.lines,
        "held": [{name: row[name] for name in held} for row in result.held],
        "dead_letters": [{name: row[name] for name in dead} for row in result.dead_letters],
        "not_invoiced": _not_invoiced(result),
        "beside_hours": _beside_hours(result),
        "batches": [
            _batch(closed) | {"preview": closed.preview.details if closed.preview else None}
            for closed in result.closed
        ],
        "findings": {
            closed.billing_company: [finding.model_dump() for finding in closed.findings]
            for closed in result.closed
        },
        "verify": result.report.as_dict() if result.report else None,
        "data": data,
        "files": out,
    }
