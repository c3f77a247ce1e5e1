"""Monitoring: lag of each consumer group, workers, what waits, and the checks of the data."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, JSONResponse, Response

from services.console.actions.verification import MAY_VERIFY
from services.console.columns import Column
from services.console.columns.invoices import SERIES
from services.console.columns.monitoring import (
    OFFENDERS,
    SERVICES,
    STOPPED,
    UNDELIVERED,
    WATERMARKS,
    WORKERS,
)
from services.console.queries import monitoring as queries
from services.console.queries import worker_pages
from services.console.queries.consumers import stopped_partitions
from services.console.queries.invoices import gap_certificate
from services.console.web.pages import OpenPage, Page, Screen
from shared.errors import Refused, Unavailable

SCREEN = Screen("Monitoring", "/monitoring")
router = APIRouter()
POINTS_OF_A_ROW, POINTS_OF_THE_CHART = 60, 240
SPARK_WIDTH, SPARK_HEIGHT = 120, 22
MOST_OFFENDERS = 20
CERTIFICATE = [Column("billing_company"), *SERIES]


@router.get("/monitoring")
async def monitoring(page: OpenPage) -> HTMLResponse:
    """The page; htmx asks for its live part again every three seconds."""
    values = await _live(page)
    if page.request.headers.get("HX-Request"):
        return page.show("monitoring/page.html", "live", **values)
    async with page.snapshot() as connection:
        certificate = [
            {"billing_company": company, **row}
            for company in page.companies
            for row in await gap_certificate(connection, company)
        ]
    return page.show(
        "monitoring/page.html",
        certificate=certificate,
        certificate_columns=CERTIFICATE,
        **values,
        **_checks(page),
    )


@router.get("/monitoring/lag")
async def lag(page: OpenPage) -> JSONResponse:
    """The last hour of one group (`?group=`), or of all together, for the chart."""
    group = page.query("group")
    found = await worker_pages.lag(POINTS_OF_THE_CHART, group)
    one = queries.lag_in_all(found) if group is None else next(iter(found["groups"]), None)
    if one is None:
        raise Refused("unknown_group", f"there is no consumer group {group}", "choose one")
    return JSONResponse({"times": found["times"], "history": one["history"]})


@router.get("/monitoring/verify")
async def checks(page: OpenPage) -> HTMLResponse:
    """How far the checks of the data are."""
    block = "checks" if page.request.headers.get("HX-Request") else None
    if block is None:
        return await monitoring(page)
    return page.show("monitoring/page.html", block, **_checks(page))


@router.post("/monitoring/verify")
async def run_checks(page: OpenPage) -> Response:
    """Start the checks of the data."""
    if not page.identity.has(*MAY_VERIFY):
        raise Refused(
            "not_permitted",
            "your role may not run the checks of the data",
            f"ask a {' or '.join(MAY_VERIFY)}",
        )
    page.console.verification.start(page.identity.person)
    return page.redirect("/monitoring")


async def _live(page: Page) -> dict[str, Any]:
    """What changes from moment to moment."""
    workers, lag, read = await asyncio.gather(worker_pages.workers(), _lag(page), _from_views(page))
    return {
        "workers": workers,
        "worker_columns": WORKERS,
        "service_columns": SERVICES,
        "stopped_columns": STOPPED,
        "undelivered_columns": UNDELIVERED,
        "watermark_columns": WATERMARKS,
        "group": page.query("group"),
        "duration": queries.duration,
        "rate": _rate,
        "stopped_links": {"topic": lambda _: page.link("/inbox")},
        **lag,
        **read,
    }


async def _lag(page: Page) -> dict[str, Any]:
    try:
        found = await worker_pages.lag(POINTS_OF_A_ROW)
    except Unavailable as error:
        return {"groups": [], "lag": None, "lag_failure": error.message}
    groups = [_group(each) for each in found["groups"]]
    groups.sort(key=lambda each: (-(each["behind"] or 0), each["group"]))
    return {
        "groups": groups,
        "lag": queries.lag_in_all(found),
        "lag_failure": found["failure"],
        "read_at": _instant(found["at"]),
        "known_since": _instant(found["known_since"]),
        "exporter_started": _instant(found["started_at"]),
    }


async def _from_views(page: Page) -> dict[str, Any]:
    async with page.snapshot() as connection:
        services = await queries.services_in_brief(connection)
        stopped = await stopped_partitions(connection)
        undelivered = await queries.oldest_undelivered(connection)
        watermarks = await queries.watermarks(connection)
    sees = page.identity.sees
    return {
        "services": services,
        "stopped": stopped,
        "undelivered": [row for row in undelivered if sees(row["billing_company"] or "")],
        "watermarks": [row for row in watermarks if sees(row["billing_company"])],
    }


def _group(each: dict[str, Any]) -> dict[str, Any]:
    """A group as its row shows it: its state in words, its age, and its hour as a picture."""
    behind, members = each["behind"], each["members"]
    if behind is None:
        state = "not known"
    elif members == 0:
        state = "no member reads"
    else:
        state = f"{behind:,} to read" if behind else "at the end"
    return each | {
        "state": state,
        "bad": bool(behind and members == 0),
        "age": queries.duration(each["seconds"]) if behind else "",
        "picture": _spark(each["history"]["behind"]),
    }


def _rate(value: float | None) -> str:
    """Records a second, with one digit while there are few."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _spark(values: Sequence[float | None]) -> list[str]:
    """The points of the lines of a small chart; a line ends where nothing is known."""
    top = max((value for value in values if value is not None), default=0) or 1
    step = SPARK_WIDTH / max(1, len(values) - 1)
    lines: list[list[str]] = [[]]
    for number, value in enumerate(values):
        if value is None:
            lines.append([])
            continue
        height = SPARK_HEIGHT - 1 - (SPARK_HEIGHT - 2) * value / top
        lines[-1].append(f"{number * step:.1f},{height:.1f}")
    return [" ".join(line) for line in lines if line]


def _checks(page: Page) -> dict[str, Any]:
    run = page.console.verification.last
    report = run.report if run else None
    faults = [
        {
            "fault": fault,
            "offenders": [
                {"id": one.id, "detail": one.detail} for one in fault.offenders[:MOST_OFFENDERS]
            ],
        }
        for fault in (report.faults if report else ())
    ]
    return {
        "run": run,
        "running": page.console.verification.runs,
        "faults": faults,
        "offender_columns": OFFENDERS,
        "may_verify": page.identity.has(*MAY_VERIFY),
        "who_verifies": " or ".join(MAY_VERIFY),
    }


def _instant(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
