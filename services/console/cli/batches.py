"""`backoffice batch preview|generate|list|show|download`: making invoices, and taking their files."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from services.console.cli.lines import show_pending
from services.console.cli.options import (
    LONG_SECONDS,
    Actor,
    AnyCompany,
    AsJson,
    Company,
    CutOff,
    Data,
    Excluded,
    Groups,
    Limit,
    MissingTimesheets,
    Reason,
    Timeout,
    read_date,
)
from services.console.cli.output import Column, Screen, fact, finish, screen_for
from services.console.cli.send_command import ask, read_books, said_by, send

if TYPE_CHECKING:
    from services.console.client.files import FileFormat, Saved
    from shared.events.billing import CommandResult

app = typer.Typer(help="Invoices and credit notes that are made together.", no_args_is_help=True)
TOTALS = [
    Column("currency", ""),
    Column("documents", figures=True),
    Column("lines", figures=True),
    Column("quantity", figures=True),
    Column("net", figures=True),
    Column("tax", figures=True),
    Column("total", figures=True),
]
BATCHES = [
    Column("batch_id", "batch"),
    Column("billing_company"),
    Column("cut_off_date", "cut-off"),
    Column("invoice_date"),
    Column("documents", figures=True),
    Column("line_count", "lines", figures=True),
    Column("numbers"),
    Column("total", figures=True),
    Column("actor"),
    Column("generated_at", "generated"),
    Column("downloaded_on", "downloaded on"),
]
DOCUMENTS = [
    Column("document_no", "", figures=True),
    Column("invoice_number", "number"),
    Column("document_type", "type"),
    Column("account_name", most=40),
    Column("po_number", "PO"),
    Column("payment_terms", "terms"),
    Column("due_date", "due"),
    Column("line_count", "lines", figures=True),
    Column("net", figures=True),
    Column("tax", figures=True),
    Column("total", figures=True),
    Column("currency", ""),
]
PARKED = [Column("account_name", most=40), Column("code"), Column("message", most=400)]
FORMATS = ("csv", "xlsx", "iif", "ubl", "pdf", "pdfa")
MADE = (
    "batch_id",
    "preview_id",
    "billing_company",
    "cut_off_date",
    "invoice_date",
    "first_number",
    "last_number",
    "digest",
    "left_out",
)
COUNTED = ("documents", "lines")
"""Numbers that stand in the totals."""


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(app, name="batch")


@app.command()
def preview(
    billing_company: Company,
    cut_off: CutOff,
    group: Groups = None,
    exclude_debtor: Excluded = None,
    missing_timesheets: MissingTimesheets = None,
    timeout: Timeout = LONG_SECONDS,
    actor: Actor = "",
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """What `batch generate` would do now; stored, with a digest that `batch generate --digest` can cite."""
    with screen_for(as_json) as screen:
        from shared.events.commands import PreviewBatch

        narrowed = _narrowed(group, exclude_debtor, missing_timesheets)
        command = PreviewBatch(
            **said_by(actor, reason),
            **narrowed,
            billing_company=billing_company,
            cut_off_date=cut_off,
        )
        ask(screen, data, command, timeout, show=lambda result: show_made(screen, result))


@app.command()
def generate(
    billing_company: Company,
    cut_off: CutOff,
    digest: Annotated[
        str | None,
        typer.Option(
            metavar="D", help="Digest of a preview that must still hold.", show_default=False
        ),
    ] = None,
    invoice_date: Annotated[
        date | None,
        typer.Option(parser=read_date, metavar="DATE", help="Default: today.", show_default=False),
    ] = None,
    first_number: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Begin the numbers here.", show_default=False),
    ] = None,
    group: Groups = None,
    exclude_debtor: Excluded = None,
    missing_timesheets: MissingTimesheets = None,
    timeout: Timeout = LONG_SECONDS,
    actor: Actor = "",
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Build, number and close the documents of all that is due up to the cut-off."""
    with screen_for(as_json) as screen:
        from shared.events.commands import GenerateBatch

        command = GenerateBatch(
            **said_by(actor, reason),
            **_narrowed(group, exclude_debtor, missing_timesheets),
            billing_company=billing_company,
            cut_off_date=cut_off,
            digest=digest,
            invoice_date=invoice_date,
            first_number=first_number,
        )
        ask(screen, data, command, timeout, show=lambda result: show_made(screen, result))


