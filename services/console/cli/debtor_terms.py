"""`backoffice debtor-terms set|import|show`: the terms of a debtor that differ from the
company's, from a date on.
"""

from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from services.console.cli.command import Run, command
from services.console.cli.command_lines import send_lines
from services.console.cli.options import (
    LONG_SECONDS,
    Check,
    Company,
    file_argument,
    option,
    parsed,
    read_date,
    read_text,
)
from services.console.columns.debtors import VERSIONS, since, table_row

app = typer.Typer(
    help="Terms of a debtor that differ from the billing company's.", no_args_is_help=True
)
Discounts = Annotated[
    list[str] | None,
    option(
        "Discount before tax in percent, on all lines or on :timesheets or :products; may be given"
        " again.",
        metavar="NAME=PERCENT",
    ),
]
Surcharges = Annotated[
    list[str] | None,
    option(
        "Surcharge before tax: percent with a % sign, or an amount once a batch; as a discount.",
        metavar="NAME=PERCENT%|AMOUNT",
    ),
]
RemovedAllowances = Annotated[
    list[str] | None, option("End a discount or surcharge; may be given again.", metavar="NAME")
]
FromDate = Annotated[
    date | None,
    parsed(
        read_date,
        "First day (default: of the first terms always, of later ones today).",
        "--from",
        metavar="DATE",
    ),
]
MissingTimesheets = Annotated[
    str | None,
    option("What to do while expected timesheets are missing.", metavar="wait|bill|wait:N"),
]
CreditsWay = Annotated[
    str | None,
    option("How to issue credits.", "--credits", metavar="separate|net|per-invoice"),
]
Contact = Annotated[
    str | None, option("For whom documents are, in place of the ATS's.", metavar="NAME")
]
TimesheetDetail = Annotated[
    str | None,
    option(
        "Where documents show days, hours and approvers: nowhere, on the PDF's last pages, or in a"
        " PDF beside it.",
        metavar="none|appendix|file",
    ),
]
Emails = Annotated[
    list[str] | None,
    option(
        'Address that gets documents by e-mail; may be repeated; "" for none.',
        "--email",
        metavar="A",
    ),
]
Attachments = Annotated[
    list[str] | None,
    option("What an e-mail carries; may be repeated.", "--attach", metavar="pdf|ubl|timesheets"),
]
MailSubject = Annotated[
    str | None,
    option(
        "Subject of its e-mails; empty for the billing company's.",
        "--mail-subject",
        metavar="TEMPLATE",
    ),
]
MailTextFile = Annotated[
    Path | None,
    option(
        "File with the text of its e-mails; empty for the billing company's.",
        "--mail-text-file",
        metavar="FILE",
        exists=True,
        dir_okay=False,
    ),
]


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(app, name="debtor-terms")


def read_yes(text: str) -> bool:
    """yes or no."""
    if text.lower() not in ("yes", "no"):
        raise typer.BadParameter(f"{text!r} is not yes or no")
    return text.lower() == "yes"


