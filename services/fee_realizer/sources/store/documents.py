"""Source documents: their head rows (the lock of a document), revisions and the facts they name."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.facts.store import grouped, rows_of
from services.fee_realizer.sources.rules.revisions import RevisionMark
from shared.database import by_column, columns, insert_rows, joined, kinds_of, rows, run, unnested

STUB_REVISION = -1
# Document id, source id (the timesheet or placement), revision.
SourceRevision = tuple[str, str, int]
# A fact (kind, id) that a document (kind, id) names.
FactRow = tuple[str, str, str, str]
# A received revision to be stored: document kind and id, mark, the body as received.
NewRevision = tuple[str, str, RevisionMark, str]

HEAD = kinds_of(
    "document_kind text, document_id text, source_id text, revision bigint, realization_no "
    "integer, hold_code text, hold_message text, hold_no integer, requirement_ids text, "
    "item_ids text, company_ids text"
)
REVISION = kinds_of(
    "document_kind text, document_id text, source_id text, revision bigint, approved boolean, "
    "approved_at timestamptz, body text"
)
FACT = kinds_of("fact_kind text, fact_id text, document_kind text, document_id text")
HOLD = kinds_of(
    "document_kind text, document_id text, hold_no integer, hold_code text, hold_message text, "
    "billing_company text, held_on date, effective_date date, hours numeric"
)
HOLD_OF_HEAD = tuple(HOLD)[:5]
REALIZATION = kinds_of(
    "document_kind text, document_id text, realization_no integer, realization_kind text, "
    "source_id text, revision bigint, cause text, body text"
)


class NamedFacts(NamedTuple):
    """The ids of the requirements, catalog items and billing companies that documents name."""

    requirement_ids: frozenset[str] = frozenset()
    item_ids: frozenset[str] = frozenset()
    company_ids: frozenset[str] = frozenset()

    def with_those_of(self, other: "NamedFacts") -> "NamedFacts":
        """Return the ids of both."""
        return NamedFacts(*(mine | theirs for mine, theirs in zip(self, other, strict=True)))


NO_FACTS = NamedFacts()
FACT_KINDS = ("requirement", "catalog_item", "billing_company")
"""The kinds of facts in the order of `NamedFacts`."""


class Waiting(NamedTuple):
    """What waits, or no longer waits: company ('' if unknown), today there, date, billable hours.

    The date is the week ending, the start or the service date. Only timesheets have hours.
    """

    billing_company: str
    held_on: date
    effective_date: date | None
    hours: Decimal | None


@dataclass(slots=True)
class DocumentHead:
    """The head row of a document, to be changed and written back. `stored`: the row exists.

    `waiting`: what is held or released by this change, or stays held. It is stored if it differs
    from what was stored last: the company of a held document can change.
    """

    document_kind: str
    document_id: str
    source_id: str = ""
    revision: int = STUB_REVISION
    realization_no: int = 0
    hold_code: str | None = None
    hold_message: str | None = None
    hold_no: int = 0
    facts: NamedFacts = NO_FACTS
    stored: bool = False
    waiting: Waiting | None = None

    @property
    def source_revision(self) -> SourceRevision:
        """The revision in force."""
        return self.document_id, self.source_id, self.revision


class NewRealization(NamedTuple):
    """A realization to be stored; `body` is the event's value, byte for byte."""

    document_kind: str
    document_id: str
    realization_no: int
    realization_kind: str
    source_id: str
    revision: int
    cause: str
    body: str


async def heads_for(
    connection: AsyncConnection, kind: str, ids: Collection[str], *, lock: bool
) -> dict[str, DocumentHead]:
    """Return the head rows that exist, by document id; locked in the order of their ids, or not."""
    found = await rows_of(
        connection,
        f"SELECT {', '.join(HEAD)} FROM fee_realizer.source_document"
        " WHERE document_kind = :kind AND document_id = ANY(CAST(:ids AS text[]))"
        + (" ORDER BY document_id FOR UPDATE" if lock else ""),
        ids,
        kind=kind,
    )
    heads: dict[str, DocumentHead] = {}
    for row in found:
        values: list[Any] = [*row[:8], NamedFacts(*map(frozenset, row[8:])), True]
        heads[row.document_id] = DocumentHead(*values)
    return heads


async def marks_for(
    connection: AsyncConnection, kind: str, ids: Sequence[str]
) -> dict[str, list[RevisionMark]]:
    """Return the marks of all stored revisions of each document."""
    found = await rows_of(
        connection,
        "SELECT document_id, source_id, revision, approved, approved_at"
        " FROM fee_realizer.source_revision"
        " WHERE document_kind = :kind AND document_id = ANY(CAST(:ids AS text[]))",
        ids,
        kind=kind,
    )
    return grouped(found, RevisionMark)


