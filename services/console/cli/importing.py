"""`backoffice import DIR`: CSV files become what an ATS would say. Nothing is published while anything in the files is wrong."""

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.console.cli.options import Actor, AsJson, Company, Data, Reason
from services.console.cli.output import Column, Screen, finish, screen_for
from services.console.cli.steps import Steps
from shared.money import plain

if TYPE_CHECKING:
    from services.console.client.progress import Worth
    from services.console.importing.run import Looked, Published

COLUMNS = [
    Column("documents"),
    Column("new", figures=True),
    Column("changed", figures=True),
    Column("unchanged", figures=True),
]
WORDS = {"billto": "billto nodes", "requirement": "requirements", "timesheet": "timesheets"}
DEFAULTS = "time zone UTC, net 30, no tax"


def register(backoffice: typer.Typer) -> None:
    """Adds this command to `backoffice`."""
    backoffice.command("import")(import_folder)


def import_folder(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="Holds billto.csv, requirements.csv, bill_rates.csv, timesheets.csv; each may be missing.",
        ),
    ],
    billing_company: Company,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait", help="Until everything is priced and settled; then say what it came to."
        ),
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only say what would go out; write nothing.")
    ] = False,
    actor: Actor = "",
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Publish CSV files as ATS events. What the books have already is not said again; what differs goes out as the next revision."""
    with screen_for(as_json) as screen:
        from services.console.client.addresses import find_addresses
        from services.console.importing.run import look, publish, wait_until_settled

        addresses = find_addresses(data)
        with Steps() as steps:
            looked = finish(look(addresses, folder, billing_company, steps))
        _refuse_wrong_rows(screen, folder, looked)
        document = _document(looked, billing_company) | {"check": check}
        if check:
            screen.document(document)
            if not looked.company_known:
                screen.say(
                    f"billing company {billing_company} is unknown: it would get the defaults ({DEFAULTS})"
                )
            _show_plan(screen, looked, billing_company)
            screen.say("nothing was written (--check)")
            return
        with Steps() as steps:
            published = finish(publish(addresses, looked, billing_company, actor, reason, steps))
        _show_company(screen, published, billing_company)
        _show_plan(screen, looked, billing_company)
        worth = None
        if wait:
            with Steps() as steps:
                worth = finish(wait_until_settled(addresses, looked, steps))
        screen.document(
            document
            | {
                "published": published.records,
                "company_made": published.company_made or None,
                "settled": _worth(worth),
            }
        )
        _show_end(screen, published, worth, billing_company)


def _refuse_wrong_rows(screen: Screen, folder: Path, looked: "Looked") -> None:
    problems = looked.problems
    if not problems.count:
        return
    for problem in problems.shown:
        screen.aside(str(problem), "red")
    if problems.count > len(problems.shown):
        screen.aside(f"... and {problems.count - len(problems.shown):,} more")
    found = [
        {"file": one.file, "line": one.line, "column": one.column, "message": one.message}
        for one in problems.shown
    ]
    many = "one thing is wrong" if problems.count == 1 else f"{problems.count:,} things are wrong"
    screen.refuse(
        "wrong_rows",
        f"{many} in {folder}; nothing was published",
        "fix the lines named above and import again",
        {"count": problems.count, "problems": found},
    )


def _document(looked: "Looked", billing_company: str) -> dict[str, Any]:
    return {
        "billing_company": billing_company,
        "billing_company_known": looked.company_known,
        "files": looked.contents.files,
        "rows": looked.contents.rows,
        "documents": {
            row["kind"]: {name: row[name] for name in ("new", "changed", "unchanged")}
            for row in _rows(looked)
        },
        "timesheets_only_in_books": looked.only_in_books,
    }


def _rows(looked: "Looked") -> list[dict[str, Any]]:
    plan = looked.plan
    return [
        {
            "kind": kind,
            "documents": word,
            "new": plan.new[kind],
            "changed": plan.changed[kind],
            "unchanged": plan.unchanged[kind],
        }  # type: ignore[index]
        for kind, word in WORDS.items()
    ]


def _show_plan(screen: Screen, looked: "Looked", billing_company: str) -> None:
    screen.table(_rows(looked), COLUMNS)
    if looked.only_in_books:
        sheets = (
            "1 timesheet" if looked.only_in_books == 1 else f"{looked.only_in_books:,} timesheets"
        )
        screen.say(
            f"{sheets} of {billing_company} in the books but not in the files: left as they are (to cancel one, send it without entries)"
        )


def _show_company(screen: Screen, published: "Published", billing_company: str) -> None:
    settings = published.company_made.get("settings")
    if isinstance(settings, dict):
        screen.say(f"billing company {billing_company} was unknown and got the defaults:", "yellow")
        screen.facts(
            {name: value for name, value in settings.items() if value not in ("", None, [])}
            | {"tax": "none"}
        )
        screen.say(f"change them with `backoffice billing-company set {billing_company} ...`")


def _worth(worth: "Worth | None") -> dict[str, Any] | None:
    if worth is None:
        return None
    return {
        "timesheets": worth.timesheets,
        "pay_lines": worth.lines,
        "hours": plain(worth.hours),
        "amounts": worth.amounts,
        "held": [
            {"code": code, "documents": number, "message": worth.hold_sentences[code]}
            for code, number in sorted(worth.held.items())
        ],
    }


def _show_end(
    screen: Screen, published: "Published", worth: "Worth | None", billing_company: str
) -> None:
    if worth is None:
        screen.say(
            f"{published.records:,} records published"
            + (
                "; see how far they are with `backoffice lag`"
                if published.records
                else ": the books have it all"
            )
        )
        return
    amounts = (
        " + ".join(f"{amount:,f} {currency}" for currency, amount in sorted(worth.amounts.items()))
        or "0"
    )
    screen.say(f"{published.records:,} records published and settled", "green")
    screen.say(
        f"{worth.timesheets:,} timesheets of these files: {worth.lines:,} pay lines, {Decimal(plain(worth.hours)):,f} hours, {amounts}"
    )
    for code, number in sorted(worth.held.items()):
        screen.say(f"{number:,} held, {code}: {worth.hold_sentences[code]}", "yellow")
    screen.say(f"next: backoffice health-check --billing-company {billing_company}")
