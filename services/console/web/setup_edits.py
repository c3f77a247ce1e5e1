"""The forms of Set-up: what each command's form begins with, and what completes it."""

from collections.abc import Mapping
from typing import Any

from services.console.actions.secrets import seal_password, seal_settings
from services.console.queries import export
from services.console.queries.companies import catalog, companies
from services.console.queries.debtors import debtor_terms, time_groups
from services.console.queries.deliveries import kind as read_kind
from services.console.queries.deliveries import kinds, ledgers, sealing_key
from services.console.queries.invoice_options import country_grouping, invoice_options
from services.console.queries.mail import mail_settings
from services.console.queries.reminders import reminder_settings
from services.console.queries.setup_pages import charge
from services.console.queries.snapshot import ReadConnection
from services.console.queries.workflows import workflows
from services.console.web.edit import EDITS, Choices, Edit, Given, Secrets
from services.console.web.pages import Page

Current = Mapping[str, Any] | None


def _last(rows: list[dict[str, Any]], **wanted: Any) -> dict[str, Any] | None:
    """The last row with these values."""
    found = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    return found[-1] if found else None


def _without(row: Mapping[str, Any] | None, *names: str) -> Current:
    """A row without what the form leaves to be set."""
    return None if row is None else {key: row[key] for key in row if key not in names}


async def _company(page: Page, connection: ReadConnection, given: Given) -> Current:
    found = await companies(connection, given.get("billing_company", ""))
    return (
        _without(found[0] | {"gate": found[0]["approval_level"]}, "taxes", "logo")
        if found
        else None
    )


async def _terms(page: Page, connection: ReadConnection, given: Given) -> Current:
    company, name = given.get("billing_company", ""), given.get("account_name", "")
    found = _last(await debtor_terms(connection, company, name), account_name=name)
    same = {"billing_company": company}
    return None if found is None else same | dict(_without(found, "from_date", "allowances") or {})


async def _time_group(page: Page, connection: ReadConnection, given: Given) -> Current:
    return _last(await time_groups(connection), time_group=given.get("time_group"))


async def _item(page: Page, connection: ReadConnection, given: Given) -> Current:
    return _last(await catalog(connection), item_id=given.get("item_id"))


async def _assignment(page: Page, connection: ReadConnection, given: Given) -> Current:
    rows = await export.assignments(connection)
    return _without(_last(rows, assignment_id=given.get("assignment_id")), "from_date")


async def _charge(page: Page, connection: ReadConnection, given: Given) -> Current:
    return await charge(connection, given.get("charge_id", ""))


async def _option(page: Page, connection: ReadConnection, given: Given) -> Current:
    rows = await invoice_options(connection, given.get("billing_company", ""))
    found = _last(rows, name=given.get("name"))
    return _without(found and found | {"default": found["is_default"]}, "from_date")


async def _grouping(page: Page, connection: ReadConnection, given: Given) -> Current:
    rows = await country_grouping(connection, given.get("billing_company", ""))
    return _last(rows, client_country=given.get("client_country"))


async def _workflow(page: Page, connection: ReadConnection, given: Given) -> Current:
    found = await workflows(connection, given.get("name", ""))
    return found[0] if found else None


async def _ledger(page: Page, connection: ReadConnection, given: Given) -> Current:
    """A connection without its secrets; of a new one the settings that its kind needs."""
    if name := given.get("ledger"):
        found = _last(await ledgers(connection), ledger=name)
        if found is not None:
            return found
    chosen = _last(await kinds(connection), kind=given.get("kind"))
    if chosen is None:
        return None
    usual = [each for each in chosen["settings"] if not each["secret"]]
    needed = {x["name"]: x["default"] or "" for x in usual if x["required"] or x["default"]}
    return {**given, "settings": needed}


async def _ledger_secrets(page: Page, connection: ReadConnection, given: Given) -> Secrets:
    found = _last(await kinds(connection), kind=given.get("kind"))
    return [
        (one["name"], one["words"]) for one in (found or {}).get("settings", ()) if one["secret"]
    ]


async def _seal_ledger(page: Page, body: dict[str, Any], secrets: Given) -> dict[str, Any]:
    """The body with its secrets sealed, as the command line does it."""
    async with page.snapshot() as connection:
        described = (await read_kind(connection, str(body.get("kind"))))["settings"]
        key = (await sealing_key(connection))["public_key"]
    texts = dict(body.get("settings", {})) | dict(secrets)
    ledger, kind = str(body.get("ledger")), str(body.get("kind"))
    return body | seal_settings(texts, ledger, kind, described, key)


async def _mail(page: Page, connection: ReadConnection, given: Given) -> Current:
    company = given.get("billing_company", "")
    found = await mail_settings(connection, company)
    return {**found, "billing_company": company} if found else None


