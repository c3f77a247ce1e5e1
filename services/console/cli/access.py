"""`backoffice people set|list` and `keys add|list|rotate|disable`: who may send commands."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.console.cli.command import Run, command
from services.console.cli.options import option
from services.console.columns.access import KEYS, PEOPLE

if TYPE_CHECKING:
    from shared.signing import Signer

people_app = typer.Typer(help="People who may send commands.", no_args_is_help=True)
keys_app = typer.Typer(help="Keys with which programs sign commands.", no_args_is_help=True)
KEYS_FOLDER = "keys"
Program = Annotated[str, typer.Argument(metavar="NAME", help="Name of the program.")]
Roles = Annotated[
    list[str] | None,
    option(
        "A role: viewer, clerk, manager, approver, controller or admin. ROLE:COMPANY limits this"
        " one to a billing company. May be repeated.",
        "--role",
        metavar="ROLE[:COMPANY]",
    ),
]
Companies = Annotated[
    list[str] | None,
    option(
        "Limits the roles that name no company themselves to this billing company; may be"
        " repeated.",
        "--billing-company",
        metavar="ID",
    ),
]
KeyFile = Annotated[
    Path | None,
    option(
        "Where the private key is written (default: keys/NAME.jwk in the data folder).",
        "--file",
        metavar="FILE",
    ),
]


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(people_app, name="people")
    backoffice.add_typer(keys_app, name="keys")


def grants(roles: list[str] | None, companies: list[str] | None) -> list[dict[str, Any]]:
    """The roles of a command, each with its billing companies; none: all of them."""
    found = [(role, company) for role, _, company in (text.partition(":") for text in roles or [])]
    return [
        {"role": role, "billing_companies": [company] if company else companies or []}
        for role, company in found
    ]


@command(people_app, "set", sends=True)
def set_person(
    run: Run,
    person: Annotated[
        str, typer.Argument(metavar="PERSON", help="As in commands: login name or e-mail address.")
    ],
    role: Roles = None,
    billing_company: Companies = None,
    name: Annotated[str | None, option("The name of the person.", metavar="TEXT")] = None,
    disabled: Annotated[
        bool, typer.Option("--disabled", help="Take every right away; the roles stay on record.")
    ] = False,
) -> None:
    """Add a person or change one. The roles given replace the earlier ones."""
    run.send(
        "set-person",
        show=run.facts,
        person=person,
        name=name,
        roles=grants(role, billing_company),
        enabled=not disabled,
    )


@command(people_app, "list")
def list_people(run: Run) -> None:
    """List people and their roles."""
    from services.console.queries.access import people

    found = run.read(people)
    run.document({"people": found})
    run.table(found, PEOPLE)
    if not found:
        run.say("no person is known; add one with `backoffice people set`")


@command(keys_app, sends=True)
def add(
    run: Run,
    name: Program,
    role: Roles = None,
    billing_company: Companies = None,
    asserts_actors: Annotated[
        bool,
        typer.Option(
            "--asserts-actors",
            help="Its signatures may name people as actors, whose own roles count: for a console"
            " that knows who signed in.",
        ),
    ] = False,
    file: KeyFile = None,
) -> None:
    """Add a program: make its key pair, write the private key (mode 0600), send the public one."""
    signer = _new_signer(run, name, asserts_actors=asserts_actors)
    roles = grants(role, billing_company)
    _send_with_key(run, signer, file, "add-key", roles=roles, asserts_actors=asserts_actors)


@command(keys_app, "list")
def list_keys(run: Run) -> None:
    """List programs, their keys and their roles."""
    from services.console.queries.access import keys

    found = run.read(keys)
    run.document({"keys": found})
    run.table(found, KEYS)
    if not found:
        run.say("no program has a key; add one with `backoffice keys add`")


@command(keys_app, sends=True)
def rotate(
    run: Run,
    name: Program,
    keep_old_hours: Annotated[
        int,
        typer.Option(
            "--keep-old-hours", min=0, metavar="N", help="How long the old key stays valid."
        ),
    ] = 0,
    file: KeyFile = None,
) -> None:
    """Give a program a new key and write it to a new file; the old key ends."""
    from services.console.queries.access import keys

    asserts = any(row["asserts_actors"] for row in run.read(keys) if row["program"] == name)
    signer = _new_signer(run, name, asserts_actors=asserts)
    _send_with_key(run, signer, file, "rotate-key", keep_old_hours=keep_old_hours)


@command(keys_app, sends=True)
def disable(
    run: Run,
    name: Program,
    key: Annotated[
        str | None, option("Only this key (default: all of the program).", metavar="ID")
    ] = None,
) -> None:
    """Disable the keys of a program. Needs --reason. What they signed and waits is refused."""
    run.send("disable-key", show=run.facts, program=name, key_id=key)


def _new_signer(run: Run, program: str, *, asserts_actors: bool) -> "Signer":
    from services.console.queries.access import audience
    from shared.signing import Signer

    return Signer.new(program, run.read(audience), asserts_actors=asserts_actors)


def _send_with_key(run: Run, signer: "Signer", file: Path | None, name: str, **fields: Any) -> None:
    """Writes the private key, then sends the public one; a refusal removes the file again.

    If no result comes in time the file stays: the command may still be carried out.
    """
    from services.console.addresses import data_folder

    path = file or _unused(data_folder(run.data) / KEYS_FOLDER, signer.program, signer.key_id)
    command = run.new_command(name, program=signer.program, public_key=signer.public_key, **fields)
    signer.save(path)
    (result,) = run.send_all([command])
    if result.outcome == "refused":
        path.unlink()
    run.show_results([result], file=str(path), key_id=signer.key_id)
    run.say(f"the private key is {path}; to sign with it: export BACKOFFICE_KEY_FILE={path}")


def _unused(folder: Path, program: str, key_id: str) -> Path:
    """The file of a new key: named after its program, and after the key if that name is in use."""
    stem = re.sub(r"[^A-Za-z0-9._@-]", "_", program)
    path = folder / f"{stem}.jwk"
    return folder / f"{stem}.{key_id[:8]}.jwk" if path.exists() else path
