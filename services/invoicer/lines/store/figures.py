"""Figures for the metrics: open lines by status, pending amounts, closed documents."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import rows, run
from shared.sql import named_queries

_QUERIES = named_queries(Path(__file__).with_suffix(".sql"))


async def zones(connection: AsyncConnection) -> dict[str, str]:
    """Return the time zone of each billing company."""
    query = "SELECT billing_company, time_zone FROM fee_realizer.billing_company_settings"
    return {row.billing_company: row.time_zone for row in await rows(connection, query)}


async def open_figures(
    connection: AsyncConnection, days: Mapping[str, date], default_day: date
) -> list[Any]:
    """Count and sum the open lines: rows of company, line kind, currency, status, count, amount.

    `days`: today of each billing company; `default_day`: today of the companies without settings.
    """
    # One process only: a metric takes no processor from a batch.
    await run(connection, "SET LOCAL max_parallel_workers_per_gather = 0")
    return await rows(
        connection,
        _QUERIES["open_figures"],
        companies=list(days),
        days=list(days.values()),
        default_day=default_day,
    )


async def document_figures(connection: AsyncConnection) -> list[Any]:
    """Count the closed documents: rows of billing company, document type and number."""
    query = """
        SELECT billing_company, document_type, count(*) AS documents
        FROM invoicer.invoice GROUP BY 1, 2"""
    return await rows(connection, query)
