"""`backoffice invoices search|show|download` and `numbers`: closed documents, and the gap
certificate of their numbers.
"""

from datetime import date
from decimal import Decimal
from typing import Annotated, Any

import typer

from services.console.cli.command import Run, command
from services.console.cli.downloads import (
    AccountNames,
    ClassField,
    ClassNames,
    Country,
    Format,
    LayoutFile,
    Out,
    Wanted,
    download_files,
)
from services.console.cli.options import (
    AccountName,
    AnyCompany,
    Company,
    Limit,
    must_be_one_of,
    option,
    parsed,
    read_date,
    read_decimal,
)
from services.console.columns.batches import DOWNLOADS
from services.console.columns.disputes import OF_INVOICE
from services.console.columns.invoices import (
    ALLOWANCES,
    CREDITS,
    FEES,
    FOUND,
    HISTORY,
    JUMPS,
    LINES,
    PAYMENTS,
    SERIES,
    STATES,
    TAXES,
    TYPES,
    allowance_row,
    line_row,
)

app = typer.Typer(help="Closed invoices and credit notes.", no_args_is_help=True)
HEAD = (
    "invoice_number",
    "document_type",
    "billing_company",
    "account_name",
    "invoice_date",
    "due_date",
    "payment_terms",
    "po_number",
    "cut_off_date",
    "batch_id",
    "closed_at",
    "tax_wording",
    "content_hash",
    "state",
)
HISTORY_SHOWN = 50


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(app, name="invoices")
    command(backoffice)(numbers)


@command(app)
def search(
    run: Run,
    billing_company: AnyCompany = None,
    number: Annotated[
        str | None, option("Invoice number, or the bare number in its series.")
    ] = None,
    since: Annotated[
        date | None, parsed(read_date, "Invoice date from.", "--from", metavar="DATE")
    ] = None,
    until: Annotated[
        date | None, parsed(read_date, "Invoice date up to.", "--to", metavar="DATE")
    ] = None,
    account_name: AccountName = None,
    document_type: Annotated[
        str | None, typer.Option("--type", metavar="invoice|credit-note", show_default=False)
    ] = None,
    amount: Annotated[
        Decimal | None, parsed(read_decimal, "Net or total, whatever the sign.", metavar="A")
    ] = None,
    batch: Annotated[str | None, typer.Option(metavar="ID", show_default=False)] = None,
    text: Annotated[
        str | None,
        option("In number, debtor, buyer, PO; or the id of a timesheet or placement."),
    ] = None,
    state: Annotated[
        str | None, option(f"{', '.join(STATES)}.", "--state", metavar="STATE")
    ] = None,
    limit: Limit = 100,
) -> None:
    """Find closed documents that meet all conditions."""
    must_be_one_of(TYPES, document_type, "--type")
    must_be_one_of(STATES, state, "--state")
    from services.console.queries.invoices import invoice_search

    found = run.read(
        invoice_search,
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
    )
    empty = "no such document; to list all: backoffice invoices search"
    run.page("invoices", *found, FOUND, empty)


@command(app)
def show(
    run: Run,
    number: Annotated[str, typer.Argument(metavar="NUMBER")],
    billing_company: AnyCompany = None,
    limit: Limit = 200,
) -> None:
    """Show a document: lines, what credits left of them, taxes, credits, payments, downloads and
    history.
    """
    from services.console.queries import invoices
    from services.console.queries.batches import batch_downloads
    from services.console.queries.disputes import disputes
    from services.console.queries.history import history

    async def read(connection: Any) -> dict[str, Any]:
        head = await invoices.invoice(connection, number, billing_company)
        invoice_id = head["invoice_id"]
        return head | {
            "lines": await invoices.invoice_lines(connection, invoice_id, limit),
            "credits": await invoices.invoice_credits(connection, invoice_id, limit),
            "payments": await invoices.invoice_payments(connection, invoice_id, limit),
            "disputes": (await disputes(connection, invoice_id=invoice_id, limit=limit))[0],
            "downloads": await batch_downloads(connection, head["batch_id"]),
            "history": await history(connection, number, HISTORY_SHOWN),
        }

    found = run.read(read)
    run.document(found)
    run.facts({name: found[name] for name in HEAD})
    run.table([line_row(row) for row in found["lines"]], LINES, title="lines")
    run.shortened(len(found["lines"]), found["line_count"])
    run.table(found["allowances"], ALLOWANCES, title="discounts and surcharges")
    run.table(found["fees"], FEES, title="MSP fees")
    run.table(found["tax_totals"], TAXES, title="taxes")
    amounts = {"net": found["net"], "tax": found["tax"], "total": found["total"]}
    amounts |= {"credited": -found["credited"], "paid": found["paid"], "balance": found["balance"]}
    words = ", ".join(
        f"{name} {amount:,f}"
        for name, amount in amounts.items()
        if amount or name not in ("credited", "paid")
    )
    run.say(f"{words} {found['currency']} ({found['state']})", "bold")
    run.table(
        [allowance_row(row) for row in found["credits"]], CREDITS, title="credits of its lines"
    )
    run.table(found["payments"], PAYMENTS, title="payments")
    run.table(found["disputes"], OF_INVOICE, title="disputes")
    run.table(found["downloads"], DOWNLOADS, title="downloads of its batch")
    run.table(found["history"], HISTORY, title="history")


@command(app, sends=True)
def download(
    run: Run,
    number: Annotated[str, typer.Argument(metavar="NUMBER")],
    file_format: Format,
    out: Out,
    billing_company: AnyCompany = None,
    country: Country = "",
    account: AccountNames = None,
    class_field: ClassField = "",
    class_name: ClassNames = None,
    layout: LayoutFile = None,
) -> None:
    """Write the files of one document, compare their totals with it, and record the download.

    The same document gives the same bytes.
    """
    from services.console.queries.invoices import one_document

    wanted = Wanted(file_format.lower(), out, country, account, class_field, class_name, layout)
    download_files(
        run, lambda connection: one_document(connection, number, billing_company), wanted
    )


def numbers(run: Run, billing_company: Company) -> None:
    """Show the gap certificate: used numbers of each series, numbers passed over with who and
    why, and gaps.
    """
    from services.console.queries.invoices import gap_certificate
    from shared.terms import counted

    series = run.read(gap_certificate, billing_company)
    unexplained = sum(one["unexplained"] for one in series)
    run.document({"billing_company": billing_company, "series": series, "unexplained": unexplained})
    run.table(series, SERIES, empty=f"{billing_company} has used no number yet")
    jumps = [jump | {"series": one["series"]} for one in series for jump in one["jumps"]]
    run.table(jumps, JUMPS, title="declared jumps")
    if unexplained:
        ranges = ", ".join(each for one in series for each in one["unexplained_invoice_numbers"])
        run.no(
            "unexplained_numbers",
            f"{counted(unexplained, 'number')} of {billing_company} unexplained: {ranges}",
            "run `backoffice verify`",
        )
