"""The command `backoffice`: what operators and engineers type.

A module is imported when one of its commands is called, and does not import Kafka and database
clients before that command needs them: most of a short command's time goes into imports.
"""

import importlib
import os
import sys
from functools import cache

import typer

from services.console.cli.visible import Program, run
from shared.settings import PRIVATE_UMASK

MODULES = {
    "running": ("up", "down", "status", "lag", "verify"),
    "companies": ("billing-company",),
    "catalog": ("catalog",),
    "charges": ("charges",),
    "taxes": ("tax",),
    "assignments": ("assignments",),
    "retainers": ("retainers",),
    "engagements": ("engagements", "suppliers"),
    "self_billing": ("suppliers",),
    "templates": ("template",),
    "layouts": ("layouts",),
    "opening": ("opening", "export"),
    "time_groups": ("time-groups",),
    "debtor_terms": ("debtor-terms",),
    "invoice_options": ("options", "grouping"),
    "fees": ("fees",),
    "workflows": ("workflows",),
    "drafts": ("drafts",),
    "approvals": ("drafts",),
    "importing": ("import",),
    "documents": ("documents", "publish", "republish"),
    "lines": ("pay-lines", "health-check"),
    "batches": ("batch",),
    "parked": ("batch",),
    "what_if": ("batch",),
    "rates": ("rates",),
    "groups": ("batch",),
    "invoices": ("invoices", "numbers"),
    "credits": ("credit",),
    "payments": ("payments",),
    "disputes": ("disputes",),
    "ageing": ("invoices",),
    "reports": ("reports",),
    "explaining": ("why", "why-not", "history"),
    "dead_letters": ("dead-letters",),
    "consumers": ("consumers",),
    "forgetting": ("forget",),
    "ledgers": ("ledger", "batch"),
    "polling": ("ledger",),
    "deliveries": ("deliveries",),
    "sending": ("send",),
    "reminders": ("reminders",),
    "reconcile": ("reconcile",),
    "access": ("people", "keys"),
    "web_console": ("console",),
    "demo": ("demo",),
}
"""Each module in the order of the help, and the commands and groups that it has a part in."""


@cache
def application(command: str = "") -> typer.Typer:
    """The program with one command or group; with all if there is none of that name."""
    app = typer.Typer(
        name="backoffice",
        cls=Program,
        help="The staffing back office: from timesheets and placements to closed invoices.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(_whole)  # a program of one command would take that command for itself
    wanted = [module for module, names in MODULES.items() if command in names]
    for module in wanted or MODULES:
        importlib.import_module(f"{__name__}.{module}").register(app)
    return app


def _whole() -> None:
    """The staffing back office: from timesheets and placements to closed invoices."""


def main() -> None:
    """Entry point of the script `backoffice`; what it writes, only its user can read."""
    os.umask(PRIVATE_UMASK)
    run(application(*sys.argv[1:2]))
