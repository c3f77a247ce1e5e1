"""The command set-billing-company, and the date that the workers use as today."""

import asyncio
import base64
from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.companies import store
from services.fee_realizer.facts.store import queue_company
from shared import faults
from shared.clock import date_in_place_of_today
from shared.consumer.commands import Answer
from shared.consumer.records import Applied
from shared.consumer.unit_of_work import BackgroundJob
from shared.database import lock_companies
from shared.errors import Refused
from shared.events.commands import SetBillingCompany
from shared.render.pdf import check_logo
from shared.terms import is_agreement

# Settings that decide whether the documents of the billing company are held.
PRICING_SETTINGS = ("approval_level", "enabled", "go_live")
# Settings that decide how the time of a week is divided into lines, if tax follows the work date.
TAX_SETTINGS = ("tax_date", "default_tax", "taxes")
# Settings with another name in the command.
COMMAND_FIELDS = {"approval_level": "gate"}


async def on_set_billing_company(connection: AsyncConnection, command: SetBillingCompany) -> Answer:
    """Create or change a billing company under its exclusive lock and queue its documents."""
    company = command.billing_company
    await lock_companies(connection, [company], exclusive=True)
    before = await store.lock_company(connection, company)
    await faults.point("after_locks")
    if is_agreement(company) and not before["known"]:
        raise Refused(
            "reserved_character",
            f"{company} would be a self-billing agreement: its id has an @",
            "give the billing company an id without @, or set an agreement:"
            " `backoffice suppliers agreement set SUPPLIER --billing-company ID`",
        )
    if before["known"] and command.only_if_unknown:
        return Answer(
            f"billing company {company} is known already; nothing was changed",
            _details(company, before),
            subjects=[company],
        )
    values = {name: getattr(command, COMMAND_FIELDS.get(name, name)) for name in store.SETTINGS}
    changes = {name: value for name, value in values.items() if value is not None}
    if command.logo:
        picture = base64.b64decode(command.logo)
        await asyncio.to_thread(check_logo, picture)
        changes["logo"] = await store.add_logo(connection, picture)
    await store.save_company(connection, company, changes, command.taxes)
    after = await store.lock_company(connection, company)
    check_default_tax(company, after)
    queued = 0
    by_work_date = "work-date" in (before["tax_date"], after["tax_date"])
    settings = (*PRICING_SETTINGS, *(TAX_SETTINGS if by_work_date else ()))
    if not before["known"] or any(before[name] != after[name] for name in settings):
        queued = await queue_company(connection, company, command.command)
    outcome = "unchanged" if before == after else "changed" if before["known"] else "created"
    return Answer(
        f"billing company {company} is {outcome}",
        _details(company, after) | {"documents_to_price": queued},
        before=before if before["known"] else None,
        after=after,
        subjects=[company],
        jobs_due=queued > 0,
    )


def check_default_tax(company: str, settings: Mapping[str, Any]) -> None:
    """Refuse a default tax code without a rate."""
    codes = sorted({tax["tax_code"] for tax in settings["taxes"]})
    if settings["default_tax"] and settings["default_tax"] not in codes:
        raise Refused(
            "default_tax_unknown",
            f"{settings['default_tax']!r} can't be the default tax of {company}: it has no rate;"
            f" the codes with a rate are: {', '.join(codes) or 'none'}",
            "give its rate with it, as CODE=PERCENT@FROM_DATE",
        )


def _details(company: str, values: dict[str, Any]) -> dict[str, Any]:
    settings = {name: value for name, value in values.items() if name != "known"}
    return {"billing_company": company, "settings": settings}


def record_today_once() -> BackgroundJob:
    """Return a job that records, when the worker starts, the date that it uses as today."""
    done = False

    async def record_today(connection: AsyncConnection) -> Applied:
        nonlocal done
        if not done:
            await store.record_today(connection, date_in_place_of_today())
        done = True
        return Applied()

    return record_today
