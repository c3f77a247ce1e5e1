"""What settlement keeps of a document: its head row (the lock, and the settled statement), its edits, write-offs and snoozes."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from services.invoicer.lines.rules import NOTHING, DocKey, QuantityAmount
from services.invoicer.settlement.rules.realizations import SettledDocument
from services.invoicer.settlement.rules.snoozes import (
    SET_BY_SETTLEMENT,
    CancelledEdit,
    Edit,
    Snooze,
)
from shared.database import columns, joined, rows, run

_PAIRS = "unnest(CAST(:kinds AS text[]), CAST(:ids AS text[])) AS s(document_kind, document_id)"


def _pairs(documents: Iterable[DocKey]) -> dict[str, list[str]]:
    ordered = sorted(set(documents))
    return {
        "kinds": [kind for kind, _ in ordered],
        "ids": [document_id for _, document_id in ordered],
    }


# -- heads


class SettledRealization(NamedTuple):
    """A statement to be kept as the settled one of its document, as it came."""

    document: DocKey
    realization_no: int
    realization_kind: str
    body: str


async def settled_documents_for(
    connection: AsyncConnection, documents: Iterable[DocKey], *, lock: bool = False
) -> dict[DocKey, SettledDocument]:
    """The heads of the documents that have one. `lock`: for the transaction, in one order."""
    found = await rows(
        connection,
        f"SELECT h.document_kind, h.document_id, h.realization_no, h.body, h.stale_realization_no FROM invoicer.settled_document h JOIN {_PAIRS}"
        " USING (document_kind, document_id)"
        + (" ORDER BY h.document_kind, h.document_id FOR UPDATE OF h" if lock else ""),
        **_pairs(documents),
    )
    return {
        (row.document_kind, row.document_id): SettledDocument(
            row.realization_no, row.body, row.stale_realization_no
        )
        for row in found
    }


async def add_settled_documents(
    connection: AsyncConnection, heads: Sequence[SettledRealization]
) -> set[DocKey]:
    """Adds the heads of documents that have none, already settled, and locks them; those that were added. The others are there meanwhile."""
    found = await rows(
        connection,
        "INSERT INTO invoicer.settled_document (document_kind, document_id, realization_no, realization_kind, body)"
        f" SELECT * FROM {_HEADS} WHERE d IS NOT NULL ORDER BY k, d ON CONFLICT DO NOTHING RETURNING document_kind, document_id",
        **_head_columns(heads),
    )
    return {(row.document_kind, row.document_id) for row in found}


async def save_settled_documents(
    connection: AsyncConnection, heads: Sequence[SettledRealization], stale: Mapping[DocKey, int]
) -> None:
    """Keeps settled statements, which ends any waiting, and then which documents wait for a statement on a fresh price basis."""
    if heads:
        await run(
            connection,
            "UPDATE invoicer.settled_document h SET realization_no = s.n, realization_kind = s.sk, body = s.b, stale_realization_no = NULL"
            f" FROM {_HEADS} WHERE h.document_kind = s.k AND h.document_id = s.d",
            **_head_columns(heads),
        )
    if stale:
        await run(
            connection,
            "UPDATE invoicer.settled_document h SET stale_realization_no = s.n"
            " FROM unnest(CAST(:kinds AS text[]), CAST(:ids AS text[]), CAST(:numbers AS integer[])) AS s(document_kind, document_id, n)"
            " WHERE h.document_kind = s.document_kind AND h.document_id = s.document_id",
            numbers=[stale[document] for document in sorted(stale)],
            **_pairs(stale),
        )


_HEAD = {
    "kind": "text",
    "id": "text",
    "number": "integer",
    "realization_kind": "text",
    "body": "text",
}
_HEADS = f"unnest({columns(_HEAD)}) AS s(k, d, n, sk, b)"


def _head_columns(heads: Sequence[SettledRealization]) -> dict[str, str]:
    return {
        "kind": joined([head.document[0] for head in heads]),
        "id": joined([head.document[1] for head in heads]),
        "number": joined([str(head.realization_no) for head in heads]),
        "realization_kind": joined([head.realization_kind for head in heads]),
        "body": joined([head.body for head in heads]),
    }


async def cited_for(
    connection: AsyncConnection, documents: Iterable[DocKey]
) -> dict[DocKey, dict[tuple[str, str], int]]:
    """The rate books that invoiced lines of documents cite, by requirement and time type."""
    wanted = set(documents)
    if not wanted:
        return {}
    found = await rows(
        connection,
        "SELECT document_kind, document_id, requirement_id, time_type, rate_book FROM invoicer.cited_rate_version"
        " WHERE document_id = ANY(CAST(:ids AS text[]))",
        ids=sorted({document_id for _, document_id in wanted}),
    )
    cited: dict[DocKey, dict[tuple[str, str], int]] = {}
    for row in found:
        cited.setdefault((row.document_kind, row.document_id), {})[
            (row.requirement_id, row.time_type)
        ] = row.rate_book
    return cited


# -- what operators added: edits, write-offs, snoozes


@dataclass(frozen=True, slots=True)
class OperatorChanges:
    """Per line key of one document."""

    edits: dict[str, Edit] = field(default_factory=dict)
    written_off: dict[str, QuantityAmount] = field(default_factory=dict)
    snoozes: dict[str, Snooze] = field(default_factory=dict)


async def operator_changes_for(
    connection: AsyncConnection, documents: Iterable[DocKey]
) -> dict[DocKey, OperatorChanges]:
    """Edits, write-offs and snoozes of documents, in one round trip."""
    found = await rows(
        connection,
        "SELECT 'edit' AS what, e.document_kind, e.document_id, e.line_key, sum(e.quantity_difference) AS quantity, sum(e.amount_difference) AS amount,"
        "  (array_agg(e.after -> 'value' ORDER BY e.edited_at DESC, e.command_id DESC) FILTER (WHERE e.after ? 'value'))[1] AS seen,"
        "  NULL AS code, NULL AS reason, NULL AS actor, CAST(NULL AS date) AS until_date, CAST(NULL AS timestamptz) AS snoozed_at"
        f" FROM invoicer.operator_edit e JOIN {_PAIRS} USING (document_kind, document_id) GROUP BY 2, 3, 4"
        " UNION ALL SELECT 'write-off', w.document_kind, w.document_id, w.line_key, sum(w.quantity), sum(w.amount), NULL, NULL, NULL, NULL, NULL, NULL"
        f" FROM invoicer.write_off w JOIN {_PAIRS} USING (document_kind, document_id) GROUP BY 2, 3, 4"
        " UNION ALL SELECT 'snooze', z.document_kind, z.document_id, z.line_key, NULL, NULL, NULL, z.code, z.reason, z.actor, z.until_date, z.snoozed_at"
        f" FROM invoicer.snooze z JOIN {_PAIRS} USING (document_kind, document_id)",
        **_pairs(documents),
    )
    operator_changes: dict[DocKey, OperatorChanges] = {}
    for row in found:
        one = operator_changes.setdefault((row.document_kind, row.document_id), OperatorChanges())
        if row.what == "edit":
            seen = (
                NOTHING
                if row.seen is None
                else QuantityAmount(Decimal(row.seen["quantity"]), Decimal(row.seen["amount"]))
            )
            one.edits[row.line_key] = Edit(QuantityAmount(row.quantity, row.amount), seen)
        elif row.what == "write-off":
            one.written_off[row.line_key] = QuantityAmount(row.quantity, row.amount)
        else:
            one.snoozes[row.line_key] = Snooze(
                row.code, row.reason, row.actor, row.until_date, row.snoozed_at
            )
    return operator_changes


@dataclass(frozen=True, slots=True)
class OperatorEdit:
    """An operator's edit, or the opposite of one that a later statement left nothing to change."""

    document: DocKey
    line_key: str
    command_id: str
    difference: QuantityAmount
    before: dict[str, Any]
    after: dict[str, Any]
    actor: str
    reason: str
    edited_at: datetime


