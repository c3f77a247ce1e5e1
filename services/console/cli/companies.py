"""`backoffice billing-company set|show`: the legal entities that issue invoices."""

import base64
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from services.console.cli.command import Run, command
from services.console.cli.options import option, parsed, read_date

LARGEST_LOGO = 300_000
"""So many bytes fit into the command in base64."""
companies_app = typer.Typer(help="The legal entities that issue invoices.", no_args_is_help=True)

TimeZone = Annotated[str | None, option("e.g. America/New_York: it decides the local date.")]
TaxDate = Annotated[
    str | None,
    option(
        "What decides the tax rate of time: the week ending (default) or each work date.",
        metavar="effective-date|work-date",
    ),
]
GoLive = Annotated[
    date | None,
    parsed(
        read_date,
        "Hold timesheets of weeks that end before it, unless opening data has them.",
        metavar="DATE",
    ),
]
PerTimesheet = Annotated[
    bool | None,
    option(
        "Whether each timesheet has an invoice of its own.",
        "--invoice-per-timesheet/--timesheets-together",
    ),
]
TaxRates = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CODE=PERCENT@FROM_DATE", help="A tax rate from a date on; may be repeated."
    ),
]
RemitTo = Annotated[str | None, option("Where payments go, as it is printed.", metavar="TEXT")]
PaymentInstructions = Annotated[str | None, option("How to pay, as it is printed.", metavar="TEXT")]
Footer = Annotated[str | None, option("Last lines of each page of a document.", metavar="TEXT")]
Logo = Annotated[str | None, option('PNG or JPEG for documents; "" for none.', metavar="FILE")]
DefaultAccount = Annotated[
    str | None,
    option(
        'Revenue account in the accounting system of lines without a mapped one; "" for none.',
        metavar="CODE",
    ),
]
DefaultItem = Annotated[
    str | None,
    option(
        'Item in the accounting system of lines without a mapped one; "" for none.', metavar="CODE"
    ),
]
MaxDayHours = Annotated[
    int | None,
    option(
        "Park debtors with more hours of a worker a day (default: 24).", min=1, max=999, metavar="N"
    ),
]


def register(app: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    app.add_typer(companies_app, name="billing-company")


def read_tax(text: str) -> dict[str, Any]:
    """CODE=PERCENT@FROM_DATE, e.g. VAT=21@2020-01-01."""
    code, _, rest = text.partition("=")
    percent, _, since = rest.partition("@")
    if not (code and percent and since):
        raise typer.BadParameter(
            f"{text!r} is not CODE=PERCENT@FROM_DATE, e.g. VAT=21@2020-01-01", param_hint="--tax"
        )
    return {"tax_code": code, "percent": percent, "from_date": read_date(since)}


def read_series(text: str) -> dict[str, Any]:
    """PREFIX:WIDTH, e.g. INV-:6."""
    prefix, colon, width = text.rpartition(":")
    if not colon or not width.isdigit():
        raise typer.BadParameter(
            f"{text!r} is not PREFIX:WIDTH, e.g. INV-:6", param_hint="--series"
        )
    return {"series_prefix": prefix, "series_width": int(width)}


def read_logo(path: str) -> str:
    """The content of a picture in base64; no path is no picture."""
    try:
        content = Path(path).read_bytes() if path else b""
    except OSError as error:
        raise typer.BadParameter(
            f"{path} cannot be read: {error.strerror}", param_hint="--logo"
        ) from error
    if len(content) > LARGEST_LOGO:
        raise typer.BadParameter(
            f"{path} has {len(content):,} bytes; the limit is {LARGEST_LOGO:,}: save it smaller",
            param_hint="--logo",
        )
    return base64.b64encode(content).decode()


@command(companies_app, "set", sends=True)
def set_company(
    run: Run,
    billing_company: Annotated[str, typer.Argument(metavar="ID")],
    name: Annotated[str | None, option("Legal name.")] = None,
    address: Annotated[str | None, option("Address as it is printed.")] = None,
    tax_id: Annotated[str | None, option("Tax id.")] = None,
    bank: Annotated[str | None, option("Bank details as they are printed.")] = None,
    time_zone: TimeZone = None,
    currency: Annotated[str | None, option("ISO 4217, e.g. USD.")] = None,
    series: Annotated[
        str | None, option("Form of its numbers, e.g. INV-:6.", metavar="PREFIX:WIDTH")
    ] = None,
    tax: TaxRates = None,
    default_tax: Annotated[
        str | None, option("Tax code of lines that name none.", metavar="CODE")
    ] = None,
    tax_basis: Annotated[
        str | None, option("Tax per line or per document.", metavar="line|document")
    ] = None,
    tax_date: TaxDate = None,
    default_time_group: Annotated[
        str | None, option("Billing cycle of debtors without one.", metavar="NAME")
    ] = None,
    payment_terms: Annotated[
        str | None, option("on-receipt, net:N, end-of-next-month or day:N.", metavar="TERMS")
    ] = None,
    gate: Annotated[
        str | None, option("Which timesheets may be billed.", metavar="approved|reviewed")
    ] = None,
    enabled: Annotated[bool | None, option("Whether it is in use.", "--enable/--disable")] = None,
    max_day_hours: MaxDayHours = None,
    go_live: GoLive = None,
    invoice_per_timesheet: PerTimesheet = None,
    remit_to: RemitTo = None,
    payment_instructions: PaymentInstructions = None,
    footer: Footer = None,
    logo: Logo = None,
    default_account: DefaultAccount = None,
    default_item: DefaultItem = None,
) -> None:
    """Create a billing company, or change the settings that are named; the others stay."""
    run.send(
        "set-billing-company",
        show=run.facts,
        billing_company=billing_company,
        name=name,
        address=address,
        tax_id=tax_id,
        bank=bank,
        time_zone=time_zone,
        currency=currency,
        taxes=[read_tax(each) for each in tax or []],
        default_tax=default_tax,
        tax_basis=tax_basis,
        tax_date=tax_date,
        default_time_group=default_time_group,
        payment_terms=payment_terms,
        gate=gate,
        enabled=enabled,
        max_day_hours=max_day_hours,
        go_live=go_live,
        invoice_per_timesheet=invoice_per_timesheet,
        remit_to=remit_to,
        payment_instructions=payment_instructions,
        footer=footer,
        logo=None if logo is None else read_logo(logo),
        default_account=default_account,
        default_item=default_item,
        **(read_series(series) if series is not None else {}),
    )


@command(companies_app, "show")
def show_company(
    run: Run,
    billing_company: Annotated[
        str | None, typer.Argument(metavar="[ID]", show_default=False)
    ] = None,
) -> None:
    """Show one billing company, or all."""
    from services.console.queries.companies import companies

    found = run.read(companies, billing_company)
    if billing_company is not None and not found:
        run.refuse(
            "unknown_billing_company",
            f"{billing_company} is not known",
            f"create it with `backoffice billing-company set {billing_company}`",
        )
    run.document(found[0] if billing_company is not None else {"billing_companies": found})
    if not found:
        run.say("no billing company yet: backoffice billing-company set ID --name ...")
    for company in found:
        run.facts(company)
        run.say()