async def bodies_for(
    connection: AsyncConnection, kind: str, keys: Iterable[SourceRevision]
) -> dict[SourceRevision, str]:
    """Return stored bodies, as JSON text."""
    wanted = sorted(set(keys))
    if not wanted:
        return {}
    kinds = "document_id text, source_id text, revision bigint"
    found = await rows(
        connection,
        "SELECT r.document_id, r.source_id, r.revision, CAST(r.body AS text) AS body"
        f" FROM {unnested(kinds)} JOIN fee_realizer.source_revision r ON r.document_kind = :kind"
        " AND r.document_id = s.document_id AND r.source_id = s.source_id"
        " AND r.revision = s.revision",
        kind=kind,
        **by_column(kinds, wanted),
    )
    return {(row.document_id, row.source_id, row.revision): row.body for row in found}


async def all_bodies(
    connection: AsyncConnection, kind: str, ids: Collection[str]
) -> dict[str, list[str]]:
    """Return the bodies of all stored revisions of each document, as JSON text."""
    found = await rows_of(
        connection,
        "SELECT document_id, CAST(body AS text) AS body FROM fee_realizer.source_revision"
        " WHERE document_kind = :kind AND document_id = ANY(CAST(:ids AS text[]))"
        " ORDER BY document_id, revision",
        ids,
        kind=kind,
    )
    return grouped(found, str)


async def bodies_of_worker(
    connection: AsyncConnection, worker_id: str
) -> list[tuple[str, SourceRevision, str]]:
    """Return kind, key and JSON text of every revision of a worker's documents, and lock them.

    A charge is one if it has the id in an undeclared field.
    """
    found = await rows(
        connection,
        "SELECT document_kind, document_id, source_id, revision, CAST(body AS text) AS body"
        " FROM fee_realizer.source_revision WHERE body ->> 'worker_id' = :id"
        " ORDER BY document_kind, document_id, source_id, revision FOR UPDATE",
        id=worker_id,
    )
    return [
        (row.document_kind, (row.document_id, row.source_id, row.revision), row.body)
        for row in found
    ]


async def replace_bodies(
    connection: AsyncConnection, bodies: Iterable[tuple[str, str, str, int, str]]
) -> None:
    """Replace the bodies of revisions: kind, document, source, revision, JSON text."""
    changed = list(bodies)
    if not changed:
        return
    kinds = "document_kind text, document_id text, source_id text, revision bigint, body text"
    await run(
        connection,
        "UPDATE fee_realizer.source_revision r SET body = CAST(s.body AS jsonb)"
        f" FROM {unnested(kinds)} WHERE r.document_kind = s.document_kind"
        " AND r.document_id = s.document_id AND r.source_id = s.source_id"
        " AND r.revision = s.revision",
        **by_column(kinds, changed),
    )


async def originals_of(connection: AsyncConnection, source_ids: Collection[str]) -> dict[str, str]:
    """Return the original of each known adjustment timesheet among these."""
    return {
        row.source_id: row.document_id
        for row in await rows_of(
            connection,
            "SELECT source_id, document_id FROM fee_realizer.adjustment_timesheet"
            " WHERE source_id = ANY(CAST(:ids AS text[]))",
            source_ids,
        )
    }


async def facts_of(connection: AsyncConnection, kind: str | None, document_id: str) -> NamedFacts:
    """Return the facts that a document names; without a kind, that all of the id name."""
    found = NO_FACTS
    for row in await rows(
        connection,
        "SELECT requirement_ids, item_ids, company_ids FROM fee_realizer.source_document"
        " WHERE document_id = :id AND (CAST(:kind AS text) IS NULL OR document_kind = :kind)",
        id=document_id,
        kind=kind,
    ):
        found = found.with_those_of(NamedFacts(*map(frozenset, row)))
    return found


async def add_adjustments(connection: AsyncConnection, originals: Mapping[str, str]) -> None:
    """Keep the original of each new adjustment timesheet."""
    kinds = "source_id text, document_id text"
    pairs = list(originals.items())
    await insert_rows(
        connection,
        "fee_realizer.adjustment_timesheet",
        kinds,
        pairs,
        on_conflict="ON CONFLICT DO NOTHING",
    )


async def save(
    connection: AsyncConnection,
    heads: Iterable[DocumentHead],
    revisions: Sequence[NewRevision] = (),
    facts: Sequence[FactRow] = (),
    realizations: Sequence[NewRealization] = (),
) -> None:
    """Save a batch: update known heads in place, insert everything new with one statement.

    A row that another worker inserted in the meantime violates a unique key; the retry succeeds. A
    realization number is never used twice.
    """
    ordered = sorted(heads, key=lambda head: (head.document_kind, head.document_id))
    known = [_head_values(head) for head in ordered if head.stored]
    new = [_head_values(head) for head in ordered if not head.stored]
    if known:
        await run(connection, _UPDATE_HEADS, **_parameters("head", HEAD, known))
    holds = [
        _texts((*(getattr(head, name) for name in HOLD_OF_HEAD), *head.waiting))
        for head in ordered
        if head.waiting is not None
    ]
    inserts = [
        (_ADD_HOLDS, _parameters("hold", HOLD, holds)),
        (_ADD_HEADS, _parameters("head", HEAD, new)),
        (_ADD_REVISIONS, _parameters("revision", REVISION, map(_revision_values, revisions))),
        (_ADD_FACTS, _parameters("fact", FACT, facts)),
        (_ADD_REALIZATIONS, _parameters("new", REALIZATION, map(_texts, realizations))),
    ]
    inserts = [(statement, values) for statement, values in inserts if values]
    if inserts:
        *others, last = [statement for statement, _ in inserts]
        ctes = ", ".join(f"part_{at} AS ({statement})" for at, statement in enumerate(others))
        parameters = {name: column for _, values in inserts for name, column in values.items()}
        await run(connection, f"WITH {ctes} {last}" if ctes else last, **parameters)


