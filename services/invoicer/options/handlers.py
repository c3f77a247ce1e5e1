"""Commands that set invoice options and the grouping lists of client countries."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.debtors.handlers.companies import company_of
from services.invoicer.debtors.rules.companies import EARLIEST_DATE
from services.invoicer.options import store
from services.invoicer.options.rules import (
    FIELDS,
    InvoiceOption,
    OptionVersion,
    group_list,
    unknown_fields,
)
from services.invoicer.workflows.store.versions import workflow_for, workflow_names
from shared.clock import today_of
from shared.consumer.commands import Answer, CommandHandler
from shared.database import lock_companies
from shared.errors import Refused
from shared.events.commands import SetCountryGrouping, SetInvoiceOption
from shared.terms import buyer_of, is_agreement, listed


async def on_set_invoice_option(connection: AsyncConnection, command: SetInvoiceOption) -> Answer:
    """Save a version of an option under the exclusive lock of the billing company."""
    _check_available(command)
    await _check_workflow(connection, command.workflow)
    _check_fields(command.group_by or ())
    company = command.billing_company
    _check_owner(company)
    await lock_companies(connection, [company], exclusive=True)
    today = today_of((await company_of(connection, company)).time_zone)
    versions = await store.versions_of(connection, company, command.name)
    first_day = command.from_date or (today if versions else EARLIEST_DATE)
    option = InvoiceOption(
        name=command.name,
        country=command.client_country,
        location=command.location,
        request_types=tuple(dict.fromkeys(command.request_types)),
        currency=command.currency or "",
        bill_to=command.bill_to,
        billing_types=tuple(dict.fromkeys(command.billing_types)),
        max_lines=command.max_lines,
        group_by=command.group_by,
        is_default=command.default,
        active=command.active,
        workflow=command.workflow,
        needs_transfer=command.needs_transfer,
    )
    before = _in_force(versions, first_day)
    await store.save_option(connection, company, OptionVersion(first_day, option))
    since = "at all times" if first_day == EARLIEST_DATE else f"from {first_day} on"
    until = min((each.from_date for each in versions if each.from_date > first_day), default=None)
    next_one = f" until the day before {until}, when its next version begins" if until else ""
    by_country = await store.grouping_by_country(connection, company)
    grouped = listed(group_list(option, by_country)) or "nothing more than every document is"
    state = "applies" if option.active else "is not active"
    return Answer(
        f"option {option.name} of {company} {state} {since}{next_one}; grouped by {grouped}",
        details={"name": option.name, "from_date": str(first_day)} | option.values,
        before=None if before is None else before.option.values,
        after=option.values,
        subjects=[f"option {option.name}"],
    )


def _in_force(versions: Sequence[OptionVersion], day: date) -> OptionVersion | None:
    before = [each for each in versions if each.from_date <= day]
    return before[-1] if before else None


def _check_available(command: SetInvoiceOption) -> None:
    """Refuse billing transfer, which does not exist yet."""
    if command.needs_transfer:
        raise Refused(
            "not_available_yet",
            f"option {command.name} asks for billing transfer, which is not available yet",
            "set the option without --needs-transfer",
        )


async def _check_workflow(connection: AsyncConnection, name: str) -> None:
    """Refuse a workflow that does not exist: its drafts could never be approved."""
    if name and await workflow_for(connection, name) is None:
        known = await workflow_names(connection)
        raise Refused(
            "unknown_workflow",
            f"there is no workflow {name!r}; there is {listed(known) or 'none'}",
            f"name one of these, or set it: `backoffice workflows set {name} --file STEPS.csv`",
        )


def _check_owner(company: str) -> None:
    """Refuse settings of a self-billing agreement: it has the options of its buyer."""
    if is_agreement(company):
        raise Refused(
            "options_of_agreement",
            f"{company} has the options of {buyer_of(company)} that bill the supplier",
            f"set it with --billing-company {buyer_of(company)} --bill-to supplier",
        )


def _check_fields(fields: Sequence[str]) -> None:
    """Refuse grouping fields that do not exist, or that are named twice."""
    unknown = unknown_fields(fields)
    if unknown:
        raise Refused(
            "unknown_group_field",
            f"documents cannot be grouped by {listed(unknown)}",
            f"name one of {', '.join(FIELDS)}, or custom.NAME",
        )
    if len(set(fields)) < len(fields):
        raise Refused(
            "group_field_twice", f"{listed(fields)} names a field twice", "name each field once"
        )


async def on_set_country_grouping(
    connection: AsyncConnection, command: SetCountryGrouping
) -> Answer:
    """Save the grouping list of a client country; it replaces the one before, whole."""
    _check_fields(command.group_by)
    company, country = command.billing_company, command.client_country
    _check_owner(company)
    await lock_companies(connection, [company], exclusive=True)
    await company_of(connection, company)
    before = (await store.grouping_by_country(connection, company)).get(country)
    await store.save_grouping(connection, company, country, command.group_by)
    return Answer(
        f"options of {company} in {country} that inherit it are grouped by"
        f" {listed(command.group_by) or 'nothing more than every document is'}",
        details={"client_country": country, "group_by": list(command.group_by)},
        before=None if before is None else {"group_by": list(before)},
        after={"group_by": list(command.group_by)},
        subjects=[f"grouping {country}"],
    )


HANDLERS: Mapping[type[Any], CommandHandler] = {
    SetInvoiceOption: on_set_invoice_option,
    SetCountryGrouping: on_set_country_grouping,
}
