"""What settlement stores of a document: its settled realization, edits, write-offs and snoozes.

The row in `settled_document` is also the lock of the document.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.lines.rules import DocKey, QuantityAmount
from services.invoicer.settlement.rules.realizations import SettledDocument
from services.invoicer.settlement.rules.snoozes import (
    SET_BY_SETTLEMENT,
    Edit,
    OperatorChanges,
    OperatorEdit,
    Snooze,
)
from shared.database import columns, insert_rows, joined_rows, kinds_of, rows, run, unnested
from shared.sql import named_queries

_QUERIES = named_queries(Path(__file__).with_suffix(".sql"))
_DOCUMENTS = unnested("document_kind text, document_id text")
_SETTLED = kinds_of(
    "document_kind text, document_id text, realization_no integer, realization_kind text, body text"
)
_SETTLED_ROWS = f"unnest({columns(_SETTLED)}) AS s({', '.join(_SETTLED)})"


def _keys(documents: Iterable[DocKey]) -> dict[str, list[str]]:
    ordered = sorted(set(documents))
    return {
        "document_kind": [kind for kind, _ in ordered],
        "document_id": [document_id for _, document_id in ordered],
    }


# -- settled documents


class SettledRealization(NamedTuple):
    """A realization to store as the settled one of its document, with its JSON as received."""

    document: DocKey
    realization_no: int
    realization_kind: str
    body: str

    @property
    def row(self) -> tuple[str, ...]:
        """The row of `settled_document`, as texts."""
        return (*self.document, str(self.realization_no), self.realization_kind, self.body)


async def settled_documents_for(
    connection: AsyncConnection, documents: Iterable[DocKey], *, lock: bool = False
) -> dict[DocKey, SettledDocument]:
    """Return those of the documents that were settled before; `lock`: lock them in sorted order."""
    query = (
        "SELECT h.document_kind, h.document_id, h.realization_no, h.body, h.stale_realization_no"
        f" FROM invoicer.settled_document h JOIN {_DOCUMENTS} USING (document_kind, document_id)"
    )
    if lock:
        query += " ORDER BY h.document_kind, h.document_id FOR UPDATE OF h"
    return {
        (kind, document_id): SettledDocument(*settled)
        for kind, document_id, *settled in await rows(connection, query, **_keys(documents))
    }


async def add_settled_documents(
    connection: AsyncConnection, settled: Sequence[SettledRealization]
) -> set[DocKey]:
    """Add and lock documents that were never settled, and return their keys.

    A document that another worker has added meanwhile is not among them.
    """
    query = f"""
        INSERT INTO invoicer.settled_document ({", ".join(_SETTLED)})
        SELECT * FROM {_SETTLED_ROWS} WHERE document_id IS NOT NULL
        ORDER BY document_kind, document_id
        ON CONFLICT DO NOTHING RETURNING document_kind, document_id"""
    values = joined_rows(_SETTLED, [each.row for each in settled])
    return {(kind, document_id) for kind, document_id in await rows(connection, query, **values)}


async def save_settled_documents(
    connection: AsyncConnection, settled: Sequence[SettledRealization], stale: Mapping[DocKey, int]
) -> None:
    """Store settled realizations, then the numbers of stale ones that wait for a new price basis.

    A settled realization ends the waiting for an earlier one.
    """
    same_document = "h.document_kind = s.document_kind AND h.document_id = s.document_id"
    if settled:
        query = f"""
            UPDATE invoicer.settled_document h SET realization_no = s.realization_no,
              realization_kind = s.realization_kind, body = s.body, stale_realization_no = NULL,
              citation_ended_at = NULL
            FROM {_SETTLED_ROWS} WHERE {same_document}"""
        await run(connection, query, **joined_rows(_SETTLED, [each.row for each in settled]))
    if stale:
        source = unnested("document_kind text, document_id text, number integer")
        query = f"""
            UPDATE invoicer.settled_document h SET stale_realization_no = s.number
            FROM {source} WHERE {same_document}"""
        numbers = [stale[document] for document in sorted(stale)]
        await run(connection, query, number=numbers, **_keys(stale))


async def note_ended_citations(connection: AsyncConnection, documents: Iterable[DocKey]) -> None:
    """Keep when credits may have taken a bill rate of these documents off all invoiced lines.

    Only documents with open debits are kept: the view `stale_price_basis` finds those among them
    that have other rates now. A document that has no open debit left is forgotten.
    """
    keys = _keys(documents)
    if keys["document_id"]:
        await run(connection, _QUERIES["note_ended_citations"], **keys)


async def cited_for(
    connection: AsyncConnection, documents: Iterable[DocKey]
) -> dict[DocKey, dict[tuple[str, str], int]]:
    """Return the rate books cited by invoiced lines, by document, requirement and time type."""
    query = """
        SELECT document_kind, document_id, requirement_id, time_type, rate_book
        FROM invoicer.cited_rate_version WHERE document_id = ANY(CAST(:ids AS text[]))"""
    ids = sorted({document_id for _, document_id in documents})
    cited: dict[DocKey, dict[tuple[str, str], int]] = {}
    for row in await rows(connection, query, ids=ids) if ids else ():
        of_document = cited.setdefault((row.document_kind, row.document_id), {})
        of_document[row.requirement_id, row.time_type] = row.rate_book
    return cited


# -- changes by operators: edits, write-offs, snoozes


async def operator_changes_for(
    connection: AsyncConnection, documents: Iterable[DocKey]
) -> dict[DocKey, OperatorChanges]:
    """Return edits, write-offs and snoozes of documents, with one query."""
    by_document: dict[DocKey, OperatorChanges] = {}
    for row in await rows(connection, _QUERIES["operator_changes"], **_keys(documents)):
        changes = by_document.setdefault((row.document_kind, row.document_id), OperatorChanges())
        if row.what == "edit":
            seen = row.seen or {"quantity": 0, "amount": 0}
            changes.edits[row.line_key] = Edit(
                QuantityAmount(row.quantity, row.amount),
                QuantityAmount(Decimal(seen["quantity"]), Decimal(seen["amount"])),
            )
        elif row.what == "write-off":
            changes.written_off[row.line_key] = QuantityAmount(row.quantity, row.amount)
        else:
            changes.snoozes[row.line_key] = Snooze(
                row.code, row.reason, row.actor, row.until_date, row.snoozed_at
            )
    return by_document


async def add_edits(connection: AsyncConnection, edits: Sequence[OperatorEdit]) -> None:
    """Add edits: differences that apply to the settled realization and to every later one."""
    await insert_rows(
        connection,
        "invoicer.operator_edit",
        "document_kind text, document_id text, line_key text, command_id text,"
        " quantity_difference numeric, amount_difference numeric, before jsonb, after jsonb,"
        " actor text, reason text, edited_at timestamptz",
        [
            (
                *edit.document,
                edit.line_key,
                edit.command_id,
                edit.difference.quantity,
                edit.difference.amount,
                json.dumps(edit.before),
                json.dumps(edit.after),
                edit.actor,
                edit.reason,
                edit.edited_at,
            )
            for edit in edits
        ],
    )


async def is_edited_away(connection: AsyncConnection, document: DocKey, line_key: str) -> bool:
    """Whether the last edit of a line key left nothing of it and was not cancelled."""
    query = """
        SELECT CAST(after ->> 'quantity' AS numeric) = 0 AND CAST(after ->> 'amount' AS numeric) = 0
          AND actor <> :settlement
        FROM invoicer.operator_edit
        WHERE document_kind = :kind AND document_id = :id AND line_key = :key
        ORDER BY edited_at DESC, command_id DESC LIMIT 1"""
    kind, document_id = document
    found = await rows(
        connection, query, settlement=SET_BY_SETTLEMENT, kind=kind, id=document_id, key=line_key
    )
    return bool(found and found[0][0])


async def rejected_among(connection: AsyncConnection, pay_line_ids: Iterable[int]) -> set[int]:
    """Return those of the lines that are on hold because their draft was rejected."""
    found = await rows(
        connection,
        "SELECT pay_line_id FROM invoicer.rejected_line"
        " WHERE pay_line_id = ANY(CAST(:ids AS bigint[]))",
        ids=sorted(set(pay_line_ids)),
    )
    return {row.pay_line_id for row in found}


async def end_rejections(connection: AsyncConnection, pay_line_ids: Iterable[int]) -> None:
    """End the hold of lines whose draft was rejected."""
    query = "DELETE FROM invoicer.rejected_line WHERE pay_line_id = ANY(CAST(:ids AS bigint[]))"
    await run(connection, query, ids=sorted(pay_line_ids))


async def save_snoozes(
    connection: AsyncConnection, changes: Mapping[tuple[DocKey, str], Snooze | None]
) -> None:
    """Set snoozes of document and line key; None ends one."""
    ended = sorted(place for place, snooze in changes.items() if snooze is None)
    if ended:
        source = unnested("document_kind text, document_id text, line_key text")
        query = f"""
            DELETE FROM invoicer.snooze z USING {source} WHERE z.document_kind = s.document_kind
              AND z.document_id = s.document_id AND z.line_key = s.line_key"""
        await run(
            connection,
            query,
            document_kind=[kind for (kind, _), _ in ended],
            document_id=[document_id for (_, document_id), _ in ended],
            line_key=[key for _, key in ended],
        )
    await insert_rows(
        connection,
        "invoicer.snooze",
        "document_kind text, document_id text, line_key text, code text, reason text, actor text,"
        " until_date date, snoozed_at timestamptz",
        [
            (*document, key, *snooze)
            for (document, key), snooze in sorted(changes.items(), key=lambda change: change[0])
            if snooze is not None
        ],
        replace="document_kind, document_id, line_key",
    )
