"""Source documents: their head rows (the lock of a document), every revision that came, and the facts that they name."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.rules.gates import Held
from services.fee_realizer.rules.sheets import RevisionMark
from services.fee_realizer.store.facts import text_array
from services.fee_realizer.store.statements import NewStatement
from shared.database import rows, run

STUB_REVISION = -1
_COLUMNS = "document_id, sheet_id, revision, statement_no, hold_code, hold_sentence, hold_no, requirement_ids, item_ids"


@dataclass(slots=True)
class Head:
    """Where a document stands, to be changed and written back. `stored`: the row is there already."""

    document_kind: str
    document_id: str
    sheet_id: str = ""
    revision: int = STUB_REVISION
    statement_no: int = 0
    hold_code: str | None = None
    hold_sentence: str | None = None
    hold_no: int = 0
    requirement_ids: set[str] = field(default_factory=set)
    item_ids: set[str] = field(default_factory=set)
    stored: bool = False

    def hold(self, held: Held | None) -> None:
        """Takes over a hold, or none."""
        self.hold_code = held.code if held else None
        self.hold_sentence = held.sentence if held else None


@dataclass(frozen=True, slots=True)
class NewRevision:
    """A revision that came and is to be kept, with the body as it came."""

    document_kind: str
    document_id: str
    mark: RevisionMark
    body: str


async def heads_for(connection: AsyncConnection, kind: str, ids: Iterable[str], *, lock: bool) -> dict[str, Head]:
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
            row.sheet_id,
            row.revision,
            row.statement_no,
            row.hold_code,
            row.hold_sentence,
            row.hold_no,
            set(row.requirement_ids),
            set(row.item_ids),
            stored=True,
        )
        for row in found
    }


async def marks_for(connection: AsyncConnection, kind: str, ids: Sequence[str]) -> dict[str, list[RevisionMark]]:
    """What the choice of the sheet needs of all stored revisions."""
    found: dict[str, list[RevisionMark]] = {}
    if ids:
        for row in await rows(
            connection,
            "SELECT document_id, sheet_id, revision, approved, approved_at FROM fee_realizer.source_revision"
            " WHERE document_kind = :kind AND document_id = ANY(CAST(:ids AS text[]))",
            kind=kind,
            ids=list(ids),
        ):
            found.setdefault(row.document_id, []).append(RevisionMark(*row[1:]))
    return found


RevisionKey = tuple[str, str, int]
"""Document id, sheet id, revision."""


async def bodies_for(connection: AsyncConnection, kind: str, keys: Iterable[RevisionKey]) -> dict[RevisionKey, str]:
    """Stored bodies, as JSON text."""
    wanted = sorted(set(keys))
    if not wanted:
        return {}
    found = await rows(
        connection,
        "SELECT r.document_id, r.sheet_id, r.revision, CAST(r.body AS text) AS body"
        " FROM unnest(CAST(:documents AS text[]), CAST(:sheets AS text[]), CAST(:revisions AS bigint[])) AS s(document_id, sheet_id, revision)"
        " JOIN fee_realizer.source_revision r ON r.document_kind = :kind"
        " AND r.document_id = s.document_id AND r.sheet_id = s.sheet_id AND r.revision = s.revision",
        kind=kind,
        documents=[key[0] for key in wanted],
        sheets=[key[1] for key in wanted],
        revisions=[key[2] for key in wanted],
    )
    return {(row.document_id, row.sheet_id, row.revision): row.body for row in found}


async def originals_of(connection: AsyncConnection, sheet_ids: Iterable[str]) -> dict[str, str]:
    """Of known adjustment sheets: the original that each adjusts."""
    wanted = sorted(set(sheet_ids))
    if not wanted:
        return {}
    found = await rows(connection, "SELECT sheet_id, document_id FROM fee_realizer.adjustment_sheet WHERE sheet_id = ANY(CAST(:ids AS text[]))", ids=wanted)
    return {row.sheet_id: row.document_id for row in found}


async def add_adjustment_sheets(connection: AsyncConnection, documents: Mapping[str, str]) -> None:
    """Keeps which original an adjustment belongs to."""
    if documents:
        await run(
            connection,
            "INSERT INTO fee_realizer.adjustment_sheet SELECT * FROM unnest(CAST(:sheets AS text[]), CAST(:documents AS text[])) ON CONFLICT DO NOTHING",
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
    statements: Sequence[NewStatement] = (),
) -> None:
    """Writes what a batch of documents comes to: known heads in place, everything new in one statement, each table in its order.

    A new row that another worker has just made is an error of its key, which is right at the next try; a statement's number is never
    used twice.
    """
    by_id = sorted(heads, key=lambda head: (head.document_kind, head.document_id))
    known, new = [head for head in by_id if head.stored], [head for head in by_id if not head.stored]
    if known:
        await run(connection, _UPDATE_HEADS, **_head_values(known))
    tables = (
        (bool(new), _ADD_HEADS, _head_values(new)),
        (bool(revisions), _ADD_REVISIONS, _revision_values(revisions)),
        (bool(facts), _ADD_FACTS, _fact_values(facts)),
        (bool(statements), _ADD_STATEMENTS, _statement_values(statements)),
    )
    parts = [part for wanted, part, _ in tables if wanted]
    values = {name: column for wanted, _, columns in tables if wanted for name, column in columns.items()}
    if parts:
        besides = ", ".join(f"part_{at} AS ({part})" for at, part in enumerate(parts[:-1]))
        await run(connection, f"WITH {besides} {parts[-1]}" if besides else parts[-1], **values)


_HEAD_COLUMNS = {
    "document_kind": "text",
    "document_id": "text",
    "sheet_id": "text",
    "revision": "bigint",
    "statement_no": "integer",
    "hold_code": "text",
    "hold_sentence": "text",
    "hold_no": "integer",
}
_HEADS = (
    "unnest(" + ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in _HEAD_COLUMNS.items()) + ", CAST(:requirement_ids AS text[]),"
    " CAST(:item_ids AS text[])) AS s(" + ", ".join(_HEAD_COLUMNS) + ", requirement_ids, item_ids)"
)  # fmt: skip
_ADD_HEADS = (
    f"INSERT INTO fee_realizer.source_document ({', '.join(_HEAD_COLUMNS)}, requirement_ids, item_ids, held_since)"
    f" SELECT {', '.join(_HEAD_COLUMNS)}, CAST(requirement_ids AS text[]), CAST(item_ids AS text[]),"
    f" CASE WHEN hold_code IS NOT NULL THEN now() END FROM {_HEADS} ORDER BY document_kind, document_id"
)
_UPDATE_HEADS = (
    "UPDATE fee_realizer.source_document d SET sheet_id = s.sheet_id, revision = s.revision, statement_no = s.statement_no,"
    " hold_code = s.hold_code, hold_sentence = s.hold_sentence, hold_no = s.hold_no,"
    " held_since = CASE WHEN s.hold_code IS NOT NULL THEN coalesce(d.held_since, now()) END,"
    " requirement_ids = CAST(s.requirement_ids AS text[]), item_ids = CAST(s.item_ids AS text[])"
    f" FROM {_HEADS} WHERE d.document_kind = s.document_kind AND d.document_id = s.document_id"
)
_ADD_REVISIONS = (
    "INSERT INTO fee_realizer.source_revision (document_kind, document_id, sheet_id, revision, approved, approved_at, body)"
    " SELECT document_kind, document_id, sheet_id, revision, approved, approved_at, CAST(body AS jsonb)"
    " FROM unnest(CAST(:came_kinds AS text[]), CAST(:came_documents AS text[]), CAST(:came_sheets AS text[]), CAST(:came_revisions AS bigint[]),"
    " CAST(:came_approved AS boolean[]), CAST(:came_stamps AS timestamptz[]), CAST(:came_bodies AS text[]))"
    " AS r(document_kind, document_id, sheet_id, revision, approved, approved_at, body)"
)
_ADD_FACTS = (
    "INSERT INTO fee_realizer.document_fact SELECT * FROM unnest(CAST(:fact_kinds AS text[]), CAST(:fact_ids AS text[]),"
    " CAST(:fact_document_kinds AS text[]), CAST(:fact_documents AS text[])) ON CONFLICT DO NOTHING"
)
_ADD_STATEMENTS = (
    "INSERT INTO fee_realizer.statement (document_kind, document_id, statement_no, statement_kind, sheet_id, revision, cause, body)"
    " SELECT * FROM unnest(CAST(:said_kinds AS text[]), CAST(:said_documents AS text[]), CAST(:said_numbers AS integer[]),"
    " CAST(:said_statement_kinds AS text[]), CAST(:said_sheets AS text[]), CAST(:said_revisions AS bigint[]), CAST(:said_causes AS text[]),"
    " CAST(:said_bodies AS text[]))"
)


def _head_values(heads: Sequence[Head]) -> dict[str, list[Any]]:
    values: dict[str, list[Any]] = {name: [getattr(head, name) for head in heads] for name in _HEAD_COLUMNS}
    values["requirement_ids"] = [text_array(sorted(head.requirement_ids)) for head in heads]
    values["item_ids"] = [text_array(sorted(head.item_ids)) for head in heads]
    return values


def _revision_values(revisions: Sequence[NewRevision]) -> dict[str, list[Any]]:
    return {
        "came_kinds": [new.document_kind for new in revisions],
        "came_documents": [new.document_id for new in revisions],
        "came_sheets": [new.mark.sheet_id for new in revisions],
        "came_revisions": [new.mark.revision for new in revisions],
        "came_approved": [new.mark.approved for new in revisions],
        "came_stamps": [new.mark.approved_at for new in revisions],
        "came_bodies": [new.body for new in revisions],
    }


def _fact_values(facts: Sequence[FactRow]) -> dict[str, list[Any]]:
    return {name: [fact[at] for fact in facts] for at, name in enumerate(("fact_kinds", "fact_ids", "fact_document_kinds", "fact_documents"))}


def _statement_values(statements: Sequence[NewStatement]) -> dict[str, list[Any]]:
    return {
        "said_kinds": [new.document_kind for new in statements],
        "said_documents": [new.document_id for new in statements],
        "said_numbers": [new.statement_no for new in statements],
        "said_statement_kinds": [new.statement_kind for new in statements],
        "said_sheets": [new.sheet_id for new in statements],
        "said_revisions": [new.revision for new in statements],
        "said_causes": [new.cause for new in statements],
        "said_bodies": [new.body for new in statements],
    }
