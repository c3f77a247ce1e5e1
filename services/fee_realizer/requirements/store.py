"""Requirements in PostgreSQL: every revision, the newest state, statuses and bill rates."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncConnection

from services.fee_realizer.facts.store import add_stubs, grouped, rows_of
from services.fee_realizer.requirements.rules import ATS, RateConfirmation, RateVersion
from shared.database import by_column, insert_rows, kinds_of, rows, run, unnested
from shared.events.ats import RequirementChanged

RequirementRevision = tuple[str, int]  # requirement id, revision
FIELDS = (
    "billing_company", "office_id", "job_title", "reference", "client_contact",
    "client_reference", "currency",
)  # fmt: skip
ENGAGEMENT_FIELDS = ("project", "cost_center", "po_number")
REQUIREMENT = kinds_of(
    "requirement_id text, revision bigint, rate_book integer, body text, retainer text"
) | dict.fromkeys((*FIELDS, *ENGAGEMENT_FIELDS), "text")
STATUS = kinds_of("requirement_id text, from_date date, status text, position_type text")
RATE_KEY = kinds_of(
    "requirement_id text, time_type text, effective_from date, source text, since_book integer"
)
RATE_VERSION = RATE_KEY | {
    "until_book": "integer",
    "unit_price": "numeric",
    "unit": "text",
    "actor": "text",
}


@dataclass(slots=True)
class RequirementUpdate:
    """A requirement, locked FOR UPDATE, with the changes to write back.

    `ended` are stored versions that end with a rate book, `begun` are new versions.
    """

    requirement_id: str
    known: bool
    revision: int
    rate_book: int
    event: RequirementChanged | None = None
    body: str = ""
    ended: list[tuple[RateVersion, int]] = field(default_factory=list)
    begun: list[RateVersion] = field(default_factory=list)


async def lock_requirements(
    connection: AsyncConnection, requirement_ids: Iterable[str]
) -> dict[str, RequirementUpdate]:
    """Lock requirements for change, in the order of their ids; insert stubs for unknown ones."""
    wanted = sorted(set(requirement_ids))
    await add_stubs(connection, "requirement", wanted)
    return {
        row.requirement_id: RequirementUpdate(*row)
        for row in await rows(
            connection,
            "SELECT requirement_id, known, revision, rate_book FROM fee_realizer.requirement"
            " WHERE requirement_id = ANY(CAST(:ids AS text[])) ORDER BY requirement_id FOR UPDATE",
            ids=wanted,
        )
    }


async def companies_of(connection: AsyncConnection, requirement_ids: Iterable[str]) -> set[str]:
    """Return the billing companies of requirements; that of an unknown one is missing."""
    found = await rows(
        connection,
        "SELECT DISTINCT billing_company FROM fee_realizer.requirement"
        " WHERE requirement_id = ANY(CAST(:ids AS text[])) AND billing_company <> ''",
        ids=sorted(set(requirement_ids)),
    )
    return {row.billing_company for row in found}


async def revision_bodies(
    connection: AsyncConnection, keys: Iterable[RequirementRevision]
) -> dict[RequirementRevision, str]:
    """Return the stored revisions among these, as JSON text."""
    wanted = sorted(set(keys))
    if not wanted:
        return {}
    kinds = "requirement_id text, revision bigint"
    return {
        (row.requirement_id, row.revision): row.body
        for row in await rows(
            connection,
            "SELECT r.requirement_id, r.revision, CAST(r.body AS text) AS body"
            f" FROM {unnested(kinds)} JOIN fee_realizer.requirement_revision r"
            " ON r.requirement_id = s.requirement_id AND r.revision = s.revision",
            **by_column(kinds, wanted),
        )
    }


async def add_revisions(
    connection: AsyncConnection, bodies: Mapping[RequirementRevision, str]
) -> None:
    """Keep the revisions that the ATS sent."""
    kinds = "requirement_id text, revision bigint, body jsonb"
    await insert_rows(
        connection,
        "fee_realizer.requirement_revision",
        kinds,
        [(*key, body) for key, body in bodies.items()],
    )


async def save_requirements(
    connection: AsyncConnection, updates: Sequence[RequirementUpdate]
) -> None:
    """Write the newest state of requirements: fields, statuses and rate versions."""
    events = [update.event for update in updates if update.event is not None]
    if not events:
        return
    names = (*FIELDS, *ENGAGEMENT_FIELDS)
    values = [
        (
            *(update.requirement_id, update.revision, update.rate_book, update.body),
            event.retainer.model_dump_json() if event.retainer else None,
            *(getattr(event, name) for name in FIELDS),
            *(getattr(event.engagement, name) for name in ENGAGEMENT_FIELDS),
        )
        for update, event in zip(updates, events, strict=True)
    ]
    await run(
        connection,
        "UPDATE fee_realizer.requirement r SET known = true, revision = s.revision,"
        " rate_book = s.rate_book, body = CAST(s.body AS jsonb),"
        " retainer = CAST(s.retainer AS jsonb),"
        f" {', '.join(f'{name} = s.{name}' for name in names)}"
        f" FROM {unnested(REQUIREMENT)} WHERE r.requirement_id = s.requirement_id",
        **by_column(REQUIREMENT, values),
    )
    await run(
        connection,
        "DELETE FROM fee_realizer.requirement_status"
        " WHERE requirement_id = ANY(CAST(:ids AS text[]))",
        ids=[event.requirement_id for event in events],
    )
    statuses = [
        (event.requirement_id, one.from_date, one.status, one.position_type)
        for event in events
        for one in event.statuses
    ]
    await insert_rows(connection, "fee_realizer.requirement_status", STATUS, statuses)
    await save_rate_versions(connection, updates, ATS)


async def save_rate_versions(
    connection: AsyncConnection, updates: Sequence[RequirementUpdate], actor: str
) -> None:
    """Write the rate versions that end and begin with a change of rate books."""
    begun = [
        (*_rate_key(update, one), one.until_book, one.unit_price, one.unit, actor)
        for update in updates
        for one in update.begun
    ]
    await insert_rows(connection, "fee_realizer.rate_version", RATE_VERSION, begun)
    ended = [(*_rate_key(update, one), book) for update in updates for one, book in update.ended]
    if ended:
        kinds = RATE_KEY | {"until_book": "integer"}
        same_key = " AND ".join(f"r.{name} = s.{name}" for name in RATE_KEY)
        await run(
            connection,
            "UPDATE fee_realizer.rate_version r SET until_book = s.until_book"
            f" FROM {unnested(kinds)} WHERE {same_key}",
            **by_column(kinds, ended),
        )


def _rate_key(update: RequirementUpdate, version: RateVersion) -> tuple[object, ...]:
    return (
        update.requirement_id,
        version.time_type,
        version.effective_from,
        version.source,
        version.since_book,
    )


async def close_requirements(connection: AsyncConnection, requirement_ids: Sequence[str]) -> None:
    """Mark requirements as closed. Their statuses still decide what can be billed."""
    if requirement_ids:
        await run(
            connection,
            "UPDATE fee_realizer.requirement SET closed = true"
            " WHERE requirement_id = ANY(CAST(:ids AS text[])) AND NOT closed",
            ids=list(requirement_ids),
        )


async def rate_versions(
    connection: AsyncConnection, requirement_ids: Sequence[str], *, ended: bool = False
) -> dict[str, list[RateVersion]]:
    """Return the versions of the newest rate book, or those that have ended."""
    return grouped(
        await rows_of(
            connection,
            "SELECT requirement_id, time_type, effective_from, source, unit_price, unit,"
            " since_book, until_book FROM fee_realizer.rate_version"
            " WHERE requirement_id = ANY(CAST(:ids AS text[]))"
            f" AND until_book IS {'NOT ' if ended else ''}NULL",
            requirement_ids,
        ),
        RateVersion,
    )


async def confirmations(
    connection: AsyncConnection, requirement_ids: Sequence[str]
) -> dict[str, list[RateConfirmation]]:
    """Return the rate versions that operators confirmed, the newest rate book first."""
    return grouped(
        await rows_of(
            connection,
            "SELECT requirement_id, time_type, effective_from, rate_book"
            " FROM fee_realizer.rate_confirmation WHERE requirement_id = ANY(CAST(:ids AS text[]))"
            " ORDER BY requirement_id, rate_book DESC, time_type, effective_from",
            requirement_ids,
        ),
        RateConfirmation,
    )
