"""`backoffice billing-company set|show` and `catalog set|list`: who issues invoices, and what is sold besides time."""

import json
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from services.console.cli.options import Actor, AsJson, Data, Reason, read_date, read_json
from services.console.cli.output import Column, screen_for
from services.console.cli.send_command import ask, ask_all, read_books, said_by

companies_app = typer.Typer(help="The legal entities that issue invoices.", no_args_is_help=True)
catalog_app = typer.Typer(help="Products and services.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    app.add_typer(companies_app, name="billing-company")
    app.add_typer(catalog_app, name="catalog")


def read_tax(text: str) -> tuple[str, str, date]:
    """CODE=PERCENT@FROM_DATE, e.g. VAT=21@2020-01-01."""
    code, equals, rest = text.partition("=")
    percent, at, since = rest.partition("@")
    if not (code and equals and percent and at):
        raise typer.BadParameter(
            f"{text!r} is not CODE=PERCENT@FROM_DATE, e.g. VAT=21@2020-01-01", param_hint="--tax"
        )
    return code, percent, read_date(since)


def read_series(text: str) -> dict[str, Any]:
    """PREFIX:WIDTH, e.g. INV-:6."""
    prefix, colon, width = text.rpartition(":")
    if not colon or not width.isdigit():
        raise typer.BadParameter(
            f"{text!r} is not PREFIX:WIDTH, e.g. INV-:6", param_hint="--series"
        )
    return {"series_prefix": prefix, "series_width": int(width)}


@companies_app.command("set")
def set_company(
    billing_company: Annotated[str, typer.Argument(metavar="ID")],
    name: Annotated[str | None, typer.Option(help="Legal name.", show_default=False)] = None,
    address: Annotated[
        str | None, typer.Option(help="Address as it is printed.", show_default=False)
    ] = None,
    tax_id: Annotated[str | None, typer.Option(help="Tax id.", show_default=False)] = None,
    bank: Annotated[
        str | None, typer.Option(help="Bank details as they are printed.", show_default=False)
    ] = None,
    time_zone: Annotated[
        str | None,
        typer.Option(help="e.g. America/New_York: decides what today is.", show_default=False),
    ] = None,
    currency: Annotated[
        str | None, typer.Option(help="ISO 4217, e.g. USD.", show_default=False)
    ] = None,
    series: Annotated[
        str | None,
        typer.Option(
            metavar="PREFIX:WIDTH", help="Form of its numbers, e.g. INV-:6.", show_default=False
        ),
    ] = None,
    tax: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CODE=PERCENT@FROM_DATE", help="A tax rate from a date on; may be repeated."
        ),
    ] = None,
    default_tax: Annotated[
        str | None,
        typer.Option(metavar="CODE", help="Tax code of lines that name none.", show_default=False),
    ] = None,
    tax_basis: Annotated[
        str | None,
        typer.Option(
            metavar="line|document", help="Tax per line or per document.", show_default=False
        ),
    ] = None,
    default_time_group: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Cycle of debtors without one.", show_default=False),
    ] = None,
    payment_terms: Annotated[
        str | None,
        typer.Option(
            metavar="TERMS",
            help="on-receipt, net:N, end-of-next-month or day:N.",
            show_default=False,
        ),
    ] = None,
    gate: Annotated[
        str | None,
        typer.Option(
            metavar="approved|reviewed", help="Which timesheets may be billed.", show_default=False
        ),
    ] = None,
    enabled: Annotated[
        bool | None,
        typer.Option("--enable/--disable", help="Whether it is in use.", show_default=False),
    ] = None,
    max_day_hours: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=999,
            metavar="N",
            help="Debtors with more hours a worker a day are parked (at first 24).",
            show_default=False,
        ),
    ] = None,
    actor: Actor = "",
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Make a billing company, or change what is named; the rest stays as it is."""
    taxes = [read_tax(each) for each in tax or []]
    numbers = read_series(series) if series is not None else {}
    with screen_for(as_json) as screen:
        from shared.events.commands import SetBillingCompany, TaxRateFrom

        command = SetBillingCompany(
            **said_by(actor, reason),
            billing_company=billing_company,
            name=name,
            address=address,
            tax_id=tax_id,
            bank=bank,
            time_zone=time_zone,
            currency=currency,
            taxes=tuple(
                TaxRateFrom.model_validate(
                    {"tax_code": code, "percent": percent, "from_date": since}
                )
                for code, percent, since in taxes
            ),
            default_tax=default_tax,
            tax_basis=tax_basis,  # type: ignore[arg-type]  # the model checks the word and says which there are
            default_time_group=default_time_group,
            payment_terms=payment_terms,
            gate=gate,  # type: ignore[arg-type]
            enabled=enabled,
            max_day_hours=max_day_hours,
            **numbers,
        )
        ask(screen, data, command, show=lambda result: screen.facts(result.details))


@companies_app.command("show")
def show_company(
    billing_company: Annotated[
        str | None, typer.Argument(metavar="[ID]", show_default=False)
    ] = None,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Show one billing company, or all."""
    with screen_for(as_json) as screen:
        from services.console.client.companies import companies

        cards = read_books(data, lambda connection: companies(connection, billing_company))
        if billing_company is not None and not cards:
            screen.refuse(
                "unknown_billing_company",
                f"{billing_company} is not known",
                f"make it with `backoffice billing-company set {billing_company}`",
            )
        screen.document(cards[0] if billing_company is not None else {"billing_companies": cards})
        if not cards:
            screen.say(
                "no billing company yet: make one with `backoffice billing-company set ID --name ...`"
            )
        for card in cards:
            screen.facts(card)
            screen.say()


@catalog_app.command("set")
def set_catalog(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.json", exists=True, dir_okay=False, help="One item, or a list of items."
        ),
    ],
    actor: Actor = "",
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Make or change catalog items from a JSON file (fields as in the command set-catalog-item)."""
    with screen_for(as_json) as screen:
        from shared.events.commands import SetCatalogItem

        read = read_json(file)
        items = read if isinstance(read, list) else [read]
        commands = [
            SetCatalogItem.model_validate_json(
                json.dumps(
                    (item if isinstance(item, dict) else {})
                    | said_by(actor, reason)
                    | {"command": "set-catalog-item"}
                )
            )
            for item in items
        ]
        ask_all(screen, data, commands)


@catalog_app.command("list")
def list_catalog(as_json: AsJson = False, data: Data = None) -> None:
    """List products and services."""
    with screen_for(as_json) as screen:
        from services.console.client.companies import catalog

        items = read_books(data, catalog)
        screen.document({"catalog": items})
        columns = [
            Column("item_id", "item"),
            Column("name"),
            Column("item_class", "class"),
            Column("amount", figures=True),
            Column("currency"),
        ]
        columns += [
            Column("percent_of_salary", "% of salary", figures=True),
            Column("tax_code", "tax"),
            Column("version", figures=True),
        ]
        screen.table(
            items, columns, empty="the catalog is empty: `backoffice catalog set FILE.json`"
        )