def cancelling_edit(document: DocKey, one: CancelledEdit, at: datetime) -> OperatorEdit:
    """The row that sets an edit aside. Its id begins with a space, which no command's id does."""
    before = (-one.difference).as_strings()
    return OperatorEdit(
        document,
        one.line_key,
        f" set aside by statement {one.realization_no}",
        one.difference,
        before,
        NOTHING.as_strings(),
        SET_BY_SETTLEMENT,
        one.message,
        at,
    )


async def add_edits(connection: AsyncConnection, edits: Sequence[OperatorEdit]) -> None:
    """Adds differences to keys, for this and every later statement."""
    if not edits:
        return
    await run(
        connection,
        "INSERT INTO invoicer.operator_edit (document_kind, document_id, line_key, command_id, quantity_difference, amount_difference,"
        " before, after, actor, reason, edited_at)"
        " SELECT * FROM unnest(CAST(:kinds AS text[]), CAST(:ids AS text[]), CAST(:keys AS text[]), CAST(:commands AS text[]),"
        " CAST(:quantities AS numeric[]), CAST(:amounts AS numeric[]), CAST(:befores AS jsonb[]), CAST(:afters AS jsonb[]),"
        " CAST(:actors AS text[]), CAST(:reasons AS text[]), CAST(:ats AS timestamptz[]))",
        kinds=[edit.document[0] for edit in edits],
        ids=[edit.document[1] for edit in edits],
        keys=[edit.line_key for edit in edits],
        commands=[edit.command_id for edit in edits],
        quantities=[edit.difference.quantity for edit in edits],
        amounts=[edit.difference.amount for edit in edits],
        befores=[json.dumps(edit.before) for edit in edits],
        afters=[json.dumps(edit.after) for edit in edits],
        actors=[edit.actor for edit in edits],
        reasons=[edit.reason for edit in edits],
        ats=[edit.edited_at for edit in edits],
    )


