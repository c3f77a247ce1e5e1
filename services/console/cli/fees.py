"""`backoffice fees set|tiers set|list|volume|opening-volume`: MSP fees of invoice options."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

import typer

from services.console.cli.command import Run, command
from services.console.cli.options import AnyCompany, Company, option, parsed, read_date
from services.console.cli.output import Column
from shared.money import plain

app = typer.Typer(help="MSP fees of invoice options, by volume if set.", no_args_is_help=True)
tiers_app = typer.Typer(help="Percentages of a fee by the volume before it.", no_args_is_help=True)
app.add_typer(tiers_app, name="tiers")
FEES = [
    Column("option_name", "option"),
    Column("billing_company"),
    Column("funded_by", "funded by"),
    Column("charged_as", "as"),
    Column("percent", "percent", figures=True),
    Column("of", "of"),
    Column("tax_code", "tax code"),
    Column("from_date", "from"),
    Column("to_date", "to"),
]
TIERS = [
    Column("option_name", "option"),
    Column("billing_company"),
    Column("funded_by", "funded by"),
    Column("currency", "currency"),
    Column("volume_of", "volume of"),
    Column("steps", "tiers", most=80),
    Column("from_date", "from"),
    Column("to_date", "to"),
]
VOLUMES = [
    Column("option_name", "option"),
    Column("days_364", "364 days", figures=True),
    Column("days_91", "91 days", figures=True),
    Column("year_to_date", "year to date", figures=True),
    Column("currency"),
]
OptionName = Annotated[str, option("The invoice option.", "--option", metavar="NAME")]
FundedBy = Annotated[
    Literal["client", "supplier"],
    typer.Option("--funded-by", help="Who pays it; supplier is not available yet."),
]
Currency = Annotated[str, option("The currency; volume is never converted.", metavar="CUR")]
From = Annotated[
    date | None,
    parsed(
        read_date,
        "For lines with an effective date from here on (default: all, later versions from today).",
        "--from",
        metavar="DATE",
    ),
]


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(app, name="fees")


@command(app, "set", sends=True)
def set_fee(
    run: Run,
    option_name: OptionName,
    billing_company: Company,
    charged_as: Annotated[
        Literal["markup", "discount"],
        typer.Option("--as", help="A line of the document, or a discount of it."),
    ],
    percent: Annotated[str, option("At most 2 decimals; 0 ends the fee.", metavar="P")],
    funded_by: FundedBy = "client",
    tax_code: Annotated[
        str,
        option("Of a markup (default: that of the billing company).", "--tax-code", metavar="CODE"),
    ] = "",
    base: Annotated[
        list[str] | None,
        option(
            "Of timesheets and also of this: products or expenses. May be repeated.",
            metavar="KIND",
        ),
    ] = None,
    from_date: From = None,
) -> None:
    """Set the MSP fee of an invoice option, whole: what is not given is not kept."""
    run.send(
        "set-fee",
        option=option_name,
        billing_company=billing_company,
        funded_by=funded_by,
        charged_as=charged_as,
        percent=percent,
        tax_code=tax_code,
        base_adds=base or [],
        from_date=from_date,
    )


def _tier(text: str) -> dict[str, str]:
    """A tier such as 100000=2, or wrong use."""
    volume, equals, percent = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"{text!r} is not VOLUME=PERCENT such as 100000=2")
    return {"volume": volume, "percent": percent}


@command(tiers_app, "set", sends=True)
def set_tiers(
    run: Run,
    option_name: OptionName,
    billing_company: Company,
    currency: Currency,
    tier: Annotated[
        list[str] | None,
        option(
            "From this volume on this percentage: 0=3, then 100000=2. None: no tiers any more.",
            metavar="VOLUME=PERCENT",
        ),
    ] = None,
    volume_of: Annotated[
        Literal["364-days", "91-days", "year-to-date"],
        typer.Option("--volume-of", help="The days before the invoice date that count."),
    ] = "364-days",
    funded_by: FundedBy = "client",
    from_date: From = None,
) -> None:
    """Set the tiers of a fee in one currency, whole. The volume before a document decides."""
    run.send(
        "set-fee-tiers",
        option=option_name,
        billing_company=billing_company,
        funded_by=funded_by,
        currency=currency,
        volume_of=volume_of,
        tiers=[_tier(each) for each in tier or []],
        from_date=from_date,
    )


@command(app, "opening-volume", sends=True)
def opening_volume(
    run: Run,
    option_name: OptionName,
    billing_company: Company,
    currency: Currency,
    amount: Annotated[str, option("Net before fees, of that day.", metavar="A")],
    on_date: Annotated[
        date,
        parsed(read_date, "The day that it counts from.", "--on", metavar="DATE"),
    ],
) -> None:
    """Load volume that another system billed; it replaces what was loaded for that day."""
    run.send(
        "set-opening-volume",
        option=option_name,
        billing_company=billing_company,
        currency=currency,
        amount=amount,
        on_date=on_date,
    )


@command(app, "list")
def list_fees(run: Run, billing_company: AnyCompany = None) -> None:
    """List the fees and their tiers, version by version."""
    from services.console.queries.fees import fee_tiers, fees

    found, tiers = run.read(fees, billing_company), run.read(fee_tiers, billing_company)
    run.document({"fees": found, "tiers": tiers})
    run.table(
        [row | {"percent": plain(row["percent"]), "of": ", ".join(row["base"])} for row in found],
        FEES,
        empty="no option has a fee: `backoffice fees set --help`",
    )
    run.table([row | {"steps": _steps(row["tiers"])} for row in tiers], TIERS, title="tiers")


def _steps(tiers: list[dict[str, Any]]) -> str:
    """The tiers in words: 3 % from 0, 2 % from 100,000."""
    words = [f"{each['percent']} % from {Decimal(each['volume']):,f}" for each in tiers]
    return ", ".join(words) or "none"


@command(app)
def volume(
    run: Run,
    billing_company: Company,
    option_name: Annotated[
        str | None, option("Only this invoice option.", "--option", metavar="NAME")
    ] = None,
    on_date: Annotated[
        date | None,
        parsed(read_date, "Up to this day (default: today).", "--on", metavar="DATE"),
    ] = None,
) -> None:
    """Show the volume of each option and currency: net before fees, credits taken off."""
    from services.console.queries.companies import companies_today
    from services.console.queries.fees import volumes

    day = on_date or run.read(companies_today, billing_company)[billing_company]
    found = run.read(volumes, billing_company, day, option_name)
    run.document({"on": day, "volumes": found})
    run.table(found, VOLUMES, title=f"volume up to {day}", empty=f"no volume up to {day}")
