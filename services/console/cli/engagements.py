"""`backoffice engagements list|show` and `suppliers list`: what billing items hang on."""

from typing import Annotated

import typer

from services.console.cli.command import Run, command
from services.console.cli.options import Limit, option
from services.console.cli.output import Column
from services.console.columns.engagements import ENGAGEMENTS, SUPPLIERS, TERMS, visible_to

app = typer.Typer(
    help="Engagements: one worker or piece of work of one supplier at a client.",
    no_args_is_help=True,
)
suppliers_app = typer.Typer(
    help="Suppliers: the staffing firms that provide workers.", no_args_is_help=True
)
PLACEMENTS = [
    Column("placement_id", "placement"),
    Column("requirement_id", "requirement"),
    Column("worker_id", "worker"),
    Column("start_date", "from"),
    Column("end_date", "until"),
    Column("named", "names it"),
]


def register(backoffice: typer.Typer) -> None:
    """Adds these commands to `backoffice`."""
    backoffice.add_typer(app, name="engagements")
    backoffice.add_typer(suppliers_app, name="suppliers")


@command(app, "list")
def list_engagements(
    run: Run,
    supplier: Annotated[str | None, option("Only those of this supplier.", metavar="ID")] = None,
    limit: Limit = 100,
) -> None:
    """List the engagements that the ATS has sent, with their newest terms."""
    from services.console.queries.engagements import engagements

    rows, total = run.read(engagements, supplier, limit)
    shown = [row | {"visible": visible_to(row["billing_filter"])} for row in rows]
    run.page(
        "engagements",
        shown if not run.as_json else rows,
        total,
        ENGAGEMENTS,
        "no engagement: the ATS sends them on engagement-changed",
    )


@command(app)
def show(
    run: Run, engagement: Annotated[str, typer.Argument(metavar="ID", help="The engagement.")]
) -> None:
    """Show an engagement: its terms from each date on, its custom fields and its placements."""
    from services.console.queries.engagements import engagement as engagement_of

    found = run.read(engagement_of, engagement)
    if found is None:
        run.refuse(
            "unknown_engagement",
            f"the ATS has not sent the engagement {engagement}",
            "see `backoffice engagements list`; documents that name it wait: see"
            " `backoffice documents held`",
        )
    run.document(found)
    run.facts({name: found[name] for name in _FACTS})
    run.facts(found["custom"])
    terms = [
        {"invoice_option": "", "needs_transfer": False, "supplier_option": ""}
        | each
        | {
            "visible": visible_to(each.get("billing_filter", [])),
            "pays": ", ".join(
                f"{rate['time_type']} {rate['pay_rate']}" for rate in each.get("supplier_rates", ())
            ),
        }
        for each in found["terms"]
    ]
    run.table(terms, TERMS, empty="no terms: its items go to the default option, all see them")
    run.table(found["placements"], PLACEMENTS, empty="no placement has it")


_FACTS = (
    "engagement_id", "revision", "request_type", "supplier_id", "client_country", "location",
    "department", "closed",
)  # fmt: skip


@command(suppliers_app, "list")
def list_suppliers(run: Run, limit: Limit = 100) -> None:
    """List the suppliers that the ATS has sent."""
    from services.console.queries.engagements import suppliers

    found = run.read(suppliers, limit)
    run.page("suppliers", *found, SUPPLIERS, "no supplier: the ATS sends them on supplier-changed")
