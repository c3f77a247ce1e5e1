"""`backoffice forget worker`: remove names and contact data of a person."""

from typing import Annotated, get_args

import typer

from services.console.cli.command import Run, command

app = typer.Typer(help="Remove personal data.", no_args_is_help=True)


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(app, name="forget")


@command(app, sends=True)
def worker(run: Run, worker_id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Remove what is kept of a worker beyond the id, in every service; needs --reason.

    Amounts and closed documents stay as they are; views and files show a pseudonym in place of the
    id. A message that arrives again later brings nothing back. May be repeated.
    """
    from shared.events.commands import ServiceName

    run.send_each(
        [
            run.new_command("forget-worker", service=service, worker_id=worker_id)
            for service in get_args(ServiceName)
        ]
    )