async def _mail_secrets(page: Page, connection: ReadConnection, given: Given) -> Secrets:
    return [("password", "Again if server, port, TLS or user change. Empty: it stays.")]


async def _seal_mail(page: Page, body: dict[str, Any], secrets: Given) -> dict[str, Any]:
    if not secrets.get("password"):
        return body
    company = str(body.get("billing_company"))
    async with page.snapshot() as connection:
        before = await mail_settings(connection, page.require_company(company))
        key = (await sealing_key(connection))["public_key"]
    given = {name: body.get(name) for name in ("host", "port", "tls", "user")}
    sealed = seal_password(secrets["password"], company, before, given, key)
    return body | {"sealed_password": sealed}


async def _reminders(page: Page, connection: ReadConnection, given: Given) -> Current:
    rows = await reminder_settings(connection, given.get("billing_company", ""))
    found = _last(rows, account_name=given.get("account_name", ""))
    if found is None:
        return None
    return found | {"stages": [each["days"] for each in found["stages"] or ()]}


async def _suggest(page: Page, connection: ReadConnection, given: Given) -> Choices:
    """Billing cycles, and products that are assigned or charged."""
    groups = [(row["time_group"], row["cycle"]) for row in await time_groups(connection)]
    items = await catalog(connection, product_kind="non-placement")
    return {
        "time_group": groups,
        "default_time_group": groups,
        "item_id": [(row["item_id"], row["name"]) for row in items],
    }


COMPANY = ("billing_company",)
LEDGER = ("ledger",)
ASSIGNMENT = ("assignment_id",)
EDITS |= {
    "set-billing-company": Edit(
        "Billing company", "/setup/companies", COMPANY, _company, keeps=True,
        leave_out=("only_if_unknown",), suggested=_suggest,
    ),
    "set-opening-number": Edit("Last number of the old system", "/setup/companies", COMPANY),
    "set-mail-account": Edit(
        "Mail account", "/setup/companies", COMPANY, _mail, keeps=True,
        leave_out=("sealed_password",), secrets=_mail_secrets, complete=_seal_mail,
    ),
    "set-debtor-terms": Edit(
        "Terms of a debtor", "/setup/debtors", ("billing_company", "account_name"), _terms,
        keeps=True, suggested=_suggest,
    ),
    "set-time-group": Edit("Billing cycle", "/setup/time-groups", ("time_group",), _time_group),
    "set-catalog-item": Edit("Catalog item", "/setup/catalog", ("item_id",), _item),
    "set-assignment": Edit(
        "Assignment", "/setup/assignments", ASSIGNMENT, _assignment, suggested=_suggest
    ),
    "end-assignment": Edit("End assignment", "/setup/assignments", ASSIGNMENT, button="End it"),
    "confirm-assignment": Edit(
        "Bill a price on invoiced occurrences", "/setup/assignments", ASSIGNMENT,
        button="Confirm", answers=True,
    ),
    "add-charge": Edit("Charge", "/setup/charges", ("charge_id",), _charge, suggested=_suggest),
    "settle-retainer": Edit(
        "Decide about a retainer", "/setup/retainers", ("requirement_id",), button="Decide"
    ),
    "set-bill-rate": Edit("Bill rate", "/setup/rates", ("requirement_id",), answers=True),
    "confirm-rates": Edit(
        "Bill a rate change on invoiced lines", "/setup/rates",
        ("requirement_id", "time_type", "effective_from"), button="Confirm", answers=True,
    ),
    "rates-impact": Edit(
        "Rate changes on invoiced lines", "/setup/rates", button="Show", answers=True
    ),
    "set-invoice-option": Edit(
        "Invoice option", "/setup/options", ("billing_company", "name"), _option
    ),
    "set-country-grouping": Edit(
        "Grouping of a country", "/setup/options", ("billing_company", "client_country"), _grouping
    ),
    "set-workflow": Edit("Approval workflow", "/setup/workflows", ("name",), _workflow),
    "connect-ledger": Edit(
        "Connection", "/setup/ledgers", ("ledger", "kind"), _ledger,
        leave_out=("sealed_secrets",), secrets=_ledger_secrets, complete=_seal_ledger,
    ),
    "test-ledger": Edit("Test connection", "/setup/ledgers", LEDGER, button="Test", answers=True),
    "poll-ledger": Edit("Read payments of", "/setup/ledgers", LEDGER, button="Read"),
    "disconnect-ledger": Edit("Disconnect", "/setup/ledgers", LEDGER, button="Disconnect"),
    "rotate-ledger-key": Edit("Replace the sealing key", "/setup/ledgers", button="Replace"),
    "import-mapping": Edit("Mapping of", "/setup/ledgers", LEDGER),
    "set-reminders": Edit(
        "Reminders", "/setup/reminders", ("billing_company", "account_name"), _reminders, keeps=True
    ),
}  # fmt: skip
