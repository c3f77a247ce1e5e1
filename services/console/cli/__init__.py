"""The command `backoffice`: what operators and engineers type. One module a noun; each command reads a view or sends a command.

Modules here import little at the top: `backoffice --help` must not wait for Kafka and database clients that it does not need.
"""

import importlib

import typer

MODULES = (
    "running",
    "companies",
    "time_groups",
    "debtor_terms",
    "importing",
    "documents",
    "lines",
    "batches",
    "parked",
    "what_if",
    "rates",
    "groups",
    "invoices",
    "credits",
    "ageing",
    "explaining",
    "dead_letters",
    "ledgers",
    "deliveries",
    "reconcile",
    "demo",
)

app = typer.Typer(
    name="backoffice",
    help="The staffing back office: from timesheets and placements to closed invoices.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

for module in MODULES:
    importlib.import_module(f"{__name__}.{module}").register(app)


def main() -> None:
    """Entry point of the script `backoffice`."""
    app()
