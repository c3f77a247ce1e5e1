"""`backoffice disputes`: what debtors do not accept of lines of invoices."""

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.console.cli.command import Run, command
from services.console.cli.options import (
    AccountName,
    AnyCompany,
    Limit,
    must_be_one_of,
    option,
    parsed,
    read_decimal,
)
from services.console.columns.disputes import DISPUTES, ENTRIES, STATES

if TYPE_CHECKING:
    from services.console.queries.snapshot import ReadConnection

app = typer.Typer(help="What debtors do not accept of lines of invoices.", no_args_is_help=True)
USES = ("write-off", "rebill")
HEAD = (
    "dispute",
    "invoice_number",
    "line_no",
    "account_name",
    "amount",
    "disputed",
    "currency",
    "state",
    "opened_on",
    "actor",
    "reason",
    "billing_company",
)
DisputeId = Annotated[str, typer.Argument(metavar="ID", help="As `disputes list` shows it.")]


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(app, name="disputes")


@command(app, "open", sends=True)
def open_dispute(
    run: Run,
    invoice: Annotated[str, typer.Argument(metavar="INVOICE", help="The invoice.")],
    line: Annotated[int, option("The line of it.", min=1, metavar="N")],
    amount: Annotated[
        Decimal, parsed(read_decimal, "How much of it is disputed, with tax.", metavar="A")
    ],
    billing_company: Annotated[
        str | None, option("Needed where two billing companies have the number.", metavar="ID")
    ] = None,
) -> None:
    """Dispute a part of what is left to pay of a line; the rest stays due. It needs a reason."""
    from services.console.queries.invoices import invoice as read_invoice

    if not run.reason.strip():
        raise typer.BadParameter("a dispute needs a reason", param_hint="--reason")
    company = run.read(read_invoice, invoice, billing_company)["billing_company"]
    run.send(
        "open-dispute",
        billing_company=company,
        invoice_number=invoice,
        line_no=line,
        amount=amount,
    )


@command(app, sends=True)
def resolve(
    run: Run,
    dispute: DisputeId,
    uphold: Annotated[
        bool, typer.Option("--uphold", help="The line stands: what is disputed is due again.")
    ] = False,
    credit: Annotated[
        bool, typer.Option("--credit", help="Credit what is disputed by a credit note.")
    ] = False,
    quantity: Annotated[
        Decimal | None,
        parsed(read_decimal, "Credit only so much of the line; the rest is upheld.", metavar="Q"),
    ] = None,
    to: Annotated[
        str | None,
        option("Forgive what is credited (default), or bill it again.", metavar="|".join(USES)),
    ] = None,
) -> None:
    """End a dispute, by upholding the line or by a credit. It needs a reason."""
    if uphold == credit:
        raise typer.BadParameter("give either --uphold or --credit", param_hint="--uphold")
    if uphold and (quantity is not None or to is not None):
        raise typer.BadParameter("--quantity and --to belong to --credit", param_hint="--credit")
    must_be_one_of(USES, to, "--to")
    if not run.reason.strip():
        raise typer.BadParameter("the end of a dispute needs a reason", param_hint="--reason")
    from services.console.queries.disputes import dispute as read_dispute

    found = run.read(read_dispute, dispute)
    run.send(
        "resolve-dispute",
        billing_company=found["billing_company"],
        dispute=found["dispute"],
        resolution="uphold" if uphold else "credit",
        quantity=quantity,
        to=to or USES[0],
    )


@command(app, "list")
def list_disputes(
    run: Run,
    billing_company: AnyCompany = None,
    account_name: AccountName = None,
    state: Annotated[
        str | None, option(f"{', '.join(STATES)}.", "--state", metavar="STATE")
    ] = None,
    limit: Limit = 100,
) -> None:
    """List disputes with what is still disputed of each, the newest first."""
    from services.console.queries.disputes import disputes

    must_be_one_of(STATES, state, "--state")
    found = run.read(disputes, billing_company, account_name, state, limit=limit)
    run.page("disputes", *found, DISPUTES, "no dispute: backoffice disputes open --help")


@command(app)
def show(run: Run, dispute: DisputeId) -> None:
    """Show a dispute: what was upheld, credited and paid of it, and its history."""
    from services.console.queries.disputes import dispute as read_dispute
    from services.console.queries.history import history

    async def read(connection: "ReadConnection") -> dict[str, Any]:
        found = await read_dispute(connection, dispute)
        return found | {"history": await history(connection, found["dispute"])}

    found = run.read(read)
    run.document(found)
    run.facts({name: found[name] for name in HEAD})
    run.table(found["entries"], ENTRIES, title="entries")
