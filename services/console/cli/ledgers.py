"""`backoffice ledger key|template|connect|test|status|disconnect|map import` and `batch sync`: the way to the accounting systems."""

import csv
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.console.cli.batches import app as batch_app
from services.console.cli.options import Actor, AsJson, Company, Data, Reason, Timeout, read_json
from services.console.cli.output import Column, Screen, screen_for
from services.console.cli.send_command import ask, ask_all, read_books, said_by, send

if TYPE_CHECKING:
    from shared.events.commands import AnyCommand, ConnectLedger

app = typer.Typer(help="Connections to accounting systems.", no_args_is_help=True)
map_app = typer.Typer(help="What our codes are called in a ledger.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the connection.")]
STATUS = [
    Column("ledger"),
    Column("kind"),
    Column("billing_company"),
    Column("state"),
    Column("auto_sync", "auto"),
    Column("posted", figures=True),
    Column("open", figures=True),
    Column("refused", figures=True),
    Column("message", most=400),
]
SETTINGS = [Column("name"), Column("needed"), Column("default"), Column("words", "", most=300)]
WHATS = ("account", "item", "term", "tax", "customer")
ROWS_AT_ONCE = 5_000
ERRORS_SHOWN = 20
LOOK_SECONDS = 0.5
ANSWER_SECONDS = 120.0
LONG_SYNC_SECONDS = 24 * 3600.0


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    app.add_typer(map_app, name="map")
    backoffice.add_typer(app, name="ledger")


@app.command()
def key(as_json: AsJson = False) -> None:
    """Make a key for BACKOFFICE_LEDGER_KEY. All processes need the same one; without it no secret can be opened again."""
    with screen_for(as_json) as screen:
        from shared.sealing import new_key

        made = new_key()
        screen.document({"key": made})
        screen.say(made)


@app.command()
def template(
    kind: Annotated[str, typer.Argument(metavar="KIND")], as_json: AsJson = False, data: Data = None
) -> None:
    """Show the settings of a kind of ledger as a file to fill in, each explained."""
    with screen_for(as_json) as screen:
        from services.console.client.deliveries import kind as kind_of

        found = read_books(data, lambda connection: kind_of(connection, kind))
        file = {
            each["name"]: each["default"] or ""
            for each in found["settings"]
            if each["required"] or each["default"]
        }
        screen.document(
            {
                "kind": kind,
                "title": found["title"],
                "needs": found["needs"],
                "settings": found["settings"],
                "file": file,
            }
        )
        screen.say(f"{found['title']}. It needs: {found['needs']}")
        rows = [
            each
            | {"needed": "yes, sealed" if each["secret"] else "yes" if each["required"] else ""}
            for each in found["settings"]
        ]
        screen.table(rows, SETTINGS)
        screen.say("settings file:", "bold")
        screen.say(json.dumps(file, indent=2))


