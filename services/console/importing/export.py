"""Writes the files of `backoffice export`, which an empty data folder can import again.

The catalog, rates and opening data are CSV files with the columns of their templates. Facts of the
ATS, settings and terms are records, because CSV files cannot hold all of their values (a text that
was cleared again, a status with its date). All closed documents become opening data.
"""

import base64
import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from services.console.importing.catalog import CATALOG
from services.console.importing.command_lines import Columns
from services.console.importing.opening import LINES, NUMBERS
from services.console.importing.opening_columns import OPENING_LINES, OPENING_NUMBERS
from services.console.importing.rates import BILL_RATES
from services.console.queries import (
    companies,
    debtors,
    export,
    fees,
    invoice_options,
    self_billing,
    workflows,
)
from services.console.queries.amounts import with_money
from services.console.queries.closed_documents import logo_of
from services.console.queries.snapshot import ReadConnection
from shared.events.commands import AnyCommand
from shared.money import plain
from shared.terms import is_agreement

SETTINGS, DEBTOR_TERMS = "settings.jsonl", "debtor-terms.jsonl"
ASSIGNMENTS, RETAINERS = "assignments.jsonl", "retainers.jsonl"
PAYMENTS = "payments.jsonl"
"""Commands. The terms of debtors name billing cycles, and assignments name items of the catalog;
what is decided about retainers comes after the placements that take something off them."""
NewCommand = Callable[..., AnyCommand]
ANSWERED = {"approval_level": "gate"}
"""Settings of a billing company with another name in the command."""


async def write_export(
    connection: ReadConnection, folder: Path, new_command: NewCommand
) -> dict[str, int]:
    """Writes all files into a folder; returns the number of lines by file."""
    written: dict[str, int] = {}

    def records(file: str, lines: Iterable[str]) -> None:
        found = list(lines)
        (folder / file).write_text("".join(line + "\n" for line in found), encoding="utf-8")
        written[file] = len(found)

    def table(file: str, columns: Columns, rows: Iterable[Mapping[str, Any]]) -> None:
        written[file] = 0
        with _csv_file(folder / file, columns) as write:
            for row in rows:
                write(row)
                written[file] += 1

    for file, commands in (
        (SETTINGS, await _settings(connection, new_command)),
        (DEBTOR_TERMS, await _terms(connection, new_command)),
        (
            ASSIGNMENTS,
            [
                new_command("set-assignment", **each)
                for each in await export.assignments(connection)
            ],
        ),
        (
            RETAINERS,
            [
                new_command("settle-retainer", **each)
                for each in await export.retainer_decisions(connection)
            ],
        ),
        (
            PAYMENTS,
            [
                new_command("record-payment", **with_money(each, "amount"), although_ledger=True)
                for each in await export.unapplied_payments(connection)
            ],
        ),
    ):
        records(file, (command.model_dump_json(exclude_none=True) for command in commands))
    for topic, bodies in (await export.fact_bodies(connection)).items():
        records(f"{topic}.jsonl", (json.dumps(json.loads(body)) for body in bodies))
    table("catalog.csv", CATALOG, await companies.catalog(connection))
    table("rates.csv", BILL_RATES, await export.operator_rates(connection))
    table(NUMBERS, OPENING_NUMBERS, await export.last_numbers(connection))
    written[LINES] = 0
    with _csv_file(folder / LINES, OPENING_LINES) as write:
        async for row in export.billed_lines(connection):
            write(row)
            written[LINES] += 1
    return written


async def _terms(connection: ReadConnection, new_command: NewCommand) -> list[AnyCommand]:
    """The commands that set the terms of debtors, version by version."""
    commands = []
    for company in await companies.companies(connection):
        names: dict[str, set[str]] = {}
        for version in await debtors.debtor_terms(connection, company["billing_company"]):
            fields = {name: value for name, value in version.items() if name != "to_date"}
            allowances = [
                {name: value for name, value in each.items() if value}
                for each in fields["allowances"] or ()
            ]
            # A version begins with the allowances of the one before it.
            before = names.get(version["account_name"], set())
            now = names[version["account_name"]] = {each["name"] for each in allowances}
            fields |= {"allowances": allowances, "remove_allowances": sorted(before - now)}
            fields["billing_company"] = company["billing_company"]
            commands.append(new_command("set-debtor-terms", **fields))
    return commands


