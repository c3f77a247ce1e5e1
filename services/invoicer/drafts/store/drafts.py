"""Drafts with their versions and history; the lines of drafts are in `store.lines`.

A draft changes under the lock of its row, which comes after the locks of companies and documents:
commands about drafts hold the exclusive lock of the billing company, settlement the shared one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from pydantic_core import to_json
from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.drafts.rules.invoicing_status import DraftStatus
from services.invoicer.drafts.rules.names import draft_name
from shared.database import by_column, columns, joined_rows, kinds_of, rows, run, unnested
from shared.sql import named_queries
from shared.stored import as_json
from shared.terms import DocumentType, TaxRegime

_QUERIES = named_queries(Path(__file__).with_suffix(".sql"))
_FIGURES = kinds_of(
    "document_type text, service_from date, service_to date, net numeric, tax numeric,"
    " total numeric, hours numeric, line_count integer, tax_totals jsonb, allowances jsonb"
)
_HEAD = (
    kinds_of(
        "group_no bigint, billing_company text, status text, made_by text, made_by_id text,"
        " cut_off date, option_name text, option_from date, workflow text, needs_transfer boolean,"
        " bill_to text, account_name text, currency text, payment_terms text, po_number text,"
        " credit_split bigint, tax_regime text, tax_wording text, tax_basis text,"
        " allowance_terms jsonb, invoice_option jsonb, created_by text, created_at timestamptz"
    )
    | _FIGURES
)


_EVENT = kinds_of(
    "draft_id bigint, action text, version integer, status text, actor text, reason text,"
    " changes_items boolean, details text, command_id text, at timestamptz"
)


class DraftFigures(NamedTuple):
    """What follows from the lines of a draft. Amounts count credits negative.

    `tax_totals` and `allowances` are as those of a closed document; `allowances` None: none.
    """

    document_type: str
    service_from: date
    service_to: date
    net: Decimal
    tax: Decimal
    total: Decimal
    hours: Decimal
    line_count: int
    tax_totals: Sequence[Mapping[str, Any]]
    allowances: Sequence[Mapping[str, Any]] | None


class NewDraft(NamedTuple):
    """A draft to store. `group_no`: its lines in `selected_line`."""

    group_no: int
    billing_company: str
    status: DraftStatus
    made_by: str
    made_by_id: str
    cut_off: date
    option_name: str
    option_from: date | None
    workflow: str
    needs_transfer: bool
    bill_to: str
    account_name: str
    currency: str
    payment_terms: str
    po_number: str
    credit_split: int
    tax_regime: str
    tax_wording: str
    tax_basis: str
    allowance_terms: Sequence[Mapping[str, Any]]
    invoice_option: Mapping[str, Any] | None
    created_by: str
    created_at: datetime
    figures: DraftFigures


@dataclass(frozen=True, slots=True)
class Draft:
    """A stored draft. It has the `workflow` and `needs_transfer` of its option at its creation."""

    draft_id: int
    billing_company: str
    status: DraftStatus
    version: int
    made_by: str
    made_by_id: str
    cut_off: date
    option_name: str
    option_from: date | None
    workflow: str
    needs_transfer: bool
    transfer_in_flight: bool
    document_type: DocumentType
    bill_to: str
    account_name: str
    currency: str
    payment_terms: str
    po_number: str
    credit_split: int
    tax_regime: TaxRegime
    tax_wording: str
    tax_basis: str
    service_from: date
    service_to: date
    net: Decimal
    tax: Decimal
    total: Decimal
    hours: Decimal
    line_count: int
    tax_totals: Sequence[Mapping[str, Any]]
    allowances: Sequence[Mapping[str, Any]] | None
    allowance_terms: Sequence[Mapping[str, Any]]
    invoice_option: Mapping[str, Any] | None
    created_by: str
    created_at: datetime
    combined_into: int | None
    invoice_id: int | None

    @property
    def name(self) -> str:
        """The id for people: D-000001."""
        return draft_name(self.draft_id)

    @property
    def keys(self) -> tuple[object, ...]:
        """The keys that items must share to be on one document, and what decides its way."""
        return (
            self.billing_company,
            self.bill_to,
            self.account_name,
            self.currency,
            self.tax_regime,
            self.tax_wording,
            self.payment_terms,
            self.po_number,
            self.credit_split,
            self.option_name,
            self.workflow,
            self.needs_transfer,
            to_json(self.allowance_terms),
        )


_COLUMNS = ", ".join(Draft.__dataclass_fields__)
_JSON = ("tax_totals", "allowances", "allowance_terms", "invoice_option")


@dataclass(frozen=True, slots=True)
class DraftEvent:
    """A change of a draft: its version and status afterwards, who made it and why.

    `changes_items`: the actor created the draft or changed its items, so that he may not approve.
    """

    draft_id: int
    action: str
    version: int
    status: str
    actor: str
    at: datetime
    reason: str = ""
    changes_items: bool = True
    details: Mapping[str, Any] = field(default_factory=dict)
    command_id: str = ""


async def add_drafts(connection: AsyncConnection, drafts: Sequence[NewDraft]) -> dict[int, int]:
    """Store drafts in the order given, as their first version; return their ids by group number.

    The temporary table `drafted_group` (group_no, draft_id) has them for the rest of the
    transaction.
    """
    names = [name for name in _HEAD if name != "group_no"]
    query = _QUERIES["add_drafts"].format(
        columns=columns(_HEAD), given=", ".join(_HEAD), names=", ".join(names)
    )
    found = await rows(connection, query, **joined_rows(_HEAD, map(_new_row, drafts)))
    return dict(found)


def _new_row(draft: NewDraft) -> list[object]:
    *head, figures = draft
    values = dict(zip(NewDraft._fields, head, strict=False)) | figures._asdict()
    return [_text(values[name], kind) for name, kind in _HEAD.items()]


def _text(value: object, kind: str) -> object:
    if value is None:
        return None
    return to_json(value).decode() if kind == "jsonb" else value


async def drafts_by_id(
    connection: AsyncConnection, draft_ids: Iterable[int], *, lock: bool = False
) -> dict[int, Draft]:
    """Return drafts by id; `lock`: lock their rows, in the order of their ids."""
    query = f"""
        SELECT {_COLUMNS} FROM invoicer.draft
        WHERE draft_id = ANY(CAST(:ids AS bigint[])) ORDER BY draft_id"""
    found = await rows(connection, query + (" FOR UPDATE" if lock else ""), ids=sorted(draft_ids))
    return {row.draft_id: _draft(row) for row in found}


def _draft(row: Any) -> Draft:
    values = row._asdict()
    for name in _JSON:
        values[name] = None if values[name] is None else as_json(values[name])
    return Draft(**values)


async def save_status(
    connection: AsyncConnection,
    draft: Draft,
    status: DraftStatus,
    version: int,
    *,
    transfer_in_flight: bool = False,
) -> None:
    """Store the status and the version of a draft."""
    query = """
        UPDATE invoicer.draft SET status = :status, version = :version,
          transfer_in_flight = :in_flight
        WHERE draft_id = :id AND version = :was"""
    changed = await run(
        connection,
        query,
        status=status,
        version=version,
        in_flight=transfer_in_flight,
        id=draft.draft_id,
        was=draft.version,
    )
    if changed != 1:
        raise AssertionError(f"{draft.name} is not in version {draft.version}: it was not locked")


async def save_combined(connection: AsyncConnection, draft_ids: Sequence[int], into: int) -> None:
    """Store into which draft the items of these drafts went."""
    query = """
        UPDATE invoicer.draft SET combined_into = :into
        WHERE draft_id = ANY(CAST(:ids AS bigint[]))"""
    await run(connection, query, into=into, ids=list(draft_ids))


async def save_processed(connection: AsyncConnection, invoice_ids: Mapping[int, int]) -> None:
    """Store the documents that drafts became, by draft id: the drafts are Processed."""
    await run(
        connection,
        _QUERIES["save_processed"],
        drafts=list(invoice_ids),
        invoices=list(invoice_ids.values()),
    )


async def save_figures(connection: AsyncConnection, draft_id: int, figures: DraftFigures) -> None:
    """Store what follows from the lines of a draft."""
    given = ", ".join(f"{name} = CAST(:{name} AS {kind})" for name, kind in _FIGURES.items())
    values = {name: _text(value, _FIGURES[name]) for name, value in figures._asdict().items()}
    query = f"UPDATE invoicer.draft SET {given} WHERE draft_id = :id"
    await run(connection, query, id=draft_id, **values)


async def save_terms(connection: AsyncConnection, draft: Draft) -> None:
    """Store the terms of the debtor that a draft has."""
    query = """
        UPDATE invoicer.draft SET payment_terms = :payment_terms, tax_regime = :tax_regime,
          tax_wording = :tax_wording, allowance_terms = CAST(:allowance_terms AS jsonb)
        WHERE draft_id = :id"""
    await run(
        connection,
        query,
        payment_terms=draft.payment_terms,
        tax_regime=draft.tax_regime,
        tax_wording=draft.tax_wording,
        allowance_terms=to_json(draft.allowance_terms).decode(),
        id=draft.draft_id,
    )


async def add_events(connection: AsyncConnection, events: Sequence[DraftEvent]) -> None:
    """Add changes to the history of drafts, each after those that the draft has."""
    given = [
        (
            event.draft_id,
            event.action,
            event.version,
            event.status,
            event.actor,
            event.reason,
            event.changes_items,
            to_json(event.details).decode(),
            event.command_id,
            event.at,
        )
        for event in events
    ]
    if given:
        query = _QUERIES["add_events"].format(given=unnested(_EVENT))
        await run(connection, query, **by_column(_EVENT, given))


async def authors_of(connection: AsyncConnection, draft_ids: Iterable[int]) -> set[str]:
    """Return who created or ever changed drafts, or drafts that were combined into them."""
    query = """
        SELECT DISTINCT actor FROM invoicer.draft_author
        WHERE draft_id = ANY(CAST(:ids AS bigint[]))"""
    return {row.actor for row in await rows(connection, query, ids=sorted(draft_ids))}


async def drafts_with_lines(connection: AsyncConnection, billing_company: str) -> list[str]:
    """Return the names of the drafts of a company that have lines, in order."""
    query = """
        SELECT draft_id FROM invoicer.draft
        WHERE billing_company = :company AND status NOT IN ('processed', 'cancelled')
        ORDER BY draft_id LIMIT 100"""
    return [
        draft_name(row.draft_id) for row in await rows(connection, query, company=billing_company)
    ]


async def forbidden_actions(
    connection: AsyncConnection, drafts: Mapping[int, Draft]
) -> dict[int, set[str]]:
    """Return what the workflows of drafts forbid in the present status of each, by draft id."""
    query = """
        SELECT d.draft_id, w.forbids FROM invoicer.draft d
        JOIN invoicer.workflow w ON w.name = d.workflow AND w.version = d.workflow_version
        WHERE d.draft_id = ANY(CAST(:ids AS bigint[]))"""
    found = await rows(connection, query, ids=sorted(drafts))
    return {
        row.draft_id: {
            each["action"]
            for each in as_json(row.forbids)
            if each["status"] == drafts[row.draft_id].status
        }
        for row in found
    }
