"""Commands that set the MSP fee of an invoice option, its volume tiers, and loaded volume."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.debtors.handlers.companies import company_of
from services.invoicer.debtors.rules.companies import EARLIEST_DATE
from services.invoicer.debtors.store import companies
from services.invoicer.fees import store
from services.invoicer.fees.rules import CLIENT, TIMESHEETS, Fee, Tier, Tiers, check_tiers
from services.invoicer.options import store as option_store
from shared.clock import today_of
from shared.consumer.commands import Answer, CommandHandler
from shared.database import lock_companies
from shared.errors import Refused
from shared.events.commands import SetFee, SetFeeTiers, SetOpeningVolume
from shared.money import plain, written
from shared.terms import listed, similar_names


async def on_set_fee(connection: AsyncConnection, command: SetFee) -> Answer:
    """Save a version of a fee under the exclusive lock of the billing company."""
    _check_available(command)
    today = await _locked(connection, command)
    if command.tax_code:
        await _check_tax_code(connection, command)
    versions = [
        each
        for each in await store.fees_for(connection, command.billing_company, command.funded_by)
        if each.option == command.option
    ]
    fee = Fee(
        command.option,
        command.funded_by,
        command.from_date or (today if versions else EARLIEST_DATE),
        command.charged_as,
        command.percent,
        command.tax_code,
        (TIMESHEETS, *sorted(set(command.base_adds))),
    )
    await store.save_fee(connection, command.billing_company, fee)
    by_volume = "" if not fee.percent else f", {fee.charged_as} on {listed(fee.base)}"
    return _answer(
        f"option {fee.option}: fee of {plain(fee.percent)} % funded by the"
        f" {fee.funded_by}{by_volume}",
        fee,
        _before(versions, fee.from_date),
        command.option,
    )


async def on_set_fee_tiers(connection: AsyncConnection, command: SetFeeTiers) -> Answer:
    """Save a version of the tiers of a fee under the exclusive lock of the billing company."""
    _check_available(command)
    today = await _locked(connection, command)
    company, key = command.billing_company, (command.option, command.currency)
    fees = await store.fees_for(connection, company, command.funded_by)
    if command.option not in {each.option for each in fees}:
        raise Refused(
            "no_fee",
            f"option {command.option} of {company} has no fee that could have tiers",
            f"set it first: `backoffice fees set --option '{command.option}'"
            f" --billing-company {company} --as markup --percent P`",
        )
    versions = [
        each
        for each in await store.tiers_for(connection, company, command.funded_by)
        if (each.option, each.currency) == key
    ]
    tiers = Tiers(
        command.option,
        command.funded_by,
        command.currency,
        command.from_date or (today if versions else EARLIEST_DATE),
        command.volume_of,
        tuple(Tier(each.volume, each.percent) for each in command.tiers),
    )
    check_tiers(tiers.tiers)
    await store.save_tiers(connection, company, tiers)
    steps = [
        f"{plain(each.percent)} % from {written(each.volume, tiers.currency)} {tiers.currency} on"
        for each in tiers.tiers
    ]
    message = f"{listed(steps)}, by volume ({tiers.volume_of})" if steps else "no tiers"
    before = _before(versions, tiers.from_date)
    return _answer(f"option {tiers.option}: {message}", tiers, before, command.option)


async def on_set_opening_volume(connection: AsyncConnection, command: SetOpeningVolume) -> Answer:
    """Save the volume of a day that another system billed."""
    await _locked(connection, command)
    key = (command.billing_company, command.option, command.currency, command.on_date)
    before = await store.opening_volume_on(connection, *key)
    await store.save_opening_volume(connection, *key, command.amount)
    amount = f"{written(command.amount, command.currency)} {command.currency}"
    return Answer(
        f"option {command.option}: volume of {amount} on {command.on_date}",
        before=None if before is None else {"amount": plain(before)},
        after={"amount": plain(command.amount), "currency": command.currency},
        subjects=[f"option {command.option}"],
    )


async def _locked(
    connection: AsyncConnection, command: SetFee | SetFeeTiers | SetOpeningVolume
) -> date:
    """Lock the company, refuse an unknown option, and return the company's today."""
    company = command.billing_company
    await lock_companies(connection, [company], exclusive=True)
    today = today_of((await company_of(connection, company)).time_zone)
    if not await option_store.versions_of(connection, company, command.option):
        names = await option_store.option_names(connection, company)
        similar = similar_names(command.option, names) or names
        raise Refused(
            "unknown_option",
            f"{company} has no invoice option {command.option}"
            + (f"; it has {listed(similar)}" if similar else ""),
            "see `backoffice options list`, or set it: `backoffice options set NAME`",
        )
    return today


def _check_available(command: SetFee | SetFeeTiers) -> None:
    """Refuse a fee that the supplier pays: no document of the supplier exists that could have it.

    The rules take the side that pays as a value; this refusal is all that leaves suppliers out.
    """
    if command.funded_by != CLIENT:
        raise Refused(
            "not_available_yet",
            f"option {command.option}: a fee funded by the {command.funded_by} is not available"
            " yet: documents are those of the client",
            "set the fee with --funded-by client",
        )


async def _check_tax_code(connection: AsyncConnection, command: SetFee) -> None:
    if command.charged_as == "discount":
        raise Refused(
            "tax_code_of_discount",
            f"option {command.option}: a discount has no tax code: it lowers what each tax rate is"
            " taken of",
            "leave out --tax-code, or charge the fee with --as markup",
        )
    rates = await companies.tax_rates_for(connection, command.billing_company)
    codes = sorted({rate.tax_code for rate in rates})
    if command.tax_code not in codes:
        raise Refused(
            "unknown_tax_code",
            f"{command.billing_company} has no tax code {command.tax_code}"
            + (f"; it has {listed(codes)}" if codes else ""),
            f"add it: `backoffice billing-company set {command.billing_company}"
            f" --tax {command.tax_code}=PERCENT@FROM_DATE`",
        )


def _before(versions: Sequence[Fee] | Sequence[Tiers], day: date) -> Fee | Tiers | None:
    """Return the version that was in force on a day before the change."""
    found: Fee | Tiers | None = None
    for each in versions:
        if each.from_date <= day:
            found = each
    return found


def _answer(message: str, now: Fee | Tiers, before: Fee | Tiers | None, option: str) -> Answer:
    since = "at all times" if now.from_date == EARLIEST_DATE else f"from {now.from_date} on"
    return Answer(
        f"{message}, {since}",
        details={"option": option, "from_date": str(now.from_date)} | now.values,
        before=None if before is None else before.values,
        after=now.values,
        subjects=[f"option {option}"],
    )


HANDLERS: Mapping[type[Any], CommandHandler] = {
    SetFee: on_set_fee,
    SetFeeTiers: on_set_fee_tiers,
    SetOpeningVolume: on_set_opening_volume,
}
