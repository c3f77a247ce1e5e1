"""`backoffice invoices search|show` and `numbers`: closed documents, and the gap certificate of their numbers."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Any

import typer

from services.console.cli.explaining import HISTORY
from services.console.cli.options import (
    AnyCompany,
    AsJson,
    Company,
    Data,
    Limit,
    must_be_one_of,
    read_date,
    read_decimal,
)
from services.console.cli.output import Column, screen_for
from services.console.cli.send_command import read_books

app = typer.Typer(help="Closed invoices and credit notes.", no_args_is_help=True)
FOUND = [
    Column("invoice_number", "number"),
    Column("document_type", "type"),
    Column("billing_company"),
    Column("account_name", most=40),
    Column("invoice_date", "date"),
    Column("due_date", "due"),
    Column("po_number", "PO"),
    Column("line_count", "lines", figures=True),
    Column("net", figures=True),
    Column("tax", figures=True),
    Column("total", figures=True),
    Column("balance", figures=True),
    Column("currency", ""),
    Column("state"),
    Column("batch_id", "batch"),
]
LINES = [
    Column("line_no", "", figures=True),
    Column("description", most=56),
    Column("document_id", "document", most=36),
    Column("pay_line_id", "pay line", figures=True),
    Column("quantity", figures=True),
    Column("unit", ""),
    Column("unit_price", "price", figures=True),
    Column("amount", figures=True),
    Column("tax_code", "tax"),
    Column("tax_rate", "%", figures=True),
    Column("tax_amount", "tax amount", figures=True),
    Column("corrects", "corrects"),
    Column("quantity_left", "left", figures=True),
    Column("amount_left", "left net", figures=True),
]
CREDITS = [
    Column("corrects_line", "line", figures=True),
    Column("invoice_number", "credited on"),
    Column("invoice_date", "date"),
    Column("line_no", "its line", figures=True),
    Column("quantity", figures=True),
    Column("amount", figures=True),
    Column("tax_amount", "tax", figures=True),
    Column("credited_to", "to"),
    Column("actor"),
    Column("reason", most=40),
]
PAYMENTS = [
    Column("paid_on", "paid on"),
    Column("amount", figures=True),
    Column("currency", ""),
    Column("ledger"),
    Column("payment_id", "payment"),
]
DOWNLOADS = [
    Column("downloaded_at", "downloaded on"),
    Column("file_format", "format"),
    Column("actor"),
]
SERIES = [
    Column("series"),
    Column("first", figures=True),
    Column("last", figures=True),
    Column("used", figures=True),
    Column("passed_over", figures=True),
    Column("unexplained", figures=True),
    Column("last_date"),
]
JUMPS = [
    Column("series"),
    Column("from_number", "from", figures=True),
    Column("to_number", "to", figures=True),
    Column("actor"),
    Column("reason"),
    Column("jumped_at", "at"),
]
TYPES = ("invoice", "credit-note")
STATES = (
    "open",
    "part paid",
    "paid",
    "overpaid",
    "partly credited",
    "credited",
    "zero",
    "applied",
    "unapplied",
)


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(app, name="invoices")
    backoffice.command()(numbers)


@app.command()
def search(
    billing_company: AnyCompany = None,
    number: Annotated[
        str | None,
        typer.Option(help="Invoice number, or the bare number in its series.", show_default=False),
    ] = None,
    since: Annotated[
        date | None,
        typer.Option(
            "--from",
            parser=read_date,
            metavar="DATE",
            help="Invoice date from.",
            show_default=False,
        ),
    ] = None,
    until: Annotated[
        date | None,
        typer.Option(
            "--to", parser=read_date, metavar="DATE", help="Invoice date up to.", show_default=False
        ),
    ] = None,
    account_name: Annotated[
        str | None,
        typer.Option(
            "--account-name", "--debtor", help="The debtor's Account Name.", show_default=False
        ),
    ] = None,
    document_type: Annotated[
        str | None, typer.Option("--type", metavar="invoice|credit-note", show_default=False)
    ] = None,
    amount: Annotated[
        Decimal | None,
        typer.Option(
            parser=read_decimal,
            metavar="A",
            help="Net or total, whatever the sign.",
            show_default=False,
        ),
    ] = None,
    batch: Annotated[str | None, typer.Option(metavar="ID", show_default=False)] = None,
    text: Annotated[
        str | None,
        typer.Option(
            help="In number, debtor, buyer, PO; or the id of a timesheet or placement.",
            show_default=False,
        ),
    ] = None,
    state: Annotated[
        str | None,
        typer.Option("--state", metavar="STATE", help=f"{', '.join(STATES)}.", show_default=False),
    ] = None,
    limit: Limit = 100,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Find closed documents; every condition that is given must hold."""
    must_be_one_of(TYPES, document_type, "--type")
    must_be_one_of(STATES, state, "--state")
    with screen_for(as_json) as screen:
        from services.console.client.invoices import invoice_search

        rows, total = read_books(
            data,
            lambda connection: invoice_search(
                connection,
                billing_company=billing_company,
                number=number,
                since=since,
                until=until,
                account_name=account_name,
                document_type=document_type,
                amount=amount,
                batch_id=batch,
                text=text,
                state=state,
                limit=limit,
            ),
        )
        screen.document({"invoices": rows, "total": total})
        screen.table(
            rows,
            FOUND,
            empty="no such document; without conditions `backoffice invoices search` lists all",
        )
        screen.shortened(len(rows), total)


