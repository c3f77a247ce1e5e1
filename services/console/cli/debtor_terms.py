"""`backoffice debtor-terms set|import|show`: what differs for a debtor from the billing company's defaults, from a date on."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.console.cli.options import (
    LONG_SECONDS,
    Actor,
    AsJson,
    Company,
    Data,
    Reason,
    Timeout,
    read_date,
)
from services.console.cli.output import Column, Screen, screen_for
from services.console.cli.send_command import ask, read_books, said_by, send
from services.console.cli.time_groups import refuse_wrong_lines

if TYPE_CHECKING:
    from shared.events.billing import CommandResult

app = typer.Typer(help="What differs for a debtor.", no_args_is_help=True)
VERSIONS = [
    Column("account_name", most=40),
    Column("from_date", "from"),
    Column("to_date", "to"),
    Column("time_group", "time group"),
    Column("missing_timesheets", "missing timesheets"),
    Column("payment_terms", "terms"),
    Column("credits"),
    Column("zero_documents", "zero documents"),
    Column("tax_regime", "tax"),
    Column("tax_wording", "wording"),
    Column("tax_id"),
    Column("address"),
]
DIFFERENT = {
    "zero_documents": (False,),
    "tax_regime": ("standard",),
    "missing_timesheets": ("bill",),
    "credits": ("separate",),
}
"""What need not be shown, because it is so for everybody."""


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(app, name="debtor-terms")


def read_yes(text: str) -> bool:
    """yes or no."""
    if text.lower() not in ("yes", "no"):
        raise typer.BadParameter(f"{text!r} is not yes or no")
    return text.lower() == "yes"


@app.command("set")
def set_terms(
    billing_company: Company,
    account_name: Annotated[
        str, typer.Option(metavar="NAME", help="The debtor's Account Name.", show_default=False)
    ],
    time_group: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help='Its billing cycle; "" for the company\'s default.',
            show_default=False,
        ),
    ] = None,
    from_date: Annotated[
        date | None,
        typer.Option(
            "--from",
            parser=read_date,
            metavar="DATE",
            help="Holds from this day (default: the first always, later ones from today).",
            show_default=False,
        ),
    ] = None,
    payment_terms: Annotated[
        str | None,
        typer.Option(
            metavar="TERMS",
            help="on-receipt, net:N, end-of-next-month or day:N.",
            show_default=False,
        ),
    ] = None,
    missing_timesheets: Annotated[
        str | None,
        typer.Option(
            metavar="wait|bill|wait:N",
            help="If expected timesheets are not in.",
            show_default=False,
        ),
    ] = None,
    credits_way: Annotated[
        str | None,
        typer.Option(
            "--credits",
            metavar="separate|net|per-invoice",
            help="How credits reach the debtor.",
            show_default=False,
        ),
    ] = None,
    zero_documents: Annotated[
        str | None,
        typer.Option(
            metavar="yes|no", help="Whether documents of zero are made.", show_default=False
        ),
    ] = None,
    tax_id: Annotated[
        str | None,
        typer.Option(
            metavar="T", help="Tax id on documents, in place of the ATS's.", show_default=False
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="A", help="Address on documents, in place of the ATS's.", show_default=False
        ),
    ] = None,
    exempt: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="Exempt from tax, with this wording.", show_default=False
        ),
    ] = None,
    reverse_charge: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Reverse charge, with this wording.", show_default=False),
    ] = None,
    taxed: Annotated[bool, typer.Option("--taxed", help="Taxed as usual again.")] = False,
    actor: Actor = "",
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Change what is named, from a day on; the rest stays as it is."""
    tax = _tax(exempt, reverse_charge, taxed)
    zero = None if zero_documents is None else read_yes(zero_documents)
    with screen_for(as_json) as screen:
        from shared.events.commands import SetDebtorTerms

        command = SetDebtorTerms(
            **said_by(actor, reason),
            billing_company=billing_company,
            account_name=account_name,
            from_date=from_date,
            time_group=time_group,
            payment_terms=payment_terms,
            missing_timesheets=missing_timesheets,
            credits=credits_way,  # type: ignore[arg-type]  # the model checks the word and says which there are
            zero_documents=zero,
            tax_id=tax_id,
            address=address,
            **tax,
        )
        ask(screen, data, command, show=lambda result: screen.facts(result.details))


def _tax(exempt: str | None, reverse_charge: str | None, taxed: bool) -> dict[str, Any]:
    """One of three ways to be taxed, or none said."""
    if (exempt is not None) + (reverse_charge is not None) + taxed > 1:
        raise typer.BadParameter("give one of --exempt, --reverse-charge and --taxed")
    if exempt is not None:
        return {"tax_regime": "exempt", "tax_wording": exempt}
    if reverse_charge is not None:
        return {"tax_regime": "reverse-charge", "tax_wording": reverse_charge}
    return {"tax_regime": "standard", "tax_wording": ""} if taxed else {}


@app.command("import")
def import_terms(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.csv",
            exists=True,
            dir_okay=False,
            help="Column account_name, and those of what to set; an empty cell leaves it as it is.",
        ),
    ],
    billing_company: Company,
    timeout: Timeout = LONG_SECONDS,
    actor: Actor = "",
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Set the terms of many debtors from a CSV file; what is wrong in it is said by line, and then nothing is sent."""
    with screen_for(as_json) as screen:
        from services.console.client.kafka_client import new_command_id
        from services.console.importing.terms import read_terms

        commands, problems = read_terms(
            file, said_by(actor, reason), billing_company, new_command_id
        )
        refuse_wrong_lines(screen, file, problems)
        results = send(screen, data, [command for _, command in commands], timeout)
        _show_imported(screen, file, [line for line, _ in commands], results)


def _show_imported(
    screen: Screen, file: Path, lines: Sequence[int], results: "Sequence[CommandResult]"
) -> None:
    refused = [
        (line, result)
        for line, result in zip(lines, results, strict=True)
        if result.outcome == "refused"
    ]
    screen.document(
        {
            "results": [
                {"line": line} | result.model_dump(mode="json")
                for line, result in zip(lines, results, strict=True)
            ]
        }
    )
    for line, result in refused:
        screen.aside(f"{file.name}, line {line}: {result.message}", "red")
    screen.say(f"{len(results) - len(refused):,} of {len(results):,} lines of {file} taken")
    if refused:
        screen.no(refused[0][1].code, f"{len(refused):,} lines were refused", refused[0][1].fix)


@app.command("show")
def show_terms(
    billing_company: Company,
    account_name: Annotated[
        str | None, typer.Argument(metavar="[ACCOUNT_NAME]", show_default=False)
    ] = None,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Show the terms of a debtor, or of all that have some, version by version."""
    with screen_for(as_json) as screen:
        from services.console.client.debtors import debtor_terms

        versions = read_books(
            data, lambda connection: debtor_terms(connection, billing_company, account_name)
        )
        screen.document({"billing_company": billing_company, "terms": versions})
        shown = [
            {
                name: None
                if value in DIFFERENT.get(name, ("",))
                else "yes"
                if value is True
                else value
                for name, value in version.items()
            }
            for version in versions
        ]
        empty = f"nothing differs for {account_name or 'any debtor'} of {billing_company}: the billing company's defaults hold"
        screen.table(shown, VERSIONS, empty=empty)
