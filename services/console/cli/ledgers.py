"""`backoffice ledger key|template|connect|test|status|disconnect` and `batch sync`: accounting
systems.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from services.console.actions.secrets import seal_settings
from services.console.cli import ledger_maps
from services.console.cli.batches import app as batch_app
from services.console.cli.command import ANSWER_SECONDS, Run, command
from services.console.cli.ledger_maps import tested
from services.console.cli.options import Company, read_json
from services.console.cli.output import Column
from services.console.columns.ledgers import SETTINGS, STATUS, setting_cells
from shared.terms import counted

STARTING_SECONDS = 10.0
"""How long `connect` waits for an arg_sync that has just been started for the first time."""
app = typer.Typer(help="Connections to accounting systems.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the connection.")]
WAITING = [
    Column("ledger"),
    Column("invoice_number", "number"),
    Column("waits_for", "waits for"),
    Column("waits", "why", most=400),
]
LONG_SYNC_SECONDS = 24 * 3600.0


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    app.add_typer(ledger_maps.app, name="map")
    backoffice.add_typer(app, name="ledger")


@command(app)
def key(
    run: Run,
    new: Annotated[
        Path | None,
        typer.Option(
            "--new",
            metavar="FILE",
            dir_okay=False,
            help="Make another private key in this file, after the loss of the first.",
        ),
    ] = None,
) -> None:
    """Show the public key with which secrets are sealed.

    arg_sync makes the key pair by itself; the private key is in its data folder (ledger-key.pem).
    """
    from services.console.queries.deliveries import sealing_key

    if new is not None:
        _make_key(run, new)
        return
    found = run.read(sealing_key)
    run.document({"key": found["public_key"], "key_id": found["key_id"]})
    run.facts(found)


@command(app, "rotate-key", sends=True, timeout=ANSWER_SECONDS)
def rotate_key(run: Run) -> None:
    """Replace the key with which secrets are sealed, and seal all stored secrets anew.

    What was sealed for the old key is accepted for seven more days. Give replicas of arg_sync that
    do not share the file a copy of the new one.
    """
    from services.console.queries.deliveries import sealing_key

    old = run.start("rotate-ledger-key")["key_id"]
    found = run.read_until(
        lambda now: now["key_id"] != old and not now["sealed_for_older"],
        lambda: run.read(sealing_key),
        run.timeout,
    )
    facts = {"key": found["public_key"], "key_id": found["key_id"], "replaces": old}
    run.document(facts | {"sealed_for_older": found["sealed_for_older"]})
    if found["key_id"] == old or found["sealed_for_older"]:
        message = f"the key {old} is not replaced everywhere within {run.timeout:.0f} s"
        run.no("no_answer", message, "arg_sync goes on; see `backoffice ledger key` and its log")
    run.say(f"the key {found['key_id']} replaces {old}; all stored secrets are sealed for it")


def _make_key(run: Run, file: Path) -> None:
    """Write a new private key; an existing file is refused and not changed."""
    from shared.sealing import make_private_key

    if file.exists():
        run.refuse("file_exists", f"{file} exists", "name a file that does not exist")
    make_private_key(file)
    run.document({"file": str(file)})
    run.say(
        f"{file}; put it into the data folder of every arg_sync as ledger-key.pem,"
        " then connect every ledger again with all secrets"
    )


@command(app)
def template(run: Run, kind: Annotated[str, typer.Argument(metavar="KIND")]) -> None:
    """Show the settings of a kind of ledger as a file to fill in, with explanations."""
    from services.console.queries.deliveries import kind as read_kind

    found = run.read(read_kind, kind)
    settings = found["settings"]
    needed = [each for each in settings if each["required"] or each["default"]]
    file = {each["name"]: each["default"] or "" for each in needed}
    about = {name: found[name] for name in ("title", "needs", "settings")}
    run.document({"kind": kind, **about, "file": file})
    run.say(f"{found['title']}. It needs: {found['needs']}")
    run.table([setting_cells(each) for each in settings], SETTINGS)
    run.say("settings file:", "bold")
    run.say(json.dumps(file, indent=2))


@command(app, sends=True)
def connect(
    run: Run,
    name: Name,
    kind: Annotated[
        str,
        typer.Option(
            "--kind",
            metavar="KIND",
            help="tryton, xero, quickbooks, business-central, netsuite, sage-intacct, webhook or"
            " file-drop.",
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
        bool, typer.Option("--auto-sync/--no-auto-sync", help="Deliver every batch at once.")
    ] = False,
) -> None:
    """Connect a billing company to its accounting system.

    Secrets are sealed before they leave this process; the file may be deleted.
    """
    from services.console.queries.deliveries import has_started, sealing_key
    from services.console.queries.deliveries import kind as read_kind

    run.read_until(bool, lambda: run.read(has_started), STARTING_SECONDS)
    described = run.read(read_kind, kind)["settings"]
    public_key = run.read(sealing_key)["public_key"]
    run.send(
        "connect-ledger",
        ledger=name,
        kind=kind,
        billing_company=billing_company,
        auto_sync=auto_sync,
        **sealed_settings(settings, name, kind, described, public_key),
    )


def sealed_settings(
    file: Path, ledger: str, kind: str, described: list[dict[str, Any]], public_key: str
) -> dict[str, Any]:
    """The settings of a file as the command carries them: the secrets among them sealed.

    They are sealed for this connection, its kind, and the address and account of the same file.
    """
    read = read_json(file, "--settings")
    if not isinstance(read, dict) or any(isinstance(value, dict | list) for value in read.values()):
        raise typer.BadParameter(
            f"{file} must hold one object of plain values", param_hint="--settings"
        )
    texts = {
        name: "" if value is None else value if isinstance(value, str) else json.dumps(value)
        for name, value in read.items()
    }
    for name in {each["name"] for each in described if each.get("from_file")} & set(texts):
        texts[name] = _text_of(file, name, texts[name])
    return seal_settings(texts, ledger, kind, described, public_key)


def _text_of(settings: Path, name: str, value: str) -> str:
    """The text of a setting that may name a file, relative to the settings file.

    A value with a space or a line end is the text itself: a column file or a key has them.
    """
    if not value or len(value.split()) > 1:
        return value
    path = settings.parent / value
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise typer.BadParameter(
            f"{name}: {path} cannot be read: {reason}", param_hint="--settings"
        ) from error


@command(app, "test", sends=True, timeout=ANSWER_SECONDS)
def check(run: Run, name: Name) -> None:
    """Test a connection and its mapping. A stopped connection resumes if the test succeeds.

    The problems of the mapping are listed; `ledger map check` ends with exit 1 for them.
    """
    tested(run, name)


@command(app)
def status(
    run: Run,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", show_default=False)] = None,
) -> None:
    """Show connections: their state, and how many documents are delivered, under way and
    refused.
    """
    from services.console.columns.ledgers import status_cells
    from services.console.queries.deliveries import ledgers

    found = run.read(ledgers, name)
    run.document({"ledgers": found})
    rows = [status_cells(row) for row in found]
    run.table(rows, STATUS, empty="no ledger is connected: backoffice ledger connect NAME ...")
    if name is not None:
        (one,) = found
        tested = {"tested at": one["checked_at"], "result": one["check_message"]}
        run.facts({"settings": one["settings"], **tested})


@command(app, sends=True)
def disconnect(run: Run, name: Name) -> None:
    """End a connection: nothing more is sent, its secrets are deleted, past deliveries stay
    known.
    """
    run.send("disconnect-ledger", ledger=name)


@command(batch_app, "sync", sends=True, timeout=LONG_SYNC_SECONDS)
def sync(
    run: Run,
    batch_id: Annotated[str, typer.Argument(metavar="ID")],
    wait: Annotated[
        bool,
        typer.Option(
            "--wait",
            help="Wait until every document is delivered or refused, or waits for a person.",
        ),
    ] = False,
    unapplied: Annotated[
        bool,
        typer.Option(
            "--unapplied", help="Post credit notes although their invoices are not in the ledger."
        ),
    ] = False,
) -> None:
    """Deliver the documents of a batch to the accounting systems of its billing company.

    With --wait: exit 1 if a document is refused or waits for a person; each is named with why.
    """
    from services.console.queries.batches import batch

    company = run.read(batch, batch_id)["billing_company"]
    which = {"billing_company": company, "batch_id": batch_id, "unapplied": unapplied}
    if not wait:
        run.send("sync-batch", timeout=ANSWER_SECONDS, **which)
        return
    run.start("sync-batch", **which)
    found = _wait_for_deliveries(run, batch_id)
    run.document(found)
    run.facts(found["deliveries"])
    refused = found["deliveries"].get("refused")
    if found["open"] and found["open"] == found["need_person"]:
        run.table(found["waiting"], WAITING, title="these wait for a person")
        also = f", and {refused} were refused" if refused else ""
        run.no(
            "waits_for_a_person",
            f"{counted(found['open'], 'document')} cannot go on without a person{also}: "
            + "; ".join(f"{one['invoice_number']}: {one['waits']}" for one in found["waiting"][:3]),
            "see `backoffice deliveries list --state refused` and `backoffice ledger status`;"
            " a credit note whose invoice is not in the ledger: add --unapplied",
        )
    if found["open"]:
        run.no(
            "not_done",
            f"{found['open']} documents are still under way after {run.timeout:.0f} s",
            "; ".join(found["held_up"]) or "see `backoffice ledger status`",
        )
    if refused:
        run.no(
            "some_refused",
            f"{refused} documents were refused",
            "see `backoffice deliveries list --state refused`",
        )


def _wait_for_deliveries(run: Run, batch_id: str) -> dict[str, Any]:
    """The progress of a batch when its deliveries ended or the time is over."""
    from services.console.queries.deliveries import batch_progress

    reported = ""
    with run.progress(f"delivering {batch_id}") as bar:

        def read() -> dict[str, Any]:
            nonlocal reported
            found = run.read(batch_progress, batch_id)
            total, held_up = sum(found["deliveries"].values()), "; ".join(found["held_up"])
            bar(total - found["open"], total)
            if held_up and held_up != reported and found["open"]:
                run.aside(held_up)
            reported = held_up
            return found

        return run.read_until(
            lambda found: found["open"] == found["need_person"], read, run.timeout
        )