async def is_edited_away(connection: AsyncConnection, document: DocKey, line_key: str) -> bool:
    """Whether the last edit of a key left nothing of it, and was not set aside."""
    found = await rows(
        connection,
        "SELECT CAST(after ->> 'quantity' AS numeric) = 0 AND CAST(after ->> 'amount' AS numeric) = 0 AND actor <> :settlement AS away"
        " FROM invoicer.operator_edit WHERE document_kind = :kind AND document_id = :id AND line_key = :key"
        " ORDER BY edited_at DESC, command_id DESC LIMIT 1",
        settlement=SET_BY_SETTLEMENT,
        kind=document[0],
        id=document[1],
        key=line_key,
    )
    return bool(found and found[0].away)


SnoozeChanges = Mapping[tuple[DocKey, str], Snooze | None]
"""What becomes of the snooze of a document and line key; None ends it."""


def changed_snoozes(
    document: DocKey, before: Mapping[str, Snooze], after: Mapping[str, Snooze]
) -> dict[tuple[DocKey, str], Snooze | None]:
    """What differs between the snoozes of a document."""
    return {
        (document, key): after.get(key)
        for key in before.keys() | after.keys()
        if before.get(key) != after.get(key)
    }


async def save_snoozes(connection: AsyncConnection, changes: SnoozeChanges) -> None:
    """Sets and ends snoozes."""
    ended = sorted(location for location, snooze in changes.items() if snooze is None)
    if ended:
        await run(
            connection,
            "DELETE FROM invoicer.snooze z USING unnest(CAST(:kinds AS text[]), CAST(:ids AS text[]), CAST(:keys AS text[])) AS s(k, d, l)"
            " WHERE z.document_kind = s.k AND z.document_id = s.d AND z.line_key = s.l",
            **_places(ended),
        )
    kept = sorted(location for location, snooze in changes.items() if snooze is not None)
    if not kept:
        return
    snoozes = [snooze for location in kept if (snooze := changes[location]) is not None]
    await run(
        connection,
        "INSERT INTO invoicer.snooze (document_kind, document_id, line_key, code, reason, actor, until_date, snoozed_at)"
        " SELECT * FROM unnest(CAST(:kinds AS text[]), CAST(:ids AS text[]), CAST(:keys AS text[]), CAST(:codes AS text[]), CAST(:reasons AS text[]),"
        " CAST(:actors AS text[]), CAST(:untils AS date[]), CAST(:ats AS timestamptz[]))"
        " ON CONFLICT (document_kind, document_id, line_key) DO UPDATE SET code = excluded.code, reason = excluded.reason, actor = excluded.actor,"
        " until_date = excluded.until_date, snoozed_at = excluded.snoozed_at",
        codes=[snooze.code for snooze in snoozes],
        reasons=[snooze.reason for snooze in snoozes],
        actors=[snooze.actor for snooze in snoozes],
        untils=[snooze.until_date for snooze in snoozes],
        ats=[snooze.snoozed_at for snooze in snoozes],
        **_places(kept),
    )


def _places(places: Sequence[tuple[DocKey, str]]) -> dict[str, list[str]]:
    return {
        "kinds": [document[0] for document, _ in places],
        "ids": [document[1] for document, _ in places],
        "keys": [key for _, key in places],
    }
