"""`backoffice drafts ...`: documents before they are numbered and closed."""

from datetime import date
from typing import Annotated, Any, Literal

import typer

from services.console.cli.command import Run, command
from services.console.cli.options import (
    LONG_SECONDS,
    AnyCompany,
    Company,
    CutOff,
    Limit,
    option,
    read_date,
)
from services.console.cli.output import Column

app = typer.Typer(
    help="Drafts: documents before they are numbered and closed.", no_args_is_help=True
)
DraftId = Annotated[str, typer.Argument(metavar="ID", help="Id of a draft: D-000001.")]
DraftIds = Annotated[list[str], typer.Argument(metavar="ID ...", help="Ids of drafts.")]
Status = Literal[
    "pending-billing-transfer",
    "pending-approval-routing",
    "pending-finalization",
    "processed",
    "cancelled",
]
DRAFTS = [
    Column("draft", whole=True),
    Column("version", figures=True),
    Column("status", whole=True),
    Column("account_name", most=40),
    Column("document_type", "type"),
    Column("total", figures=True),
    Column("currency", ""),
    Column("line_count", "lines", figures=True),
    Column("option_name", "option"),
    Column("created_by", "by"),
    Column("invoice_number", "document"),
]
MADE = [
    Column("draft", whole=True),
    Column("status", whole=True),
    Column("account_name", most=40),
    Column("document_type", "type"),
    Column("net", figures=True),
    Column("tax", figures=True),
    Column("total", figures=True),
    Column("currency", ""),
    Column("lines", figures=True),
]
FINALIZED = [
    Column("draft", whole=True),
    Column("invoice_number", "document", whole=True),
    Column("account_name", most=40),
    Column("total", figures=True),
    Column("currency", ""),
    Column("due_date", "due"),
]
LINES = [
    Column("line_no", "line", figures=True),
    Column("pay_line_id", "pay line", figures=True),
    Column("description", most=60),
    Column("worker_id", "worker"),
    Column("week_ending", "week"),
    Column("quantity", figures=True),
    Column("unit_price", "price", figures=True),
    Column("amount", figures=True),
    Column("tax_amount", "tax", figures=True),
    Column("corrects_invoice", "corrects"),
]
HISTORY = [
    Column("at", whole=True),
    Column("action"),
    Column("version", figures=True),
    Column("status"),
    Column("actor"),
    Column("reason", most=80),
]


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(app, name="drafts")


@command(app, sends=True, timeout=LONG_SECONDS)
def create(
    run: Run,
    billing_company: Company,
    cut_off: CutOff,
    option_name: Annotated[
        list[str] | None,
        option(
            "Only the items of this invoice option. May be repeated.", "--option", metavar="NAME"
        ),
    ] = None,
) -> None:
    """Make drafts of all that is due, grouped as a batch would group it."""
    run.send(
        "create-drafts",
        show=lambda details: run.table(details["drafts"], MADE, empty=""),
        billing_company=billing_company,
        cut_off_date=cut_off,
        options=option_name or [],
    )


@command(app, "list")
def list_drafts(
    run: Run,
    billing_company: AnyCompany = None,
    status: Annotated[
        Status | None, typer.Option("--status", help="In this status (default: not ended).")
    ] = None,
    limit: Limit = 200,
) -> None:
    """List drafts, newest first."""
    from services.console.queries.drafts import drafts

    stored = status.replace("-", "_") if status else None
    found = run.read(drafts, billing_company=billing_company, status=stored, limit=limit)
    run.document({"drafts": found})
    run.table(
        [row | {"status": _words(row["status"])} for row in found],
        DRAFTS,
        empty="no draft; `backoffice drafts create --billing-company ID --cut-off DATE`",
    )


@command(app)
def show(run: Run, draft_id: DraftId) -> None:
    """Show a draft: what it is about, its lines, and what was done with it."""
    from services.console.queries.drafts import draft

    found = run.read(draft, draft_id.upper())
    run.document(found)
    run.facts(
        {
            "draft": found["draft"],
            "version": found["version"],
            "status": _words(found["status"]),
            "debtor": found["account_name"],
            "type": found["document_type"],
            "net": found["net"],
            "tax": found["tax"],
            "total": f"{found['total']} {found['currency']}",
            "invoice_option": found["option_name"],
            "workflow": found["workflow"],
            "document": found["invoice_number"],
        }
    )
    run.table(found["lines"], LINES, empty="no line")
    run.table(
        [row | {"status": _words(row["status"])} for row in found["history"]], HISTORY, empty=""
    )


@command(app, sends=True)
def combine(run: Run, draft_ids: DraftIds) -> None:
    """Move the lines of drafts to the first of them; the others end."""
    names = [name.upper() for name in draft_ids]
    _send(run, "combine-drafts", names, drafts=names)


@command(app, "remove-line", sends=True)
def remove_line(
    run: Run,
    draft_id: DraftId,
    line: Annotated[int, option("Number of the line on the draft.", "--line", min=1, metavar="N")],
) -> None:
    """Take a line off a draft: it is open again."""
    _send(run, "remove-draft-line", [draft_id], draft=draft_id.upper(), line_no=line)


@command(app, sends=True)
def cancel(run: Run, draft_id: DraftId) -> None:
    """Cancel a draft: its lines are open again."""
    _send(run, "cancel-draft", [draft_id], draft=draft_id.upper())


@command(app, sends=True)
def regenerate(run: Run, draft_id: DraftId) -> None:
    """Compute a draft again with the terms, tax rates and discounts of today."""
    _send(run, "regenerate-draft", [draft_id], draft=draft_id.upper())


@command(app, sends=True, timeout=LONG_SECONDS)
def finalize(
    run: Run,
    draft_ids: DraftIds,
    invoice_date: Annotated[
        date | None,
        typer.Option(parser=read_date, metavar="DATE", help="Date of the documents."),
    ] = None,
    send: Annotated[
        bool, typer.Option("--send", help="E-mail the documents when they are closed.")
    ] = False,
) -> None:
    """Number and close drafts as one batch.

    Each in the version that it has now, or in the one that you cite: D-000001@2.
    """
    cited = dict(_cited(name) for name in draft_ids)
    known = _known(run, list(cited))
    company = known[next(iter(cited))][0]
    drafts = [
        {"draft": name, "version": version or known[name][1]} for name, version in cited.items()
    ]

    def closed(details: dict[str, Any]) -> None:
        run.table(details["listed"], FINALIZED)
        if send:
            run.send("send-batch", billing_company=company, batch_id=details["batch_id"])

    run.send(
        "finalize-drafts",
        show=closed,
        billing_company=company,
        drafts=drafts,
        invoice_date=invoice_date,
    )


def _cited(text: str) -> tuple[str, int | None]:
    name, at, version = text.upper().partition("@")
    if at and not version.isdigit():
        raise typer.BadParameter(f"{text!r} is not ID@VERSION", param_hint="ID")
    return name, int(version) if at else None


def _known(run: Run, names: list[str]) -> dict[str, tuple[str, int]]:
    """The company and version of each draft; refused if one is unknown."""
    from services.console.queries.drafts import companies_of

    known = run.read(companies_of, names)
    for name in names:
        if name not in known:
            run.refuse("unknown_draft", f"there is no draft {name}", "see `backoffice drafts list`")
    return known


def _send(run: Run, command_name: str, names: list[str], **fields: Any) -> None:
    known = _known(run, [name.upper() for name in names])
    run.send(command_name, billing_company=next(iter(known.values()))[0], **fields)


def _words(status: str) -> str:
    """Pending Finalization for pending_finalization."""
    return status.replace("_", " ").title()
