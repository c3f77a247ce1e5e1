"""What arg_sync shows of the connections of a billing company and of their mappings, and what the selected lines need of them."""

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.rules.ledgers import LedgerConnection, SoldItem
from shared.database import rows

LEDGERS = """
SELECT ledger, state, coalesce(open_until > clock_timestamp(), false) AS resting, check_outcome = 'failed' AS check_failed,
  CASE WHEN state <> 'connected' THEN message WHEN open_until > clock_timestamp() THEN circuit_message
       WHEN check_outcome = 'failed' THEN check_message ELSE '' END AS message
FROM arg_sync.connection_health WHERE billing_company = :company ORDER BY ledger"""
SOLD = """
SELECT DISTINCT p.line_kind, p.item_id, p.time_type, k.tax_code, k.tax_rate
FROM selected_line k JOIN invoicer.pay_line p USING (pay_line_id) WHERE k.exclusion_reason = 0"""


async def ledgers_of(connection: AsyncConnection, billing_company: str) -> list[LedgerConnection]:
    """The connections of a billing company, ended ones too."""
    return [
        LedgerConnection(*row) for row in await rows(connection, LEDGERS, company=billing_company)
    ]


async def codes_of(connection: AsyncConnection, ledger: str) -> frozenset[tuple[str, str]]:
    """The codes that a mapping has, but for debtors and terms, which need none."""
    found = await rows(
        connection,
        "SELECT what, code FROM arg_sync.mapped_code WHERE ledger = :ledger AND what IN ('account', 'item', 'tax')",
        ledger=ledger,
    )
    return frozenset((row.what, row.code) for row in found)


async def sold(connection: AsyncConnection) -> list[SoldItem]:
    """What the lines of the batch that is being built sell, each combination once."""
    return [SoldItem(*row) for row in await rows(connection, SOLD)]
