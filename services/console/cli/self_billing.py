"""`backoffice suppliers agreement|documents|number|pay`: self-billing for suppliers."""

from datetime import date
from decimal import Decimal
from typing import Annotated

import typer

from services.console.cli.command import Run, command
from services.console.cli.companies import TaxRates, read_series, read_tax
from services.console.cli.engagements import suppliers_app
from services.console.cli.options import (
    AnyCompany,
    Company,
    Limit,
    option,
    parsed,
    read_date,
    read_decimal,
)
from services.console.cli.output import Column
from shared.terms import agreement_id

app = typer.Typer(
    help="Agreements by which a billing company issues the invoices of its suppliers.",
    no_args_is_help=True,
)
AGREEMENTS = [
    Column("billing_company", "agreement"),
    Column("name", "seller", most=40),
    Column("account_name", "account name", most=30),
    Column("from_date", "from"),
    Column("reference", most=20),
    Column("series_prefix", "numbers"),
    Column("payment_terms", "terms"),
]
DOCUMENTS = [
    Column("billing_company", "agreement"),
    Column("invoice_number", "number"),
    Column("document_type", "type"),
    Column("supplier_number", "supplier's number"),
    Column("invoice_date", "date"),
    Column("due_date", "due"),
    Column("total", figures=True),
    Column("paid", figures=True),
    Column("balance", "to pay", figures=True),
    Column("currency", ""),
    Column("state"),
]
Supplier = Annotated[str, typer.Argument(metavar="SUPPLIER", help="Its id in the ATS.")]


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice suppliers`."""
    suppliers_app.add_typer(app, name="agreement")


@command(app, "set", sends=True)
def set_agreement(
    run: Run,
    supplier: Supplier,
    billing_company: Company,
    from_date: Annotated[
        date | None,
        parsed(
            read_date,
            "For documents of this date and later (default: today).",
            "--from",
            metavar="DATE",
        ),
    ] = None,
    account_name: Annotated[
        str | None, option("Its Account Name, where the ATS has none.", metavar="NAME")
    ] = None,
    name: Annotated[str | None, option("Legal name (default: as the ATS has it).")] = None,
    address: Annotated[str | None, option("Address as it is printed.")] = None,
    vat_id: Annotated[str | None, option("Its VAT or tax id.", metavar="ID")] = None,
    bank: Annotated[str | None, option("Bank details as they are printed.")] = None,
    reference: Annotated[
        str | None, option("Number of the agreement, which documents print.", metavar="TEXT")
    ] = None,
    payment_terms: Annotated[
        str | None, option("on-receipt, net:N, end-of-next-month or day:N.", metavar="TERMS")
    ] = None,
    series: Annotated[
        str | None, option("Form of the numbers (default: SB-:6).", metavar="PREFIX:WIDTH")
    ] = None,
    tax: TaxRates = None,
    default_tax: Annotated[str | None, option("Tax code of its documents.", metavar="CODE")] = None,
) -> None:
    """Set an agreement with a supplier; what is not given stays as it is.

    Its id is SUPPLIER@COMPANY: the billing company of its items, batches and documents.
    """
    run.send(
        "set-self-billing-agreement",
        show=run.facts,
        supplier_id=supplier,
        billing_company=billing_company,
        from_date=from_date,
        account_name=account_name,
        name=name,
        address=address,
        tax_id=vat_id,
        bank=bank,
        reference=reference,
        payment_terms=payment_terms,
        taxes=[read_tax(each) for each in tax or []],
        default_tax=default_tax,
        **(read_series(series) if series is not None else {}),
    )


@command(app, "list")
def list_agreements(run: Run, billing_company: AnyCompany = None) -> None:
    """List the agreements with suppliers."""
    from services.console.queries.self_billing import agreements

    found = run.read(agreements, billing_company)
    run.document({"agreements": found})
    run.table(found, AGREEMENTS, empty="no agreement: `backoffice suppliers agreement set --help`")


@command(suppliers_app)
def documents(
    run: Run,
    billing_company: AnyCompany = None,
    supplier: Annotated[str | None, option("Only those of this supplier.", metavar="ID")] = None,
    limit: Limit = 100,
) -> None:
    """List the documents that are issued for suppliers, with what is still to pay."""
    from services.console.queries.self_billing import self_billed

    run.page(
        "documents",
        *run.read(self_billed, billing_company, supplier, limit),
        DOCUMENTS,
        "no document: `backoffice batch generate --billing-company SUPPLIER@COMPANY`",
    )


@command(suppliers_app, sends=True)
def number(
    run: Run,
    supplier: Supplier,
    invoice: Annotated[str, typer.Argument(metavar="NUMBER", help="Number of the document.")],
    billing_company: Company,
    own_number: Annotated[str, option("The supplier's own number of it.", metavar="NUMBER")],
) -> None:
    """Record the number that a supplier gives to a document; each is used once."""
    run.send(
        "record-supplier-number",
        billing_company=agreement_id(supplier, billing_company),
        invoice_number=invoice,
        supplier_number=own_number,
    )


@command(suppliers_app, sends=True)
def pay(
    run: Run,
    supplier: Supplier,
    billing_company: Company,
    check: Annotated[str, option("Identifier of the outgoing payment.", metavar="ID")],
    paid_on: Annotated[date, parsed(read_date, "Its date.", "--paid-on", metavar="DATE")],
    amount: Annotated[Decimal, parsed(read_decimal, "How much.", metavar="A")],
    currency: Annotated[str, option("Its currency.", metavar="CUR")],
    bank: Annotated[str, option("The bank from which it went.", metavar="B")] = "",
    invoice: Annotated[
        list[str] | None,
        option("A document that it pays; may be repeated.", "--invoice", metavar="NUMBER"),
    ] = None,
) -> None:
    """Record an outgoing payment to a supplier, and apply it to documents in their order."""
    from services.console.queries.self_billing import account_of

    run.send(
        "record-payment",
        billing_company=agreement_id(supplier, billing_company),
        account_name=run.read(account_of, supplier, billing_company),
        check_id=check,
        received_on=paid_on,
        amount=amount,
        currency=currency,
        bank=bank,
        apply_to=[{"invoice_number": each} for each in invoice or []],
    )
