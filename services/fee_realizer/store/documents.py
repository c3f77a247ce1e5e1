"""Source documents: their head rows (the lock of a document), every revision that came, and the facts that they name."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.rules.gates import Held
from services.fee_realizer.rules.sheets import RevisionMark
from services.fee_realizer.store.facts import text_array
from services.fee_realizer.store.statements import NewRealization
from shared.database import columns, joined, rows, run

STUB_REVISION = -1
_COLUMNS = "document_id, source_id, revision, realization_no, hold_code, hold_message, hold_no, requirement_ids, item_ids"


@dataclass(slots=True)
class Head:
    """Where a document stands, to be changed and written back. `stored`: the row is there already."""

    document_kind: str
    document_id: str
    source_id: str = ""
    revision: int = STUB_REVISION
    realization_no: int = 0
    hold_code: str | None = None
    hold_message: str | None = None
    hold_no: int = 0
    requirement_ids: set[str] = field(default_factory=set)
    item_ids: set[str] = field(default_factory=set)
    stored: bool = False

    def hold(self, held: Held | None) -> None:
        """Takes over a hold, or none."""
        self.hold_code = held.code if held else None
        self.hold_message = held.message if held else None


class NewRevision(NamedTuple):
    """A revision that came and is to be kept, with the body as it came."""

    document_kind: str
    document_id: str
    mark: RevisionMark
    body: str


async def heads_for(
    connection: AsyncConnection, kind: str, ids: Iterable[str], *, lock: bool
) -> dict[str, Head]:
    """The head rows that exist, by document id; locked for the transaction, in order, or only looked at."""
    wanted = sorted(set(ids))
    if not wanted:
        return {}
    found = await rows(
        connection,
        f"SELECT {_COLUMNS} FROM fee_realizer.source_document WHERE document_kind = :kind AND document_id = ANY(CAST(:ids AS text[]))"
        + (" ORDER BY document_id FOR UPDATE" if lock else ""),
        kind=kind,
        ids=wanted,
    )
    return {
        row.document_id: Head(
            kind,
            row.document_id,
            row.source_id,
            row.revision,
            row.realization_no,
            row.hold_code,
            row.hold_message,
            row.hold_no,
            set(row.requirement_ids),
            set(row.item_ids),
            stored=True,
        )
        for row in found
    }


async def marks_for(
    connection: AsyncConnection, kind: str, ids: Sequence[str]
) -> dict[str, list[RevisionMark]]:
    """What the choice of the sheet needs of all stored revisions."""
    found: dict[str, list[RevisionMark]] = {}
    if ids:
        for row in await rows(
            connection,
            "SELECT document_id, source_id, revision, approved, approved_at FROM fee_realizer.source_revision"
            " WHERE document_kind = :kind AND document_id = ANY(CAST(:ids AS text[]))",
            kind=kind,
            ids=list(ids),
        ):
            found.setdefault(row.document_id, []).append(RevisionMark(*row[1:]))
    return found


RevisionKey = tuple[str, str, int]
"""Document id, sheet id, revision."""


async def bodies_for(
    connection: AsyncConnection, kind: str, keys: Iterable[RevisionKey]
) -> dict[RevisionKey, str]:
    """Stored bodies, as JSON text."""
    wanted = sorted(set(keys))
    if not wanted:
        return {}
    found = await rows(
        connection,
        "SELECT r.document_id, r.source_id, r.revision, CAST(r.body AS text) AS body"
        " FROM unnest(CAST(:documents AS text[]), CAST(:sheets AS text[]), CAST(:revisions AS bigint[])) AS s(document_id, source_id, revision)"
        " JOIN fee_realizer.source_revision r ON r.document_kind = :kind"
        " AND r.document_id = s.document_id AND r.source_id = s.source_id AND r.revision = s.revision",
        kind=kind,
        documents=[key[0] for key in wanted],
        sheets=[key[1] for key in wanted],
        revisions=[key[2] for key in wanted],
    )
    return {(row.document_id, row.source_id, row.revision): row.body for row in found}


async def originals_of(connection: AsyncConnection, sheet_ids: Iterable[str]) -> dict[str, str]:
    """Of known adjustment sheets: the original that each adjusts."""
    wanted = sorted(set(sheet_ids))
    if not wanted:
        return {}
    found = await rows(
        connection,
        "SELECT source_id, document_id FROM fee_realizer.adjustment_timesheet WHERE source_id = ANY(CAST(:ids AS text[]))",
        ids=wanted,
    )
    return {row.source_id: row.document_id for row in found}


async def add_adjustment_sheets(connection: AsyncConnection, documents: Mapping[str, str]) -> None:
    """Keeps which original an adjustment belongs to."""
    if documents:
        await run(
            connection,
            "INSERT INTO fee_realizer.adjustment_timesheet SELECT * FROM unnest(CAST(:sheets AS text[]), CAST(:documents AS text[])) ON CONFLICT DO NOTHING",
            sheets=list(documents),
            documents=list(documents.values()),
        )


FactRow = tuple[str, str, str, str]
"""Which fact (kind, id) the sheets of a document (kind, id) name."""


async def save(
    connection: AsyncConnection,
    heads: Iterable[Head],
    revisions: Sequence[NewRevision] = (),
    facts: Sequence[FactRow] = (),
    statements: Sequence[NewRealization] = (),
) -> None:
    """Writes what a batch of documents comes to: known heads in place, everything new in one statement, each table in its order.

    A new row that another worker has just made is an error of its key, which is right at the next try; a statement's number is never
    used twice.
    """
    by_id = sorted(heads, key=lambda head: (head.document_kind, head.document_id))
    known, new = (
        [head for head in by_id if head.stored],
        [head for head in by_id if not head.stored],
    )
    if known:
        await run(connection, _UPDATE_HEADS, **_head_values(known))
    tables = (
        (bool(new), _ADD_HEADS, _head_values(new)),
        (bool(revisions), _ADD_REVISIONS, _revision_values(revisions)),
        (bool(facts), _ADD_FACTS, _fact_values(facts)),
        (bool(statements), _ADD_STATEMENTS, _statement_values(statements)),
    )
    parts = [part for wanted, part, _ in tables if wanted]
    values = {
        name: column for wanted, _, columns in tables if wanted for name, column in columns.items()
    }
    if parts:
        besides = ", ".join(f"part_{at} AS ({part})" for at, part in enumerate(parts[:-1]))
        await run(connection, f"WITH {besides} {parts[-1]}" if besides else parts[-1], **values)


_HEAD = {
    "document_kind": "text",
    "document_id": "text",
    "source_id": "text",
    "revision": "bigint",
    "realization_no": "integer",
    "hold_code": "text",
    "hold_message": "text",
    "hold_no": "integer",
    "requirement_ids": "text",
    "item_ids": "text",
}
_HEADS = f"unnest({columns(_HEAD)}) AS s({', '.join(_HEAD)}) WHERE s.document_id IS NOT NULL"
_ADD_HEADS = (
    f"INSERT INTO fee_realizer.source_document ({', '.join(_HEAD)}, held_since)"
    f" SELECT {', '.join(list(_HEAD)[:-2])}, CAST(requirement_ids AS text[]), CAST(item_ids AS text[]),"
    f" CASE WHEN hold_code IS NOT NULL THEN now() END FROM {_HEADS} ORDER BY document_kind, document_id"
)
_UPDATE_HEADS = (
    "UPDATE fee_realizer.source_document d SET source_id = s.source_id, revision = s.revision, realization_no = s.realization_no,"
    " hold_code = s.hold_code, hold_message = s.hold_message, hold_no = s.hold_no,"
    " held_since = CASE WHEN s.hold_code IS NOT NULL THEN coalesce(d.held_since, now()) END,"
    " requirement_ids = CAST(s.requirement_ids AS text[]), item_ids = CAST(s.item_ids AS text[])"
    f" FROM {_HEADS} AND d.document_kind = s.document_kind AND d.document_id = s.document_id"
)
_REVISION = {
    "came_kind": "text",
    "came_document": "text",
    "came_sheet": "text",
    "came_revision": "bigint",
    "came_approved": "boolean",
    "came_stamp": "timestamptz",
    "came_body": "text",
}
_ADD_REVISIONS = (
    "INSERT INTO fee_realizer.source_revision (document_kind, document_id, source_id, revision, approved, approved_at, body)"
    " SELECT document_kind, document_id, source_id, revision, approved, approved_at, CAST(body AS jsonb)"
    f" FROM unnest({columns(_REVISION)}) AS r(document_kind, document_id, source_id, revision, approved, approved_at, body) WHERE document_id IS NOT NULL"
)
_FACT = {
    "fact_kind": "text",
    "fact_id": "text",
    "fact_document_kind": "text",
    "fact_document": "text",
}
_ADD_FACTS = (
    f"INSERT INTO fee_realizer.document_fact SELECT * FROM unnest({columns(_FACT)}) AS f(kind, id, document_kind, document_id)"
    " WHERE id IS NOT NULL ON CONFLICT DO NOTHING"
)
_STATEMENT = {
    "said_kind": "text",
    "said_document": "text",
    "said_number": "integer",
    "said_statement_kind": "text",
    "said_sheet": "text",
    "said_revision": "bigint",
    "said_cause": "text",
    "said_body": "text",
}
_ADD_STATEMENTS = (
    "INSERT INTO fee_realizer.realization (document_kind, document_id, realization_no, realization_kind, source_id, revision, cause, body)"
    f" SELECT * FROM unnest({columns(_STATEMENT)}) AS s(document_kind, document_id, realization_no, realization_kind, source_id, revision, cause, body)"
    " WHERE document_id IS NOT NULL"
)


def _head_values(heads: Sequence[Head]) -> dict[str, str]:
    return {
        "document_kind": joined([head.document_kind for head in heads]),
        "document_id": joined([head.document_id for head in heads]),
        "source_id": joined([head.source_id for head in heads]),
        "revision": joined([str(head.revision) for head in heads]),
        "realization_no": joined([str(head.realization_no) for head in heads]),
        "hold_code": joined([head.hold_code for head in heads]),
        "hold_message": joined([head.hold_message for head in heads]),
        "hold_no": joined([str(head.hold_no) for head in heads]),
        "requirement_ids": joined([text_array(sorted(head.requirement_ids)) for head in heads]),
        "item_ids": joined([text_array(sorted(head.item_ids)) for head in heads]),
    }


def _revision_values(revisions: Sequence[NewRevision]) -> dict[str, str]:
    stamps = [new.mark.approved_at for new in revisions]
    return {
        "came_kind": joined([new.document_kind for new in revisions]),
        "came_document": joined([new.document_id for new in revisions]),
        "came_sheet": joined([new.mark.source_id for new in revisions]),
        "came_revision": joined([str(new.mark.revision) for new in revisions]),
        "came_approved": joined([str(new.mark.approved) for new in revisions]),
        "came_stamp": joined(
            [None if stamp is None else stamp.astimezone(UTC).isoformat() for stamp in stamps]
        ),
        "came_body": joined([new.body for new in revisions]),
    }


def _fact_values(facts: Sequence[FactRow]) -> dict[str, str]:
    return {name: joined([fact[at] for fact in facts]) for at, name in enumerate(_FACT)}


def _statement_values(statements: Sequence[NewRealization]) -> dict[str, str]:
    return {
        "said_kind": joined([new.document_kind for new in statements]),
        "said_document": joined([new.document_id for new in statements]),
        "said_number": joined([str(new.realization_no) for new in statements]),
        "said_statement_kind": joined([new.realization_kind for new in statements]),
        "said_sheet": joined([new.source_id for new in statements]),
        "said_revision": joined([str(new.revision) for new in statements]),
        "said_cause": joined([new.cause for new in statements]),
        "said_body": joined([new.body for new in statements]),
    }
