"""`backoffice payments`: money received by hand or from a remittance file, applied to documents."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.console.cli.command import Run, command
from services.console.cli.command_lines import send_lines
from services.console.cli.options import (
    AnyCompany,
    Limit,
    file_argument,
    option,
    parsed,
    read_date,
    read_decimal,
)
from services.console.cli.output import Column, Screen
from services.console.cli.time_groups import refuse_wrong_lines

if TYPE_CHECKING:
    from services.console.queries.snapshot import ReadConnection

app = typer.Typer(help="Money received, and the documents that it pays.", no_args_is_help=True)
PAYMENTS = [
    Column("check_id", "check"),
    Column("account_name", "payer", most=40),
    Column("received_on", "received"),
    Column("bank", most=24),
    Column("amount", figures=True),
    Column("applied", figures=True),
    Column("unapplied", figures=True),
    Column("currency", ""),
    Column("state"),
    Column("billing_company"),
]
ENTRIES = [
    Column("invoice_number", "document"),
    Column("paid_on", "paid on"),
    Column("amount", figures=True),
    Column("currency", ""),
]
LINES = [
    Column("invoice_number", "document"),
    Column("line_no", "line", ids=True),
    Column("amount", figures=True),
    Column("currency", ""),
]
RETURNS = [
    Column("kind", "what"),
    Column("returned_on", "on"),
    Column("amount", figures=True),
    Column("currency", ""),
    Column("actor"),
    Column("reason", most=40),
]
APPLIED = [
    Column("check_id", "check"),
    Column("invoice_number", "document"),
    Column("amount", figures=True),
    Column("balance", "left", figures=True),
]
HEAD = (
    "check_id",
    "account_name",
    "received_on",
    "bank",
    "amount",
    "currency",
    "applied",
    "refunded",
    "unapplied",
    "state",
    "billing_company",
    "actor",
    "reason",
)
CheckId = Annotated[str, typer.Argument(metavar="CHECK", help="The check identifier.")]
Payer = Annotated[
    str | None,
    option("Needed where several payers have the check.", "--payer", metavar="ACCOUNT_NAME"),
]
OfPayer = Annotated[str, option("The debtor that pays.", "--payer", metavar="ACCOUNT_NAME")]
ReceivedOn = Annotated[
    date | None,
    parsed(read_date, "Needed where the payer gave it twice.", "--received-on", metavar="DATE"),
]
SomeAmount = Annotated[
    Decimal | None,
    parsed(read_decimal, "How much (default: as much as both have left).", metavar="A"),
]
PaidCompany = Annotated[
    str | None,
    option("Needed where it does not follow from payer or check.", metavar="ID"),
]
AlthoughLedger = Annotated[
    bool,
    typer.Option(
        "--although-ledger",
        help="A ledger is connected, and this payment is never entered there.",
    ),
]


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(app, name="payments")


@command(app, sends=True)
def record(
    run: Run,
    check: Annotated[str, option("Its identifier, as the bank shows it.", metavar="ID")],
    payer: OfPayer,
    received_on: Annotated[
        date, parsed(read_date, "Date of deposit.", "--received-on", metavar="DATE")
    ],
    amount: Annotated[Decimal, parsed(read_decimal, "How much.", metavar="A")],
    currency: Annotated[str, option("Its currency.", metavar="CUR")],
    bank: Annotated[str, option("The bank to which it came.", metavar="B")] = "",
    billing_company: PaidCompany = None,
    although_ledger: AlthoughLedger = False,
) -> None:
    """Record money received; the same payment once more changes nothing."""
    from services.console.queries.payments import company_of_payer

    fields: dict[str, Any] = {
        "check_id": check,
        "account_name": payer,
        "received_on": received_on,
        "amount": amount,
        "currency": currency,
        "bank": bank,
        "although_ledger": although_ledger,
    }
    run.new_command("record-payment", billing_company="unknown", **fields)
    company = run.read(company_of_payer, payer, billing_company)
    run.send("record-payment", billing_company=company, **fields)


@command(app, "import", sends=True)
def import_payments(
    run: Run,
    file: Annotated[
        Path, file_argument("Columns as in `backoffice template payments`.", "FILE.csv")
    ],
    billing_company: PaidCompany = None,
    check_only: Annotated[
        bool, typer.Option("--check-only", help="Check the file and send nothing.")
    ] = False,
    although_ledger: AlthoughLedger = False,
) -> None:
    """Record the payments of a remittance file and apply them. If a line is wrong, nothing is
    sent.
    """
    from services.console.importing.payments import (
        check_payments,
        payment_commands,
        read_payments,
    )
    from services.console.queries.payments import remittance_facts

    payments, problems = read_payments(file)
    refuse_wrong_lines(run, file, problems)
    facts = run.read(
        remittance_facts,
        {each.account_name for each in payments},
        {document["invoice_number"] for each in payments for _, document in each.documents},
        {each.check_id for each in payments},
    )
    companies = check_payments(file.name, payments, facts, billing_company, problems)
    refuse_wrong_lines(run, file, problems)
    lines = payment_commands(
        file.name,
        payments,
        companies,
        run.new_command,
        problems,
        although_ledger=although_ledger,
    )
    send_lines(run, file, lines, problems, check=check_only, what="payments")


@command(app, sends=True)
def apply(
    run: Run,
    check: CheckId,
    invoice: Annotated[list[str], option("The document; may be repeated, in order.", metavar="N")],
    line: Annotated[
        list[int] | None,
        option("Only this line of it; may be repeated.", min=1, metavar="N"),
    ] = None,
    amount: SomeAmount = None,
    payer: Payer = None,
    received_on: ReceivedOn = None,
    billing_company: PaidCompany = None,
    although_ledger: AlthoughLedger = False,
) -> None:
    """Apply what is unapplied of a payment to documents, in their order."""
    if len(invoice) > 1 and (line or amount is not None):
        raise typer.BadParameter(
            "--line and --amount are of one document: name one", param_hint="--invoice"
        )
    targets = [
        {"invoice_number": each, "line_nos": line or [], "amount": amount} for each in invoice
    ]
    _send_about(
        run,
        "apply-payment",
        check,
        billing_company,
        account_name=payer,
        received_on=received_on,
        apply_to=targets,
        although_ledger=although_ledger,
    )


@command(app, sends=True)
def unapply(
    run: Run,
    check: CheckId,
    invoice: Annotated[str, option("The document.", metavar="N")],
    payer: Payer = None,
    received_on: ReceivedOn = None,
    billing_company: PaidCompany = None,
    although_ledger: AlthoughLedger = False,
) -> None:
    """Take all that a payment pays of a document off it: it is an unapplied credit again."""
    _send_about(
        run,
        "unapply-payment",
        check,
        billing_company,
        account_name=payer,
        received_on=received_on,
        invoice_number=invoice,
        although_ledger=although_ledger,
    )


@command(app, sends=True)
def reverse(
    run: Run,
    check: CheckId,
    payer: Payer = None,
    received_on: ReceivedOn = None,
    billing_company: PaidCompany = None,
    although_ledger: AlthoughLedger = False,
) -> None:
    """Take a payment back whole, as when a check bounced: its documents are open again."""
    _send_about(
        run,
        "reverse-payment",
        check,
        billing_company,
        account_name=payer,
        received_on=received_on,
        although_ledger=although_ledger,
    )


@command(app, "apply-credit", sends=True)
def apply_credit(
    run: Run,
    payer: OfPayer,
    invoice: Annotated[str, option("The document.", metavar="N")],
    amount: SomeAmount = None,
    billing_company: PaidCompany = None,
    although_ledger: AlthoughLedger = False,
) -> None:
    """Apply unapplied money of a payer to a document, the oldest deposit first."""
    _send_of(
        run,
        "apply-credit",
        payer,
        billing_company,
        apply_to={"invoice_number": invoice, "amount": amount},
        although_ledger=although_ledger,
    )


@command(app, sends=True)
def refund(
    run: Run,
    payer: OfPayer,
    amount: Annotated[Decimal, parsed(read_decimal, "How much.", metavar="A")],
    currency: Annotated[
        str | None, option("Needed where money in several is unapplied.", metavar="CUR")
    ] = None,
    billing_company: PaidCompany = None,
    although_ledger: AlthoughLedger = False,
) -> None:
    """Record that unapplied money was paid back, the oldest deposit first."""
    _send_of(
        run,
        "record-refund",
        payer,
        billing_company,
        amount=amount,
        currency=currency,
        although_ledger=although_ledger,
    )


@command(app, "list")
def list_payments(
    run: Run,
    billing_company: AnyCompany = None,
    payer: Annotated[
        str | None, option("Only of this debtor.", "--payer", metavar="ACCOUNT_NAME")
    ] = None,
    unapplied: Annotated[
        bool, typer.Option("--unapplied", help="Only those with unapplied money.")
    ] = False,
    limit: Limit = 100,
) -> None:
    """List payments with what is applied and unapplied of each, the newest deposit first."""
    from services.console.queries.payments import payments

    found = run.read(payments, billing_company, payer, unapplied, limit)
    run.page("payments", *found, PAYMENTS, "no payment: backoffice payments record --help")


@command(app)
def show(
    run: Run,
    check: CheckId,
    payer: Payer = None,
    billing_company: AnyCompany = None,
    limit: Limit = 200,
) -> None:
    """Show the payments with a check: entries, the lines that they pay, refunds and reversals."""
    from services.console.queries.history import history
    from services.console.queries.payments import payments_with

    async def read(connection: "ReadConnection") -> dict[str, Any]:
        found = await payments_with(connection, check, billing_company, payer, limit)
        return {"payments": found, "history": await history(connection, f"check {check}")}

    found = run.read(read)
    run.document(found)
    for each in found["payments"]:
        run.facts({name: each[name] for name in HEAD})
        run.table(each["entries"], ENTRIES, title="entries")
        run.table(each["lines"], LINES, title="lines that it pays")
        run.table(each["returns"], RETURNS, title="refunds and reversals")


def _send_about(
    run: Run, name: str, check: str, billing_company: str | None, **fields: Any
) -> None:
    """Sends a command about one payment to the billing company that has it."""
    from services.console.queries.payments import company_of_check

    run.new_command(name, billing_company="unknown", check_id=check, **fields)
    company = run.read(company_of_check, check, billing_company)
    run.send(
        name,
        show=lambda details: _show(run, details),
        billing_company=company,
        check_id=check,
        **fields,
    )


def _send_of(run: Run, name: str, payer: str, billing_company: str | None, **fields: Any) -> None:
    """Sends a command about the unapplied money of a payer."""
    from services.console.queries.payments import company_of_payer

    run.new_command(name, billing_company="unknown", account_name=payer, **fields)
    company = run.read(company_of_payer, payer, billing_company)
    run.send(
        name,
        show=lambda details: _show(run, details),
        billing_company=company,
        account_name=payer,
        **fields,
    )


def _show(screen: Screen, details: dict[str, Any]) -> None:
    """What was applied or taken off, and what is left of each document."""
    screen.table(details["applied"], APPLIED)