def _narrowed(
    groups: list[str] | None, excluded: list[str] | None, missing_timesheets: str | None
) -> dict[str, Any]:
    """What a batch is narrowed to, as its command has it."""
    return {
        "groups": tuple(groups or ()),
        "exclude_debtors": tuple(excluded or ()),
        "missing_timesheets": missing_timesheets,
    }


def show_made(screen: Screen, result: "CommandResult") -> None:
    """What a preview or a batch came to: plain facts in a known order, then the lists."""
    details = result.details
    tables = {
        name: value
        for name, value in details.items()
        if isinstance(value, list) and value and isinstance(value[0], dict)
    }
    facts = {name: details[name] for name in MADE if name in details} | {
        name: value for name, value in details.items() if name not in tables
    }
    screen.facts({name: value for name, value in facts.items() if name not in COUNTED})
    for name, rows in sorted(tables.items()):
        columns = (
            TOTALS
            if name == "totals"
            else PARKED
            if name in ("parked", "still_parked")
            else DOCUMENTS
            if "account_name" in rows[0]
            else [Column(field) for field in rows[0]]
        )
        screen.table(
            rows, columns, title="documents" if name == "listed" else name.replace("_", " ")
        )
    if result.details.get("digest") and result.command == "preview-batch":
        screen.say(
            f"to make it: backoffice batch generate ... --digest {result.details['digest']}", "dim"
        )
    if result.details.get("batch_id"):
        screen.say(
            f"its files: backoffice batch download {result.details['batch_id']} --format pdf --out invoices/",
            "dim",
        )