def _source(prefix: str, kinds: Mapping[str, str]) -> str:
    """Return the FROM clause over the parameters of `_parameters`, without its final NULL row."""
    arrays = columns({f"{prefix}_{name}": kind for name, kind in kinds.items()})
    return f"FROM unnest({arrays}) AS s({', '.join(kinds)}) WHERE s.document_id IS NOT NULL"


def _parameters(
    prefix: str, kinds: Mapping[str, str], values: Iterable[Iterable[str | None]]
) -> dict[str, str]:
    """Return each column as one text, by parameter name; empty without rows."""
    by_name = zip(kinds, zip(*values, strict=True), strict=False)
    return {f"{prefix}_{name}": joined(column) for name, column in by_name}


_ADD_HEADS = f"""
    INSERT INTO fee_realizer.source_document ({", ".join(HEAD)}, held_since)
    SELECT {", ".join(list(HEAD)[:-3])}, CAST(requirement_ids AS text[]),
      CAST(item_ids AS text[]), CAST(company_ids AS text[]),
      CASE WHEN hold_code IS NOT NULL THEN now() END
    {_source("head", HEAD)} ORDER BY document_kind, document_id
"""
_UPDATE_HEADS = f"""
    UPDATE fee_realizer.source_document d
    SET source_id = s.source_id, revision = s.revision, realization_no = s.realization_no,
      hold_code = s.hold_code, hold_message = s.hold_message, hold_no = s.hold_no,
      held_since = CASE WHEN s.hold_code IS NOT NULL THEN coalesce(d.held_since, now()) END,
      requirement_ids = CAST(s.requirement_ids AS text[]), item_ids = CAST(s.item_ids AS text[]),
      company_ids = CAST(s.company_ids AS text[])
    {_source("head", HEAD)}
      AND d.document_kind = s.document_kind AND d.document_id = s.document_id
"""
_ADD_REVISIONS = f"""
    INSERT INTO fee_realizer.source_revision ({", ".join(REVISION)})
    SELECT {", ".join(list(REVISION)[:-1])}, CAST(body AS jsonb) {_source("revision", REVISION)}
"""
_ADD_FACTS = f"""
    INSERT INTO fee_realizer.document_fact ({", ".join(FACT)})
    SELECT * {_source("fact", FACT)} ON CONFLICT DO NOTHING
"""
_ADD_HOLDS = f"""
    INSERT INTO fee_realizer.hold_event ({", ".join(HOLD)}) SELECT * {_source("hold", HOLD)}
      AND NOT EXISTS (
        SELECT 1 FROM (
          SELECT e.* FROM fee_realizer.hold_event e
          WHERE e.document_kind = s.document_kind AND e.document_id = s.document_id
          ORDER BY e.hold_no DESC, e.held_at DESC LIMIT 1) AS last
        WHERE last.hold_no = s.hold_no AND last.billing_company = s.billing_company
          AND (last.effective_date, last.hours) IS NOT DISTINCT FROM (s.effective_date, s.hours))
"""
_ADD_REALIZATIONS = f"""
    INSERT INTO fee_realizer.realization ({", ".join(REALIZATION)})
    SELECT * {_source("new", REALIZATION)}
"""


def _texts(values: Iterable[object]) -> list[str | None]:
    return [None if value is None else str(value) for value in values]


def _head_values(head: DocumentHead) -> list[str | None]:
    return [
        head.document_kind,
        head.document_id,
        head.source_id,
        str(head.revision),
        str(head.realization_no),
        head.hold_code,
        head.hold_message,
        str(head.hold_no),
        *(_text_array(sorted(ids)) for ids in head.facts),
    ]


def _text_array(values: Iterable[str]) -> str:
    """Return an array literal, for a column of a row set that is an array itself."""
    quoted = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join(f'"{value}"' for value in quoted) + "}"


def _revision_values(new: NewRevision) -> list[str | None]:
    kind, document_id, (source_id, revision, approved, approved_at), body = new
    instant = approved_at and approved_at.astimezone(UTC).isoformat()
    return _texts((kind, document_id, source_id, revision, approved, instant, body))
