"""`backoffice batch preview|generate|list|show|download`: invoices and their files."""

from datetime import date
from typing import Annotated, Any

import typer

from services.console.cli.batch_tables import show_batch_result, show_preview
from services.console.cli.command import Run, command
from services.console.cli.downloads import (
    AccountNames,
    ClassField,
    ClassNames,
    Country,
    Format,
    LayoutFile,
    Merged,
    Out,
    Wanted,
    download_files,
)
from services.console.cli.lines import read_pending, show_pending
from services.console.cli.options import (
    LONG_SECONDS,
    AnyCompany,
    Company,
    CutOff,
    Documents,
    ExcludeCredits,
    Excluded,
    Groups,
    Limit,
    MissingTimesheets,
    Options,
    Workers,
    option,
    parsed,
    read_date,
)
from services.console.columns.batches import (
    BATCHES,
    DOCUMENTS,
    DOWNLOADS,
    TOTALS,
    number_range,
    total_of,
    with_hours,
)

app = typer.Typer(help="Batches: invoices and credit notes made together.", no_args_is_help=True)
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
    invoice_option: Options = None,
    exclude_credits: ExcludeCredits = False,
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
        options=invoice_option or (),
        exclude_credits=exclude_credits,
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
    invoice_option: Options = None,
    exclude_credits: ExcludeCredits = False,
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
        options=invoice_option or (),
        exclude_credits=exclude_credits,
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
    rows = [
        row | {"numbers": number_range(row), "total": total_of(row)} for row in found["batches"]
    ]
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
    run.facts({name: found[name] for name in BATCH} | {"numbers": number_range(found)})
    run.table(with_hours(found["totals"], found["hours"]), TOTALS, title="totals")
    run.table(found["invoices"], DOCUMENTS, title="documents", empty="no document")
    run.shortened(len(found["invoices"]), found["documents"])
    run.table(found["downloads"], DOWNLOADS, title="downloads")


@command(app, sends=True)
def download(
    run: Run,
    batch_id: Annotated[str, typer.Argument(metavar="ID")],
    file_format: Format,
    out: Out,
    country: Country = "",
    merged: Merged = False,
    account: AccountNames = None,
    class_field: ClassField = "",
    class_name: ClassNames = None,
    layout: LayoutFile = None,
) -> None:
    """Write the files of a batch, compare their totals with the batch, and record the download.

    The same batch gives the same bytes.
    """
    from services.console.queries.batches import batch

    wanted = Wanted(
        file_format.lower(), out, country, account, class_field, class_name, layout, merged
    )
    download_files(run, lambda connection: batch(connection, batch_id), wanted)