async def _settings(connection: ReadConnection, new_command: NewCommand) -> list[AnyCommand]:
    """The commands that set up billing companies and billing cycles."""
    commands = []
    for row in await companies.companies(connection):
        if is_agreement(row["billing_company"]):
            continue
        settings = {ANSWERED.get(name, name): value for name, value in row.items()}
        taxes = [
            {
                "tax_code": tax["tax_code"],
                "percent": plain(Decimal(tax["percent"])),
                "from_date": str(tax["from_date"]),
            }
            for tax in settings.pop("taxes")
        ]
        picture = await logo_of(connection, settings.pop("logo"))
        logo = base64.b64encode(picture).decode()
        commands.append(new_command("set-billing-company", **settings, taxes=taxes, logo=logo))
    commands += await _agreements(connection, new_command)
    for row in await debtors.time_groups(connection):
        names = ("time_group", "cycle", "ends_on", "anchor", "periods")
        commands.append(new_command("set-time-group", **{name: row[name] for name in names}))
    return [*commands, *await _options(connection, new_command)]


async def _agreements(connection: ReadConnection, new_command: NewCommand) -> list[AnyCommand]:
    """The commands that set the agreements with suppliers; they name what the ATS would."""
    names = (
        "supplier_id", "from_date", "reference", "name", "address", "tax_id", "bank",
        "payment_terms", "series_prefix", "series_width", "taxes", "default_tax",
    )  # fmt: skip
    return [
        new_command(
            "set-self-billing-agreement",
            billing_company=row["buyer"],
            account_name=row["own_account_name"],
            **{name: row[name] for name in names},
        )
        for row in await self_billing.agreements(connection)
    ]


async def _options(connection: ReadConnection, new_command: NewCommand) -> list[AnyCommand]:
    """The commands that set workflows as they are now, invoice options, version by version, and
    lists of client countries.
    """
    names = (
        "billing_company", "name", "client_country", "bill_to", "location", "request_types",
        "billing_types", "max_lines", "group_by", "active",
    )  # fmt: skip
    options = [
        new_command(
            "set-invoice-option",
            **{name: row[name] for name in names},
            currency=row["currency"] or None,
            default=row["is_default"],
            workflow=row["workflow"],
            from_date=str(row["from_date"]),
        )
        for row in await invoice_options.invoice_options(connection)
    ]
    lists = await invoice_options.country_grouping(connection)
    grouping = [new_command("set-country-grouping", **row) for row in lists]
    steps = [
        new_command("set-workflow", **{name: row[name] for name in ("name", "steps", "forbids")})
        for row in await workflows.workflows(connection)
        if row["newest"]
    ]
    return [*steps, *options, *grouping, *await _fees(connection, new_command)]


async def _fees(connection: ReadConnection, new_command: NewCommand) -> list[AnyCommand]:
    """The commands that set MSP fees and their tiers, version by version, and loaded volume."""
    set_fees = [
        new_command(
            "set-fee",
            **_of_option(row, "billing_company", "funded_by", "charged_as", "tax_code"),
            percent=plain(row["percent"]),
            base_adds=[kind for kind in row["base"] if kind != "timesheets"],
            from_date=str(row["from_date"]),
        )
        for row in await fees.fees(connection)
    ]
    set_tiers = [
        new_command(
            "set-fee-tiers",
            **_of_option(row, "billing_company", "funded_by", "currency", "volume_of", "tiers"),
            from_date=str(row["from_date"]),
        )
        for row in await fees.fee_tiers(connection)
    ]
    set_volumes = [
        new_command(
            "set-opening-volume",
            **_of_option(row, "billing_company", "currency"),
            amount=plain(row["amount"]),
            on_date=str(row["on_date"]),
        )
        for row in await fees.opening_volumes(connection)
    ]
    return [*set_fees, *set_tiers, *set_volumes]


def _of_option(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The values of a row that a command about an option has under the same names."""
    return {"option": row["option_name"]} | {name: row[name] for name in names}


@contextmanager
def _csv_file(path: Path, columns: Columns) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Begins a file with the columns of a template; what it gives writes one row."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)

        def write(row: Mapping[str, Any]) -> None:
            writer.writerow(
                [_cell(row.get(each.field or column)) for column, each in columns.items()]
            )

        yield write


def _cell(value: Any) -> str:
    """A value as a reader of the column takes it."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case Decimal():
            return plain(value)
        case date():
            return value.isoformat()
        case list() | tuple():
            return " ".join(_part(each) for each in value)
        case _:
            return str(value)


def _part(part: Mapping[str, Any]) -> str:
    """A part of a pay plan or of a guarantee: `50@1`, `100@30`."""
    number, day = (
        (part["share"], part["day"]) if "share" in part else (part["percent"], part["until_day"])
    )
    return f"{plain(Decimal(str(number)))}@{day}"