@command(app, "set", sends=True)
def set_terms(
    run: Run,
    billing_company: Company,
    account_name: Annotated[str, option("The debtor's Account Name.", metavar="NAME")],
    time_group: Annotated[
        str | None, option('Billing cycle; "" for the company\'s default.', metavar="NAME")
    ] = None,
    from_date: FromDate = None,
    payment_terms: Annotated[
        str | None, option("on-receipt, net:N, end-of-next-month or day:N.", metavar="TERMS")
    ] = None,
    missing_timesheets: MissingTimesheets = None,
    credits_way: CreditsWay = None,
    zero_documents: Annotated[
        str | None, option("Whether to issue documents of zero.", metavar="yes|no")
    ] = None,
    tax_id: Annotated[
        str | None, option("Tax id on documents, in place of the ATS's.", metavar="T")
    ] = None,
    address: Annotated[
        str | None, option("Address on documents, in place of the ATS's.", metavar="A")
    ] = None,
    email: Emails = None,
    attach: Attachments = None,
    mail_subject: MailSubject = None,
    mail_text_file: MailTextFile = None,
    contact: Contact = None,
    reference: Annotated[
        str | None, option("The debtor's reference, in place of the ATS's.", metavar="TEXT")
    ] = None,
    timesheet_detail: TimesheetDetail = None,
    exempt: Annotated[
        str | None, option("Exempt from tax, with this wording.", metavar="TEXT")
    ] = None,
    reverse_charge: Annotated[
        str | None, option("Reverse charge, with this wording.", metavar="TEXT")
    ] = None,
    taxed: Annotated[bool, typer.Option("--taxed", help="Taxed as usual again.")] = False,
    discount: Discounts = None,
    surcharge: Surcharges = None,
    remove_allowance: RemovedAllowances = None,
) -> None:
    """Change the terms that are named, from a day on; the other terms stay as they are."""
    run.send(
        "set-debtor-terms",
        show=lambda details: run.facts(details | {"from_date": since(details["from_date"])}),
        billing_company=billing_company,
        account_name=account_name,
        from_date=from_date,
        time_group=time_group,
        payment_terms=payment_terms,
        missing_timesheets=missing_timesheets,
        credits=credits_way,
        zero_documents=None if zero_documents is None else read_yes(zero_documents),
        tax_id=tax_id,
        address=address,
        emails=None if email is None else [one for one in email if one],
        attach=attach,
        mail_subject=mail_subject,
        mail_text=read_text(mail_text_file, "--mail-text-file"),
        contact=contact,
        reference=reference,
        timesheet_detail=timesheet_detail,
        allowances=[*_allowances("discount", discount), *_allowances("surcharge", surcharge)],
        remove_allowances=remove_allowance or [],
        **_tax(exempt, reverse_charge, taxed),
    )


def _allowances(kind: str, texts: list[str] | None) -> list[dict[str, Any]]:
    """The discounts or surcharges that options name."""
    from services.console.importing.allowances import read_allowance

    try:
        return [read_allowance(kind, text) for text in texts or ()]
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _tax(exempt: str | None, reverse_charge: str | None, taxed: bool) -> dict[str, Any]:
    """The tax regime with its wording, if one is named."""
    if (exempt is not None) + (reverse_charge is not None) + taxed > 1:
        raise typer.BadParameter("give one of --exempt, --reverse-charge and --taxed")
    if exempt is not None:
        return {"tax_regime": "exempt", "tax_wording": exempt}
    if reverse_charge is not None:
        return {"tax_regime": "reverse-charge", "tax_wording": reverse_charge}
    return {"tax_regime": "standard", "tax_wording": ""} if taxed else {}


@command(app, "import", sends=True, timeout=LONG_SECONDS)
def import_terms(
    run: Run,
    file: Annotated[
        Path,
        file_argument(
            "Column account_name, and a column for each term to set; an empty cell changes"
            " nothing.",
            "FILE.csv",
        ),
    ],
    billing_company: Company,
    check: Check = False,
) -> None:
    """Set the terms of many debtors from a CSV file. If a line is wrong, nothing is sent."""
    from services.console.importing.terms import read_terms

    send_lines(run, file, *read_terms(file, run.new_command, billing_company), check=check)


@command(app, "show")
def show_terms(
    run: Run,
    billing_company: Company,
    account_name: Annotated[
        str | None, typer.Argument(metavar="[ACCOUNT_NAME]", show_default=False)
    ] = None,
) -> None:
    """Show the terms of a debtor, or of all debtors that have some, version by version."""
    from services.console.queries.debtors import debtor_terms

    versions = run.read(debtor_terms, billing_company, account_name)
    run.document({"billing_company": billing_company, "terms": versions})
    run.table(
        [table_row(version) for version in versions],
        VERSIONS,
        empty=f"{account_name or 'every debtor'} has the defaults of {billing_company}",
    )
