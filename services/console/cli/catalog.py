"""`backoffice catalog set|import|list|tree`: what is sold besides time."""

from pathlib import Path
from typing import Annotated, Any

import typer

from services.console.cli.command import Run, command
from services.console.cli.command_lines import send_lines
from services.console.cli.options import Check, file_argument, must_be_one_of, option, read_json
from services.console.columns.catalog import CATALOG, LEVELS, price_of

app = typer.Typer(help="Products and services.", no_args_is_help=True)
KINDS = ("placement", "non-placement")
Class = Annotated[str | None, option("Only this class.", "--class", metavar="C")]
Family = Annotated[str | None, option("Only this family.", metavar="F")]
Kind = Annotated[str | None, option("Only products of this kind.", metavar="|".join(KINDS))]


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(app, name="catalog")


@command(app, "set", sends=True)
def set_catalog(
    run: Run, file: Annotated[Path, file_argument("One item, or a list of items.", "FILE.json")]
) -> None:
    """Create or change catalog items from a JSON file (fields as in the command
    set-catalog-item).
    """
    read = read_json(file)
    items = read if isinstance(read, list) else [read]
    fields = [item if isinstance(item, dict) else {} for item in items]
    run.send_each([run.new_command("set-catalog-item", **each) for each in fields])


@command(app, "import", sends=True)
def import_catalog(
    run: Run,
    file: Annotated[
        Path, file_argument("Columns as in `backoffice template catalog`.", "FILE.csv")
    ],
    check: Check = False,
) -> None:
    """Create or change catalog items from a CSV file. If a line is wrong, nothing is sent."""
    from services.console.importing.catalog import read_catalog

    send_lines(run, file, *read_catalog(file, run.new_command), check=check)


@command(app, "list")
def list_catalog(
    run: Run, item_class: Class = None, family: Family = None, kind: Kind = None
) -> None:
    """List products and services."""
    items = _items(run, item_class, family, kind)
    run.document({"catalog": items})
    run.table(items, CATALOG, empty="no item: backoffice catalog import FILE.csv")


@command(app, "tree")
def show_tree(run: Run, item_class: Class = None, family: Family = None, kind: Kind = None) -> None:
    """Show the catalog as a tree: class, family, variant, items."""
    items = _items(run, item_class, family, kind)
    tree: dict[str, Any] = {}
    for item in items:
        branch = tree
        for level in LEVELS:
            branch = branch.setdefault(item[level], {})
        branch[item["item_id"]] = item
    run.document({"tree": tree})
    shown: tuple[str, ...] = ()
    for item in items:
        path = tuple(item[level] for level in LEVELS)
        for depth, name in enumerate(path):
            if name and path[: depth + 1] != shown[: depth + 1]:
                run.say("  " * depth + name)
        shown = path
        run.say(
            "  " * sum(map(bool, path)) + f"{item['item_id']}: {item['name']}, {price_of(item)}"
        )
    if not items:
        run.say("no item: backoffice catalog import FILE.csv")


def _items(
    run: Run, item_class: str | None, family: str | None, kind: str | None
) -> list[dict[str, Any]]:
    from services.console.queries.companies import catalog

    must_be_one_of(KINDS, kind, "--kind")
    return run.read(catalog, item_class, family, kind)