@app.command()
def show(
    number: Annotated[str, typer.Argument(metavar="NUMBER")],
    billing_company: AnyCompany = None,
    limit: Limit = 200,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Show a document with its lines and what is left on them, its taxes, the credits that correct it, payments, downloads, and who did what."""
    with screen_for(as_json) as screen:
        from services.console.client.batches import batch_downloads
        from services.console.client.history import history
        from services.console.client.invoices import (
            invoice,
            invoice_credits,
            invoice_lines,
            invoice_payments,
        )

        async def read(connection: Any) -> dict[str, Any]:
            head = await invoice(connection, number, billing_company)
            lines = await invoice_lines(connection, head["invoice_id"], limit)
            credits = await invoice_credits(connection, head["invoice_id"], limit)
            payments = await invoice_payments(connection, head["invoice_id"], limit)
            downloads = await batch_downloads(connection, head["batch_id"])
            parts = {
                "lines": lines,
                "credits": credits,
                "payments": payments,
                "downloads": downloads,
            }
            return head | parts | {"history": await history(connection, number, 50)}

        found = read_books(data, read)
        screen.document(found)
        names = (
            "invoice_number",
            "document_type",
            "billing_company",
            "account_name",
            "invoice_date",
            "due_date",
            "payment_terms",
            "po_number",
        )
        more = ("cut_off_date", "batch_id", "closed_at", "tax_wording", "content_hash", "state")
        screen.facts({name: found[name] for name in (*names, *more)})
        rows = [_line(row) for row in found["lines"]]
        screen.table(rows, LINES, title="lines")
        screen.shortened(len(rows), found["line_count"])
        columns = [
            Column("code", "tax"),
            Column("rate", "%", figures=True),
            Column("net", figures=True),
            Column("tax", "amount", figures=True),
        ]
        screen.table(found["tax_totals"], columns, title="taxes")
        screen.say(
            f"net {found['net']:,f}, tax {found['tax']:,f}, total {found['total']:,f} {found['currency']}",
            "bold",
        )
        if found["paid"]:
            screen.say(
                f"paid {found['paid']:,f}, balance {found['balance']:,f} {found['currency']}",
                "bold",
            )
        screen.table(found["credits"], CREDITS, title="credits of its lines")
        screen.table(found["payments"], PAYMENTS, title="payments")
        screen.table(found["downloads"], DOWNLOADS, title="downloads of its batch")
        screen.table(found["history"], HISTORY, title="history")


def _line(row: dict[str, Any]) -> dict[str, Any]:
    """A line as it is shown: which invoice line it corrects; what is left, where a part is credited."""
    untouched = row["quantity_left"] == row["quantity"] and row["amount_left"] == row["amount"]
    left = {"quantity_left": None, "amount_left": None} if untouched else {}
    return (
        row
        | left
        | {
            "corrects": f"{row['corrects_invoice']} line {row['corrects_line']}"
            if row["corrects_invoice"]
            else ""
        }
    )


def numbers(billing_company: Company, as_json: AsJson = False, data: Data = None) -> None:
    """The gap certificate: first, last and used numbers of each series, the jumps with who and why, and what nothing explains."""
    with screen_for(as_json) as screen:
        from services.console.client.invoices import gap_certificate

        series = read_books(data, lambda connection: gap_certificate(connection, billing_company))
        unexplained = sum(one["unexplained"] for one in series)
        screen.document(
            {"billing_company": billing_company, "series": series, "unexplained": unexplained}
        )
        screen.table(series, SERIES, empty=f"no number of {billing_company} was taken yet")
        screen.table(
            [jump | {"series": one["series"]} for one in series for jump in one["jumps"]],
            JUMPS,
            title="declared jumps",
        )
        if unexplained:
            ranges = ", ".join(
                f"{one['series']} {each['from_number']}-{each['to_number']}"
                for one in series
                for each in one["unexplained_ranges"]
            )
            screen.no(
                "unexplained_numbers",
                f"{unexplained} number(s) of {billing_company} are explained by nothing: {ranges}",
                "run `backoffice verify`",
            )
