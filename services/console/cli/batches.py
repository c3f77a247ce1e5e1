"""`backoffice batch preview|generate|list|show|download`: invoices and their files."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from services.console.cli.batch_tables import (
    DOCUMENTS,
    TOTALS,
    show_batch_result,
    show_preview,
    with_hours,
)
from services.console.cli.command import Run, command
from services.console.cli.lines import read_pending, show_pending
from services.console.cli.options import (
    LONG_SECONDS,
    AnyCompany,
    Company,
    CutOff,
    Documents,
    Excluded,
    Groups,
    Limit,
    MissingTimesheets,
    Workers,
    must_be_one_of,
    option,
    parsed,
    read_date,
)
from services.console.cli.output import Column, fact, finish

if TYPE_CHECKING:
    from services.console.files import FileFormat, Saved

app = typer.Typer(help="Batches: invoices and credit notes made together.", no_args_is_help=True)
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
DOWNLOADS = [
    Column("downloaded_at", "downloaded on"),
    Column("file_format", "format"),
    Column("actor"),
]
FORMATS = ("csv", "xlsx", "iif", "ubl", "pdf", "pdfa")
BATCH = (
    "batch_id",
    "billing_company",
    "cut_off_date",
    "invoice_date",
    "actor",
    "reason",
    "generated_at",
)


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(app, name="batch")


@command(app, sends=True, timeout=LONG_SECONDS)
def preview(
    run: Run,
    billing_company: Company,
    cut_off: CutOff,
    group: Groups = None,
    exclude_debtor: Excluded = None,
    missing_timesheets: MissingTimesheets = None,
    document: Documents = None,
    worker: Workers = None,
) -> None:
    """Show what `batch generate` would do now, and store it with a digest for `batch generate
    --digest`.
    """
    run.send(
        "preview-batch",
        show=lambda details: show_batch_result(run, details),
        billing_company=billing_company,
        cut_off_date=cut_off,
        groups=group or (),
        exclude_debtors=exclude_debtor or (),
        missing_timesheets=missing_timesheets,
        documents=document or (),
        workers=worker or (),
    )


@command(app, sends=True, timeout=LONG_SECONDS)
def generate(
    run: Run,
    billing_company: Company,
    cut_off: CutOff,
    digest: Annotated[
        str | None, option("Digest of a preview that must still be right.", metavar="D")
    ] = None,
    invoice_date: Annotated[
        date | None, parsed(read_date, "Default: today.", metavar="DATE")
    ] = None,
    first_number: Annotated[
        int | None, option("The first document number.", min=1, metavar="N")
    ] = None,
    group: Groups = None,
    exclude_debtor: Excluded = None,
    missing_timesheets: MissingTimesheets = None,
    document: Documents = None,
    worker: Workers = None,
) -> None:
    """Build, number and close the documents of all lines that are due up to the cut-off."""
    run.send(
        "generate-batch",
        show=lambda details: show_batch_result(run, details),
        billing_company=billing_company,
        cut_off_date=cut_off,
        digest=digest,
        invoice_date=invoice_date,
        first_number=first_number,
        groups=group or (),
        exclude_debtors=exclude_debtor or (),
        missing_timesheets=missing_timesheets,
        documents=document or (),
        workers=worker or (),
    )


@command(app, "list")
def list_batches(run: Run, billing_company: AnyCompany = None, limit: Limit = 50) -> None:
    """List batches, the newest first, and what is pending for the next one."""
    from services.console.queries.batches import batches

    async def read(connection: Any) -> dict[str, Any]:
        found = {"batches": await batches(connection, billing_company, limit)}
        pending = await read_pending(connection, billing_company)
        return found | {name: pending[name] for name in ("pending", "held")}

    found = run.read(read)
    run.document(found)
    rows = [row | {"numbers": _numbers(row), "total": _totals(row)} for row in found["batches"]]
    run.table(
        rows,
        BATCHES,
        empty="no batch yet: backoffice batch preview --billing-company ID --cut-off DATE",
    )
    run.say()
    show_pending(run, found)


@command(app, "show")
def show_batch(
    run: Run,
    batch_id: Annotated[str, typer.Argument(metavar="ID", help="Id of a batch, or of a preview.")],
    limit: Limit = 100,
) -> None:
    """Show a batch with its documents, totals and downloads; or a preview with what is in and
    what is left out.
    """
    from services.console.queries import batches

    async def read(connection: Any) -> dict[str, Any]:
        if (stored := await batches.preview(connection, batch_id, limit)) is not None:
            return stored
        batch = await batches.batch(connection, batch_id)
        documents = await batches.batch_documents(connection, batch_id, limit)
        downloads = await batches.batch_downloads(connection, batch_id)
        hours = await batches.batch_hours(connection, batch_id)
        return batch | {"hours": hours, "invoices": documents, "downloads": downloads}

    found = run.read(read)
    run.document(found)
    if "preview_id" in found:
        show_preview(run, found)
        return
    run.facts({name: found[name] for name in BATCH} | {"numbers": _numbers(found)})
    run.table(with_hours(found["totals"], found["hours"]), TOTALS, title="totals")
    run.table(found["invoices"], DOCUMENTS, title="documents", empty="no document")
    run.shortened(len(found["invoices"]), found["documents"])
    run.table(found["downloads"], DOWNLOADS, title="downloads")


@command(app, sends=True)
def download(
    run: Run,
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
        option(
            "UBL, PDFA: country of parties whose address names none.", "--country", metavar="XX"
        ),
    ] = "",
    merged: Annotated[
        bool, typer.Option("--merged", help="PDF: join all documents into one file to print.")
    ] = False,
    account: Annotated[
        list[str] | None,
        option(
            "IIF: names of the accounts receivable, income, tax and item.",
            "--account",
            metavar="KEY=NAME",
        ),
    ] = None,
) -> None:
    """Write the files of a batch, compare their totals with the batch, and record the download.

    The same batch gives the same bytes.
    """
    chosen = cast("FileFormat", file_format.lower())
    must_be_one_of(FORMATS, chosen, "--format")
    _check_options(chosen, country, merged=merged)
    names = account or []
    batch, saved = _save(run, batch_id, chosen, out, country.upper(), names, merged=merged)
    recorded = run.new_command(
        "record-download",
        billing_company=batch["billing_company"],
        batch_id=batch_id,
        file_format=chosen,
    )
    (result,) = run.send_all([recorded])
    totals = _control_totals(saved)
    run.document(
        {
            "batch_id": batch_id,
            "format": chosen,
            "path": saved.path,
            "files": saved.files,
            "totals": totals,
            "recorded": result.model_dump(mode="json"),
        }
    )
    run.table(totals, TOTALS, title="control totals: equal to the batch and to its documents")
    run.say(f"{saved.files:,} file{'' if saved.files == 1 else 's'}: {saved.path}")
    if result.outcome == "refused":
        run.no(
            result.code,
            f"the files are complete, but the download was not recorded: {result.message}",
            result.fix,
        )


def _check_options(file_format: str, country: str, *, merged: bool) -> None:
    """Wrong use if an option does not fit the format."""
    if country and not (len(country) == 2 and country.isascii() and country.isalpha()):
        raise typer.BadParameter(
            f"{country!r} is not a country code of two characters", param_hint="--country"
        )
    if merged and file_format != "pdf":
        raise typer.BadParameter("only --format pdf can be merged", param_hint="--merged")


def _save(
    run: Run,
    batch_id: str,
    file_format: "FileFormat",
    out: Path,
    country: str,
    accounts: list[str],
    *,
    merged: bool,
) -> "tuple[dict[str, Any], Saved]":
    from services.console.addresses import find_addresses
    from services.console.files import Accounts, save
    from services.console.queries.batches import batch as read_batch
    from services.console.queries.snapshot import open_snapshot

    async def work() -> "tuple[dict[str, Any], Saved]":
        async with open_snapshot(find_addresses(run.data).database_url) as connection:
            batch = await read_batch(connection, batch_id)
            names = Accounts.named(accounts)
            with run.progress(f"writing {file_format}") as progress:
                return batch, await save(
                    connection,
                    batch,
                    file_format,
                    out,
                    progress,
                    country=country,
                    accounts=names,
                    merged=merged,
                )

    return finish(work())


def _control_totals(saved: "Saved") -> list[dict[str, Any]]:
    from shared.money import plain

    names = ("documents", "lines", "net", "tax", "total")
    return [
        {"currency": currency, "quantity": Decimal(plain(each.quantity))}
        | {name: getattr(each, name) for name in names}
        for currency, each in sorted(saved.totals.by_currency.items())
    ]


def _numbers(row: dict[str, Any]) -> str:
    first, last = row["first_number"], row["last_number"]
    return str(first) if first == last else f"{first} … {last}"


def _totals(row: dict[str, Any]) -> str:
    return ", ".join(f"{fact(Decimal(each['total']))} {each['currency']}" for each in row["totals"])
