"""The first schema: roles, four service schemas, views."""

from pathlib import Path

from alembic import op
from sqlalchemy import text
from sqlalchemy.util import await_only

revision = "0001_20261122"
down_revision = None

FILES = (
    "01_roles",
    "02_fee_realizer",
    "03_scheduler",
    "04_invoicer",
    "05_invoicer_views",
    "14_disputes",
    "06_arg_sync",
    "07_console_views",
    "08_drafts",
    "09_approvals",
    "13_self_billing",
    "12_fees",
    "90_readers",
)


def upgrade() -> None:
    """Run the SQL files in order, inside the migration's transaction."""
    bind = op.get_bind()
    bind.execute(
        text("SELECT 1")
    )  # the driver's transaction starts with the first statement; a script must be inside it
    for name in FILES:
        script = (Path(__file__).parent.parent / "sql" / f"{name}.sql").read_text(encoding="utf-8")
        await_only(bind.connection.driver_connection.execute(script))  # type: ignore[union-attr]


def downgrade() -> None:
    """Drop the schemas with all data: for development only."""
    for schema in ("invoicer", "scheduler", "arg_sync", "fee_realizer"):
        op.get_bind().execute(text(f"DROP SCHEMA {schema} CASCADE"))