@app.command()
def connect(
    name: Name,
    kind: Annotated[
        str,
        typer.Option(
            "--kind", metavar="KIND", help="tryton, xero, quickbooks, business-central or netsuite."
        ),
    ],
    billing_company: Company,
    settings: Annotated[
        Path,
        typer.Option(
            "--settings",
            metavar="FILE.json",
            exists=True,
            dir_okay=False,
            help="See `ledger template KIND`.",
        ),
    ],
    auto_sync: Annotated[
        bool, typer.Option("--auto-sync/--no-auto-sync", help="Deliver every batch by itself.")
    ] = False,
    actor: Actor = "",
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Connect a billing company to its accounting system. Secrets are sealed before they leave this process; the file may be deleted."""
    with screen_for(as_json) as screen:
        from services.console.client.deliveries import kind as kind_of

        found = read_books(data, lambda connection: kind_of(connection, kind))
        given = _read_settings(settings)
        secrets = {each["name"] for each in found["settings"] if each["secret"]}
        ask(
            screen,
            data,
            _connecting(
                name, kind, billing_company, given, secrets, auto_sync, said_by(actor, reason)
            ),
        )


def _connecting(
    name: str,
    kind: str,
    billing_company: str,
    given: dict[str, str],
    secrets: set[str],
    auto_sync: bool,
    who: dict[str, Any],
) -> "ConnectLedger":
    from shared.events.commands import ConnectLedger
    from shared.sealing import seal

    sealed = {one: value for one, value in given.items() if one in secrets and value}
    return ConnectLedger.model_validate(
        {
            **who,
            "ledger": name,
            "kind": kind,
            "billing_company": billing_company,
            "settings": {one: value for one, value in given.items() if one not in secrets},
            "sealed_secrets": seal(sealed) if sealed else "",
            "auto_sync": auto_sync,
        }
    )


def _read_settings(file: Path) -> dict[str, str]:
    read = read_json(file, "--settings")
    if not isinstance(read, dict) or any(isinstance(value, dict | list) for value in read.values()):
        raise typer.BadParameter(
            f"{file} must hold one object of plain values", param_hint="--settings"
        )
    return {
        name: "" if value is None else value if isinstance(value, str) else json.dumps(value)
        for name, value in read.items()
    }


@app.command("test")
def check(
    name: Name,
    timeout: Timeout = 120.0,
    actor: Actor = "",
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Ask the accounting system whether the connection works; one that was stopped goes on if it does."""
    with screen_for(as_json) as screen:
        from shared.events.commands import CheckLedger

        _accepted(
            screen, data, CheckLedger.model_validate({**said_by(actor, reason), "ledger": name})
        )
        found = _checked(data, name, timeout)
        screen.document(
            {
                "ledger": name,
                "outcome": found["check_outcome"] or "none",
                "message": found["check_message"],
                "state": found["state"],
            }
        )
        if found["check_outcome"] == "ok":
            screen.say(found["check_message"])
            return
        if not found["check_outcome"]:
            screen.no(
                "no_answer",
                f"no worker looked at {name} within {timeout:.0f} s",
                "see whether arg_sync is up with `backoffice status`",
            )
        screen.no("ledger_unwell", found["check_message"], f"fix it, or connect {name} anew")


def _accepted(screen: Screen, data: Path | None, command: "AnyCommand") -> None:
    """Sends a command whose answer is only the beginning; a refusal is shown, and ends with exit 1."""
    (result,) = send(screen, data, [command], ANSWER_SECONDS)
    if result.outcome == "refused":
        screen.document(result.model_dump(mode="json"))
        screen.no(result.code, result.message, result.fix)


def _checked(data: Path | None, name: str, timeout: float) -> dict[str, Any]:
    from services.console.client.deliveries import ledgers

    last = time.monotonic() + timeout
    while True:
        (found,) = read_books(data, lambda connection: ledgers(connection, name))
        if found["check_outcome"] or time.monotonic() > last:
            return dict(found)
        time.sleep(LOOK_SECONDS)


@app.command()
def status(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", show_default=False)] = None,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Show connections: whether they work, why not, and how many documents are delivered, under way and refused."""
    with screen_for(as_json) as screen:
        from services.console.client.deliveries import ledgers

        found = read_books(data, lambda connection: ledgers(connection, name))
        screen.document({"ledgers": found})
        rows = [
            row
            | _counts(row["deliveries"])
            | {"message": _why(row), "state": "resting" if row["resting"] else row["state"]}
            for row in found
        ]
        screen.table(
            rows, STATUS, empty="no ledger is connected: `backoffice ledger connect NAME ...`"
        )
        if name is not None:
            screen.facts(
                {
                    "settings": found[0]["settings"],
                    "looked at": found[0]["checked_at"],
                    "it said": found[0]["check_message"],
                }
            )


def _counts(states: dict[str, int]) -> dict[str, int]:
    return {
        "posted": states.get("posted", 0),
        "refused": states.get("refused", 0),
        "open": sum(states.get(one, 0) for one in ("queued", "sending", "unknown")),
    }


def _why(row: dict[str, Any]) -> str:
    if row["state"] == "stopped":
        return str(row["message"])
    if row["resting"]:
        return f"rests until {row['open_until']:%H:%M:%S} after {row['failures']} failures: {row['circuit_message']}"
    return ""


@app.command()
def disconnect(
    name: Name, actor: Actor = "", reason: Reason = "", as_json: AsJson = False, data: Data = None
) -> None:
    """End a connection: nothing more is sent, its secrets are forgotten, what was delivered stays known."""
    with screen_for(as_json) as screen:
        from shared.events.commands import DisconnectLedger

        ask(
            screen,
            data,
            DisconnectLedger.model_validate({**said_by(actor, reason), "ledger": name}),
        )


@map_app.command("import")
def import_mapping(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.csv",
            exists=True,
            dir_okay=False,
            help="Columns what, code, remote; an empty code is the default.",
        ),
    ],
    ledger: Annotated[str, typer.Option("--ledger", metavar="NAME")],
    actor: Actor = "",
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Set what our codes are called in a ledger. Nothing is imported if a line is wrong; each wrong line is told."""
    with screen_for(as_json) as screen:
        from shared.events.commands import ImportMapping

        rows, wrong = _read_mapping(file)
        if wrong:
            message = "; ".join(wrong[:ERRORS_SHOWN]) + (
                f"; and {len(wrong) - ERRORS_SHOWN} more" if len(wrong) > ERRORS_SHOWN else ""
            )
            screen.refuse(
                "mapping_unreadable",
                message,
                "fix these lines and import the file again: nothing was imported",
                {"lines": wrong},
            )
        commands = [
            ImportMapping.model_validate(
                {**said_by(actor, reason), "ledger": ledger, "rows": rows[at : at + ROWS_AT_ONCE]}
            )
            for at in range(0, len(rows), ROWS_AT_ONCE)
        ]
        ask_all(screen, data, commands)


def _read_mapping(file: Path) -> tuple[list[dict[str, str]], list[str]]:
    """The rows, and what is wrong, line by line."""
    rows: list[dict[str, str]] = []
    wrong: list[str] = []
    seen: dict[tuple[str, str], int] = {}
    with file.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines)
        missing = {"what", "code", "remote"} - {
            (name or "").strip().lower() for name in reader.fieldnames or ()
        }
        if missing:
            return [], [f"line 1: the columns {', '.join(sorted(missing))} are missing"]
        for raw in reader:
            row = {
                (name or "").strip().lower(): (value or "").strip()
                for name, value in raw.items()
                if isinstance(value, str) or value is None
            }
            at = reader.line_num
            if row["what"] not in WHATS:
                wrong.append(f"line {at}: what is {row['what']!r}, not one of {', '.join(WHATS)}")
            elif not row["remote"]:
                wrong.append(
                    f"line {at}: remote is empty: say what {row['what']} {row['code']!r} is called in the ledger"
                )
            elif (row["what"], row["code"]) in seen:
                wrong.append(
                    f"line {at}: {row['what']} {row['code']!r} stands in line {seen[row['what'], row['code']]} already"
                )
            else:
                seen[row["what"], row["code"]] = at
                rows.append({name: row[name] for name in ("what", "code", "remote")})
    return rows, wrong or ([] if rows else ["the file holds no row"])


@batch_app.command("sync")
def sync(
    batch_id: Annotated[str, typer.Argument(metavar="ID")],
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until every document is delivered or refused.")
    ] = False,
    timeout: Timeout = LONG_SYNC_SECONDS,
    actor: Actor = "",
    reason: Reason = "",
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Deliver the documents of a batch to the accounting systems of its billing company. With --wait exit 1 if one is refused."""
    with screen_for(as_json) as screen:
        from services.console.client.batches import batch as batch_of
        from shared.events.commands import SyncBatch

        company = read_books(data, lambda connection: batch_of(connection, batch_id))[
            "billing_company"
        ]
        command = SyncBatch.model_validate(
            {**said_by(actor, reason), "billing_company": company, "batch_id": batch_id}
        )
        if not wait:
            ask(screen, data, command)
            return
        _accepted(screen, data, command)
        found = _waited(screen, data, batch_id, timeout)
        screen.document(found)
        screen.facts(found["deliveries"])
        if found["open"]:
            held_up = "; ".join(found["held_up"]) or "see `backoffice ledger status`"
            screen.no(
                "not_done",
                f"{found['open']} documents are still under way after {timeout:.0f} s",
                held_up,
            )
        if found["deliveries"].get("refused"):
            screen.no(
                "some_refused",
                f"{found['deliveries']['refused']} documents were refused",
                "see `backoffice deliveries list --state refused`",
            )


def _waited(screen: Screen, data: Path | None, batch_id: str, timeout: float) -> dict[str, Any]:
    from services.console.client.deliveries import batch_progress

    last, told = time.monotonic() + timeout, ""
    with screen.progress(f"delivering {batch_id}") as bar:
        while True:
            found = read_books(data, lambda connection: batch_progress(connection, batch_id))
            whole = sum(found["deliveries"].values())
            bar(whole - found["open"], whole)
            if not found["open"] or time.monotonic() > last:
                return dict(found)
            left = found["seconds_left"]
            words = "; ".join(found["held_up"]) or (
                f"{found['open']} to go, about {left // 60} min {left % 60} s" if left else ""
            )
            if found["held_up"] and words != told:
                screen.aside(words)
            told = words
            time.sleep(LOOK_SECONDS)