@app.command("list")
def list_batches(
    billing_company: AnyCompany = None,
    limit: Limit = 50,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """List batches, the newest first, and what is pending for the next one."""
    with screen_for(as_json) as screen:
        from services.console.client import lines
        from services.console.client.batches import batches
        from services.console.client.books import companies_today

        async def read(connection: Any) -> dict[str, Any]:
            todays = await companies_today(connection, billing_company)
            return {
                "batches": await batches(connection, billing_company, limit),
                "pending": await lines.pending_amounts(connection, todays),
                "held": await lines.held_counts(connection, billing_company),
            }

        found = read_books(data, read)
        screen.document(found)
        rows = [row | {"numbers": _numbers(row), "total": _totals(row)} for row in found["batches"]]
        screen.table(
            rows,
            BATCHES,
            empty="no batch yet: `backoffice batch preview --billing-company ID --cut-off DATE`",
        )
        screen.say()
        show_pending(screen, found["pending"], found["held"])


@app.command("show")
def show_batch(
    batch_id: Annotated[str, typer.Argument(metavar="ID", help="Id of a batch, or of a preview.")],
    limit: Limit = 100,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Show a batch with its documents, totals and downloads; or a stored preview with what is in and what is out."""
    with screen_for(as_json) as screen:
        from services.console.client import batches as stored

        async def read(connection: Any) -> dict[str, Any]:
            if (preview := await stored.preview(connection, batch_id, limit)) is not None:
                return preview
            head = await stored.batch(connection, batch_id)
            documents = await stored.batch_documents(connection, batch_id, limit)
            return head | {
                "invoices": documents,
                "downloads": await stored.batch_downloads(connection, batch_id),
            }

        found = read_books(data, read)
        screen.document(found)
        if "preview_id" in found:
            screen.facts(
                {
                    name: found[name]
                    for name in (
                        "preview_id",
                        "billing_company",
                        "cut_off_date",
                        "digest",
                        "actor",
                        "previewed_at",
                        "totals",
                    )
                }
            )
            screen.table(found["documents"], DOCUMENTS, title="documents", empty="no document")
            screen.table(
                found["out"],
                [
                    Column("reason"),
                    Column("lines", figures=True),
                    Column("pay_line_ids", "pay lines"),
                ],
                title="left out",
            )
            return
        names = (
            "batch_id",
            "billing_company",
            "cut_off_date",
            "invoice_date",
            "actor",
            "reason",
            "generated_at",
        )
        screen.facts({name: found[name] for name in names} | {"numbers": _numbers(found)})
        screen.table(found["totals"], TOTALS, title="totals")
        screen.table(found["invoices"], DOCUMENTS, title="documents", empty="no document")
        screen.shortened(len(found["invoices"]), found["documents"])
        screen.table(
            found["downloads"],
            [
                Column("downloaded_at", "downloaded on"),
                Column("file_format", "format"),
                Column("actor"),
            ],
            title="downloads",
        )


@app.command()
def download(
    batch_id: Annotated[str, typer.Argument(metavar="ID")],
    file_format: Annotated[
        str,
        typer.Option(
            "--format", metavar="|".join(FORMATS), help="pdfa: PDF/A-3 with the e-invoice inside."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="PATH",
            help="CSV, XLSX, IIF: a file. UBL, PDF: a folder, a .zip, or one document's file.",
        ),
    ],
    country: Annotated[
        str,
        typer.Option(
            "--country",
            metavar="XX",
            help="UBL, PDFA: of parties whose address names none.",
            show_default=False,
        ),
    ] = "",
    account: Annotated[
        list[str] | None,
        typer.Option(
            "--account",
            metavar="KEY=NAME",
            help="IIF: what receivable, income, tax, item are called there.",
            show_default=False,
        ),
    ] = None,
    actor: Actor = "",
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Write the files of a batch and compare their control totals with the batch; keep that it was downloaded. The same batch gives the same bytes."""
    chosen = cast("FileFormat", file_format.lower())
    if chosen not in FORMATS:
        raise typer.BadParameter(
            f"{file_format!r} is not one of {', '.join(FORMATS)}", param_hint="--format"
        )
    if country and not (len(country) == 2 and country.isascii() and country.isalpha()):
        raise typer.BadParameter(
            f"{country!r} is not a country's two letters", param_hint="--country"
        )
    with screen_for(as_json) as screen:
        from shared.events.commands import RecordDownload

        batch, saved = _save(screen, data, batch_id, chosen, out, country.upper(), account or [])
        command = RecordDownload(
            **said_by(actor, reason),
            billing_company=batch["billing_company"],
            batch_id=batch_id,
            file_format=chosen,
        )
        (result,) = send(screen, data, [command], 120.0)
        totals = _control_totals(saved)
        screen.document(
            {
                "batch_id": batch_id,
                "format": chosen,
                "path": saved.path,
                "files": saved.files,
                "totals": totals,
                "recorded": result.model_dump(mode="json"),
            }
        )
        screen.table(
            totals, TOTALS, title="control totals: equal to the batch and to its documents"
        )
        screen.say(f"{saved.files:,} file{'' if saved.files == 1 else 's'}: {saved.path}")
        if result.outcome == "refused":
            screen.no(
                result.code,
                f"the files are good, but the download could not be kept: {result.message}",
                result.fix,
            )


def _save(
    screen: Screen,
    data: Path | None,
    batch_id: str,
    file_format: "FileFormat",
    out: Path,
    country: str,
    accounts: list[str],
) -> "tuple[dict[str, Any], Saved]":
    from services.console.client.addresses import find_addresses
    from services.console.client.batches import batch as batch_of
    from services.console.client.books import reading
    from services.console.client.files import Accounts, save

    async def work() -> "tuple[dict[str, Any], Saved]":
        async with reading(find_addresses(data).database_url) as connection:
            batch = await batch_of(connection, batch_id)
            names = Accounts.named(accounts)
            with screen.progress(f"writing {file_format}") as told:
                return batch, await save(
                    connection, batch, file_format, out, told, country=country, accounts=names
                )

    return finish(work())


def _control_totals(saved: "Saved") -> list[dict[str, Any]]:
    from shared.money import plain

    names = ("documents", "lines", "net", "tax", "total")
    return [
        {
            "currency": currency,
            "quantity": Decimal(plain(each.quantity)),
            **{name: getattr(each, name) for name in names},
        }
        for currency, each in sorted(saved.totals.by_currency.items())
    ]


def _numbers(row: dict[str, Any]) -> str:
    return (
        row["first_number"]
        if row["first_number"] == row["last_number"]
        else f"{row['first_number']} … {row['last_number']}"
    )


def _totals(row: dict[str, Any]) -> str:
    return ", ".join(f"{fact(each['total'])} {each['currency']}" for each in row["totals"])
