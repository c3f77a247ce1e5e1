"""Partitions that a consumer does not read on, of every service."""

from services.console.queries.dead_letters import SERVICES
from services.console.queries.snapshot import ReadConnection, Row, fetch


async def stopped_partitions(connection: ReadConnection) -> list[Row]:
    """Stopped partitions in order of service, topic and partition."""
    found: list[Row] = []
    for name in SERVICES:
        found += await fetch(
            connection,
            f"SELECT '{name}' AS service, topic, partition_no AS partition,"
            " record_offset AS offset, following_offset AS following, code, message, stopped_at,"
            f" continue_at FROM {name}.console_stopped_partition ORDER BY topic, partition_no",
        )
    return found
