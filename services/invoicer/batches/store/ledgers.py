"""Reads arg_sync's views of ledger connections and mappings, and what the selected lines sell."""

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.batches.rules.ledgers import LedgerConnection, SoldItem, UnusableCode
from services.invoicer.fees.rules import ITEM_ID
from shared.database import rows

CONNECTIONS_SQL = """
SELECT ledger, state, coalesce(open_until > clock_timestamp(), false) AS circuit_open,
       check_outcome = 'failed' AS check_failed,
       CASE WHEN state <> 'connected' THEN message
            WHEN open_until > clock_timestamp() THEN circuit_message
            WHEN check_outcome = 'failed' THEN check_message ELSE '' END AS message,
       tax_basis, line_code, maps_codes
FROM arg_sync.connection_health WHERE billing_company = :company ORDER BY ledger"""


async def ledgers_of(connection: AsyncConnection, billing_company: str) -> list[LedgerConnection]:
    """Return the ledger connections of a billing company, also the disconnected ones."""
    found = await rows(connection, CONNECTIONS_SQL, company=billing_company)
    return [LedgerConnection(*row) for row in found]


async def codes_of(connection: AsyncConnection, ledger: str) -> frozenset[tuple[str, str]]:
    """Return the mapped codes of accounts, items, taxes and terms; debtors need none."""
    found = await rows(
        connection,
        "SELECT what, code FROM arg_sync.mapped_code"
        " WHERE ledger = :ledger AND what IN ('account', 'item', 'tax', 'term')",
        ledger=ledger,
    )
    return frozenset((row.what, row.code) for row in found)


async def unusable_codes(connection: AsyncConnection, ledger: str) -> list[UnusableCode]:
    """Return the codes that the last test of the connection did not find usable."""
    found = await rows(
        connection,
        "SELECT what, code, message FROM arg_sync.unusable_code WHERE ledger = :ledger",
        ledger=ledger,
    )
    return [UnusableCode(*row) for row in found]


async def sold_items(connection: AsyncConnection) -> list[SoldItem]:
    """Return what the lines of the batch sell, each combination once."""
    found = await rows(
        connection,
        "SELECT DISTINCT p.line_kind, p.item_id, p.time_type, k.tax_code, k.tax_rate"
        " FROM selected_line k JOIN invoicer.pay_line p USING (pay_line_id)"
        " WHERE k.exclusion_reason = 0"
        " UNION SELECT 'product', :fee, '', tax_code, tax_rate FROM selected_line"
        " WHERE exclusion_reason = 0 AND pay_line_id < 0",
        fee=ITEM_ID,
    )
    return [SoldItem(*row) for row in found]
