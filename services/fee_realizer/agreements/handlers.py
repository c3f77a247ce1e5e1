"""The command set-self-billing-agreement.

The documents of an agreement have the supplier as seller, so the agreement is a billing company of
its own, `SUPPLIER@COMPANY`: with a number series, tax rates and payment terms of the supplier.
"""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.agreements import store
from services.fee_realizer.agreements.store import Agreement
from services.fee_realizer.companies import store as companies
from services.fee_realizer.companies.handlers import check_default_tax
from shared.clock import today_of
from shared.consumer.commands import Answer
from shared.database import lock_companies
from shared.errors import Refused
from shared.events.commands import SetSelfBillingAgreement
from shared.events.field_types import ID_LENGTH
from shared.terms import agreement_id

SETTINGS = (
    "name", "address", "tax_id", "bank", "default_tax", "payment_terms", "series_prefix",
    "series_width",
)  # fmt: skip
FIRST_SERIES = "SB-"


async def on_set_self_billing_agreement(
    connection: AsyncConnection, command: SetSelfBillingAgreement
) -> Answer:
    """Set an agreement, and the supplier as seller of its documents; what is not given stays.

    A new one takes name, address and tax id of the supplier as the ATS sent it, time zone and
    currency of the billing company, and holds from the billing company's today.
    """
    an_id = agreement_id(command.supplier_id, command.billing_company)
    if len(an_id) > ID_LENGTH:
        raise Refused(
            "supplier_id_too_long",
            f"the ids of supplier and billing company have more than {ID_LENGTH} characters",
            "give the supplier a shorter id in the ATS",
        )
    await lock_companies(connection, [command.billing_company, an_id], exclusive=True)
    buyer = await companies.lock_company(connection, command.billing_company)
    if not buyer["known"]:
        raise Refused(
            "unknown_billing_company",
            f"there is no billing company {command.billing_company}",
            f"set it up: `backoffice billing-company set {command.billing_company}`",
        )
    before = await store.agreement_of(connection, an_id)
    seller = await companies.lock_company(connection, an_id)
    changes = await _changes(connection, command, buyer) if before is None else _given(command)
    await companies.save_company(connection, an_id, changes, command.taxes)
    after = await companies.lock_company(connection, an_id)
    check_default_tax(an_id, after)
    kept = before or Agreement(
        command.supplier_id, command.billing_company, today_of(buyer["time_zone"])
    )
    named: dict[str, Any] = {
        "from_date": command.from_date,
        "account_name": command.account_name,
        "reference": command.reference,
    }
    agreement = kept._replace(**{name: x for name, x in named.items() if x is not None})
    await store.save_agreement(connection, an_id, agreement, command)
    shown = agreement.values | {name: after[name] for name in (*SETTINGS, "taxes")}
    return Answer(
        f"agreement {an_id}: {command.billing_company} issues the invoices of"
        f" {after['name']} from {agreement.from_date} on, as {after['series_prefix']}...",
        details={"agreement": an_id} | shown,
        before=None
        if before is None
        else before.values | {name: seller[name] for name in (*SETTINGS, "taxes")},
        after=shown,
        subjects=[an_id, command.supplier_id],
    )


def _given(command: SetSelfBillingAgreement) -> dict[str, Any]:
    values = {name: getattr(command, name) for name in SETTINGS}
    return {name: value for name, value in values.items() if value is not None}


async def _changes(
    connection: AsyncConnection, command: SetSelfBillingAgreement, buyer: dict[str, Any]
) -> dict[str, Any]:
    """Return the settings of a new seller. Refused if neither the ATS nor the command names it."""
    supplier = await store.supplier_of(connection, command.supplier_id)
    if supplier is None and command.name is None:
        raise Refused(
            "unknown_supplier",
            f"the ATS has not sent supplier {command.supplier_id}",
            "see `backoffice suppliers list`; let the ATS publish it on supplier-changed, or give"
            " its legal name",
        )
    of_supplier = (
        {}
        if supplier is None
        else {"name": supplier.name, "address": supplier.address, "tax_id": supplier.tax_id}
    )
    shared = {name: buyer[name] for name in ("time_zone", "currency")}
    return shared | {"series_prefix": FIRST_SERIES} | of_supplier | _given(command)
