"""`backoffice import DIR`: publishes CSV files as ATS events, if nothing in the files is wrong."""

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.console.cli.command import Run, command
from services.console.cli.options import Company
from services.console.cli.output import Column, Screen, finish
from services.console.cli.step_progress import Steps
from services.console.cli.time_groups import refuse_wrong_lines
from shared.money import plain
from shared.terms import counted

if TYPE_CHECKING:
    from services.console.importing.run import CheckedImport
    from services.console.queries.progress import TimesheetTotals

COLUMNS = [
    Column("documents"),
    Column("new", figures=True),
    Column("changed", figures=True),
    Column("unchanged", figures=True),
]
KINDS = {
    "billto": "billto nodes",
    "requirement": "requirements",
    "timesheet": "timesheets",
    "placement": "placements",
}


def register(backoffice: typer.Typer) -> None:
    """Adds this command to `backoffice`."""
    command(backoffice, "import", sends=True)(import_folder)


def import_folder(
    run: Run,
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="Holds billto.csv, requirements.csv, bill_rates.csv, timesheets.csv,"
            " placements.csv; each may be missing.",
        ),
    ],
    billing_company: Company,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Wait until all is priced and settled, and show the totals."),
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Show what would be published; publish nothing.")
    ] = False,
) -> None:
    """Publish CSV files as ATS events: new documents, and the next revision of those that
    differ.
    """
    from services.console.addresses import find_addresses
    from services.console.importing.run import check_folder, publish, wait_until_settled

    addresses = find_addresses(run.data)
    with Steps() as steps:
        checked = finish(check_folder(addresses, folder, billing_company, steps))
    refuse_wrong_lines(
        run,
        folder,
        checked.problems,
        "nothing was published",
        "correct the lines named above and import again",
    )
    document = _document(checked, billing_company) | {"check": check}
    if check:
        run.document(document)
        if not checked.company_known:
            defaults = "the defaults (time zone UTC, net 30, no tax)"
            run.say(f"billing company {billing_company} is unknown: it would get {defaults}")
        _show_plan(run, checked, billing_company)
        run.say("nothing was published (--check)")
        return
    with Steps() as steps:
        published = finish(
            publish(addresses, checked, billing_company, run.actor, run.reason, steps, run.signer)
        )
    _show_company(run, published.new_company, billing_company)
    _show_plan(run, checked, billing_company)
    totals = None
    if wait:
        with Steps() as steps:
            totals = finish(wait_until_settled(addresses, checked, steps))
    run.document(
        document
        | {
            "published": published.records,
            "company_made": published.new_company or None,
            "settled": None if totals is None else _totals(totals),
        }
    )
    _show_end(run, published.records, totals, billing_company)


def _document(checked: "CheckedImport", billing_company: str) -> dict[str, Any]:
    counts = ("new", "changed", "unchanged")
    return {
        "billing_company": billing_company,
        "billing_company_known": checked.company_known,
        "files": checked.contents.files,
        "rows": checked.contents.rows,
        "documents": {row["kind"]: {name: row[name] for name in counts} for row in _rows(checked)},
        "timesheets_only_in_books": checked.only_stored,
    }


def _rows(checked: "CheckedImport") -> list[dict[str, Any]]:
    plan = checked.plan
    counts = {"new": plan.new, "changed": plan.changed, "unchanged": plan.unchanged}
    return [
        {"kind": kind, "documents": words}
        | {name: counter[kind] for name, counter in counts.items()}  # type: ignore[index]
        for kind, words in KINDS.items()
    ]


def _show_plan(screen: Screen, checked: "CheckedImport", billing_company: str) -> None:
    screen.table(_rows(checked), COLUMNS)
    if checked.only_stored:
        number = counted(checked.only_stored, "timesheet")
        screen.say(
            f"{number} of {billing_company} not in the files: left unchanged"
            " (to cancel one, send it without entries)"
        )


def _show_company(screen: Screen, company: dict[str, Any], billing_company: str) -> None:
    settings = company.get("settings")
    if isinstance(settings, dict):
        screen.say(f"billing company {billing_company} was unknown and got the defaults:", "yellow")
        given = {name: value for name, value in settings.items() if value not in ("", None, [])}
        screen.facts(given | {"tax": "none"})
        screen.say(f"to change them: backoffice billing-company set {billing_company} ...")


def _totals(totals: "TimesheetTotals") -> dict[str, Any]:
    return {
        "timesheets": totals.timesheets,
        "pay_lines": totals.lines,
        "hours": plain(totals.hours),
        "amounts": totals.amounts,
        "held": [
            {"code": code, "documents": number, "message": totals.hold_messages[code]}
            for code, number in sorted(totals.held.items())
        ],
    }


def _show_end(
    screen: Screen, records: int, totals: "TimesheetTotals | None", billing_company: str
) -> None:
    if totals is None:
        more = "; to see the lag: backoffice lag" if records else ": nothing is new or changed"
        screen.say(f"{records:,} records published{more}")
        return
    amounts = [f"{amount:,f} {currency}" for currency, amount in sorted(totals.amounts.items())]
    hours = f"{Decimal(plain(totals.hours)):,f} hours"
    screen.say(f"{counted(records, 'record')} published and settled", "green")
    if totals.timesheets:
        screen.say(
            f"{counted(totals.timesheets, 'timesheet')} of these files:"
            f" {counted(totals.lines, 'pay line')}, {hours}, {' + '.join(amounts) or '0'}"
        )
    for code, number in sorted(totals.held.items()):
        screen.say(f"{number:,} held, {code}: {totals.hold_messages[code]}", "yellow")
    screen.say(f"next: backoffice health-check --billing-company {billing_company}")
