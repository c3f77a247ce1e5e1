"""Downloads of a batch or of one document: their options, how they are written and recorded."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from services.console.cli.command import Run
from services.console.cli.options import must_be_one_of, option
from services.console.cli.output import finish
from services.console.columns.batches import TOTALS

if TYPE_CHECKING:
    from services.console.files import FileFormat, Saved
    from services.console.queries.snapshot import ReadConnection, Row

    ReadBatch = Callable[[ReadConnection], Awaitable[Row]]

FORMATS = ("csv", "xlsx", "iif", "ubl", "pdf", "pdfa")
Format = Annotated[
    str,
    typer.Option(
        "--format", metavar="|".join(FORMATS), help="pdfa: PDF/A-3 with the e-invoice inside."
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        "--out",
        metavar="PATH",
        help="CSV, XLSX, IIF: a file. UBL, PDF: a folder, a .zip, or one document's file.",
    ),
]
Country = Annotated[
    str,
    option("UBL, PDFA: country of parties whose address names none.", "--country", metavar="XX"),
]
Merged = Annotated[
    bool, typer.Option("--merged", help="PDF: join all documents into one file to print.")
]
AccountNames = Annotated[
    list[str] | None,
    option(
        "IIF: names of receivable, income, tax and item (default: the billing company's).",
        "--account",
        metavar="KEY=NAME",
    ),
]
ClassField = Annotated[
    str,
    option("IIF: the field of a line that is its class, as in item_id.", "--class", metavar="F"),
]
ClassNames = Annotated[
    list[str] | None,
    option("IIF: the class for a value of that field.", "--class-name", metavar="VALUE=CLASS"),
]
LayoutFile = Annotated[
    Path | None,
    option(
        "CSV: a file that says which columns it has, and how.",
        "--layout",
        metavar="FILE.toml",
        exists=True,
        dir_okay=False,
    ),
]


@dataclass(frozen=True)
class Wanted:
    """What is to be written, as the options say."""

    file_format: str
    out: Path
    country: str = ""
    accounts: list[str] | None = None
    class_field: str = ""
    class_names: list[str] | None = None
    layout: Path | None = None
    merged: bool = False

    def check(self) -> None:
        """Wrong use if an option does not fit the format."""
        must_be_one_of(FORMATS, self.file_format, "--format")
        country = self.country
        if country and not (len(country) == 2 and country.isascii() and country.isalpha()):
            raise typer.BadParameter(
                f"{country!r} is not a country code of two characters", param_hint="--country"
            )
        for given, only, name in (
            (self.merged, "pdf", "--merged"),
            (self.layout, "csv", "--layout"),
            (self.class_field or self.class_names, "iif", "--class"),
        ):
            if given and self.file_format != only:
                raise typer.BadParameter(f"it is for --format {only} only", param_hint=name)


def download_files(run: Run, read: "ReadBatch", wanted: Wanted) -> None:
    """Writes the files of the batch that `read` returns, or of one of its documents; compares
    their totals with it, and records the download.
    """
    wanted.check()
    batch, saved = save_files(run, read, wanted)
    about = {"batch_id": batch["batch_id"], "file_format": wanted.file_format}
    if wanted.layout is not None:
        about["layout"] = wanted.layout.name
    if "invoice_number" in batch:
        about["invoice_number"] = batch["invoice_number"]
    recorded = run.new_command("record-download", billing_company=batch["billing_company"], **about)
    (result,) = run.send_all([recorded])
    totals = control_totals(saved)
    run.document(
        {
            **{name: about[name] for name in about if name != "file_format"},
            "format": wanted.file_format,
            "path": saved.path,
            "files": saved.files,
            "totals": totals,
            "recorded": result.model_dump(mode="json"),
        }
    )
    what = "document" if "invoice_number" in batch else "batch and to its documents"
    run.table(totals, TOTALS, title=f"control totals: equal to the {what}")
    run.say(f"{saved.files:,} file{'' if saved.files == 1 else 's'}: {saved.path}")
    if result.outcome == "refused":
        run.no(
            result.code,
            f"the files are complete, but the download was not recorded: {result.message}",
            result.fix,
        )


def save_files(run: Run, read: "ReadBatch", wanted: Wanted) -> "tuple[Row, Saved]":
    """Writes the files; records nothing."""
    from services.console.addresses import find_addresses
    from services.console.files import Accounts, Classes, layout_in, save
    from services.console.queries.companies import iif_accounts
    from services.console.queries.snapshot import open_snapshot

    async def work() -> "tuple[Row, Saved]":
        classes = Classes.named(wanted.class_field, wanted.class_names or [])
        layout = layout_in(wanted.layout) if wanted.layout is not None else None
        async with open_snapshot(find_addresses(run.data).database_url) as connection:
            batch = await read(connection)
            is_iif = wanted.file_format == "iif"
            own = await iif_accounts(connection, batch["billing_company"]) if is_iif else []
            accounts = Accounts.named([*own, *(wanted.accounts or [])])
            with run.progress(f"writing {wanted.file_format}") as progress:
                return batch, await save(
                    connection,
                    batch,
                    cast("FileFormat", wanted.file_format),
                    wanted.out,
                    progress,
                    country=wanted.country.upper(),
                    accounts=accounts,
                    classes=classes,
                    layout=layout,
                    merged=wanted.merged,
                )

    return finish(work())


def control_totals(saved: "Saved") -> list[dict[str, Any]]:
    """The sums of the files by currency."""
    from shared.money import plain

    names = ("documents", "lines", "net", "tax", "total")
    return [
        {"currency": currency, "quantity": Decimal(plain(each.quantity))}
        | {name: getattr(each, name) for name in names}
        for currency, each in sorted(saved.totals.by_currency.items())
    ]
