"""`backoffice options set|list|why` and `grouping set|show`: where items go, and in what groups."""

from datetime import date
from typing import Annotated, Any, Literal

import typer

from services.console.cli.command import Run, command
from services.console.cli.options import AnyCompany, Company, option, parsed, read_date
from services.console.columns.options import GROUPING, OPTIONS, grouping_cells, option_cells

app = typer.Typer(help="Invoice options: where the items of engagements go.", no_args_is_help=True)
grouping_app = typer.Typer(
    help="By what documents are grouped, for each client country.", no_args_is_help=True
)
Country = Annotated[
    str, typer.Option("--country", metavar="C", help="Country of the client: US, DE.")
]
GroupBy = Annotated[
    list[str] | None,
    option(
        "A field, in order: engagement.id|supplier|location|department|requirement,"
        " bill.po_number|worker|cost_center|project|week_ending|time_type|document or custom.NAME."
        " May be repeated.",
        "--group-by",
        metavar="FIELD",
    ),
]
RequestTypes = Annotated[
    list[str] | None,
    option(
        "A request type that it takes: staffing, project, payroll or managed (default: all)."
        " May be repeated.",
        "--request-type",
        metavar="TYPE",
    ),
]
BillingTypes = Annotated[
    list[str] | None,
    option(
        "A billing type that it takes: time, product, expense or adjustment (default: all)."
        " May be repeated.",
        "--billing-type",
        metavar="TYPE",
    ),
]
From = Annotated[
    date | None,
    parsed(
        read_date,
        "Valid from this date (default: from the beginning, later versions from today).",
        "--from",
        metavar="DATE",
    ),
]


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(app, name="options")
    backoffice.add_typer(grouping_app, name="grouping")


@command(app, "set", sends=True)
def set_option(
    run: Run,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    billing_company: Company,
    country: Country,
    bill_to: Annotated[
        Literal["client", "supplier"],
        typer.Option("--bill-to", help="Whom it invoices, or pays by self-billing: supplier."),
    ],
    location: Annotated[
        str, option("Only for this location (default: the whole country).", metavar="L")
    ] = "",
    request_type: RequestTypes = None,
    currency: Annotated[
        str | None, option("Only for this currency (default: any).", metavar="CUR")
    ] = None,
    billing_type: BillingTypes = None,
    max_lines: Annotated[
        int | None, option("At most so many lines on a document.", "--max-lines", metavar="N")
    ] = None,
    grouping: Annotated[
        Literal["inherit"] | None,
        typer.Option(help="Take the whole list of the country (the default)."),
    ] = None,
    group_by: GroupBy = None,
    workflow: Annotated[
        str, option("Workflow by which its documents are approved.", "--workflow", metavar="W")
    ] = "",
    needs_transfer: Annotated[
        bool,
        typer.Option("--needs-transfer", help="Billing transfer first; not available yet."),
    ] = False,
    default: Annotated[
        bool, typer.Option("--default", help="For items whose engagement names no option.")
    ] = False,
    from_date: From = None,
    inactive: Annotated[
        bool, typer.Option("--inactive", help="The option takes nothing any more.")
    ] = False,
) -> None:
    """Set an invoice option, whole: what is not given is not kept of the version before."""
    if grouping is not None and group_by:
        run.refuse(
            "grouping_twice",
            f"option {name} cannot inherit its grouping and have a list of its own",
            "give --grouping inherit, or --group-by FIELD",
        )
    run.send(
        "set-invoice-option",
        name=name,
        billing_company=billing_company,
        client_country=country,
        bill_to=bill_to,
        location=location,
        request_types=request_type or [],
        currency=currency,
        billing_types=billing_type or [],
        max_lines=max_lines,
        group_by=group_by,
        workflow=workflow,
        needs_transfer=needs_transfer,
        default=default,
        active=not inactive,
        from_date=from_date,
    )


@command(app, "list")
def list_options(run: Run, billing_company: AnyCompany = None) -> None:
    """List the invoice options, version by version."""
    from services.console.queries.invoice_options import invoice_options

    options = run.read(invoice_options, billing_company)
    run.document({"options": options})
    run.table(
        [option_cells(row) for row in options],
        OPTIONS,
        empty="no option: documents are made without; `backoffice options set NAME --help`",
    )


@command(app, sends=True)
def why(
    run: Run,
    line: Annotated[int, typer.Argument(metavar="LINE", help="Number of the open pay line.")],
) -> None:
    """Show which option an open pay line gets, and the steps that lead to it."""

    def steps(details: dict[str, Any]) -> None:
        for number, step in enumerate(details["steps"], start=1):
            run.say(f"{number}. {step}")

    run.send("explain-option", show=steps, pay_line_id=line)


@command(grouping_app, "set", sends=True)
def set_grouping(
    run: Run, billing_company: Company, country: Country, group_by: GroupBy = None
) -> None:
    """Set the list of a client country, whole; options that inherit it are grouped by it."""
    run.send(
        "set-country-grouping",
        billing_company=billing_company,
        client_country=country,
        group_by=group_by or [],
    )


@command(grouping_app)
def show(run: Run, billing_company: AnyCompany = None) -> None:
    """Show the lists of client countries."""
    from services.console.queries.invoice_options import country_grouping

    found = run.read(country_grouping, billing_company)
    run.document({"grouping": found})
    run.table(
        [grouping_cells(row) for row in found],
        GROUPING,
        empty="no country has a list: `backoffice grouping set --help`",
    )
