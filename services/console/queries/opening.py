"""What the import of opening data compares its files with: debtors, requirements, bill rates."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from services.console.queries.snapshot import ReadConnection, fetch
from services.console.queries.source_revisions import in_chunks


class KnownRate(NamedTuple):
    """A bill rate in force from a date on."""

    effective_from: date
    price: Decimal
    unit: str


class KnownRequirement(NamedTuple):
    """A requirement: its billing company, rate book, and what separates its lines."""

    billing_company: str
    rate_book: int
    project: str
    cost_center: str
    po_number: str


@dataclass(slots=True)
class OpeningFacts:
    """What is known of what the files name. Rates are by requirement and time type, by
    date; of the occurrences of assignments the revision in force."""

    companies: set[str] = field(default_factory=set)
    account_names: set[str] = field(default_factory=set)
    requirements: dict[str, KnownRequirement] = field(default_factory=dict)
    rates: dict[tuple[str, str], list[KnownRate]] = field(default_factory=dict)
    occurrences: dict[str, int] = field(default_factory=dict)


async def known_for_opening(
    connection: ReadConnection,
    companies: Collection[str],
    account_names: Collection[str],
    requirement_ids: Collection[str],
    occurrences: Collection[str] = (),
) -> OpeningFacts:
    """What is known of these ids and names; of two rates from one date, that of a command."""
    known = OpeningFacts()
    rows = await fetch(
        connection,
        "SELECT billing_company FROM fee_realizer.console_billing_company"
        " WHERE billing_company = ANY(CAST(:ids AS text[]))",
        ids=sorted(companies),
    )
    known.companies = {row["billing_company"] for row in rows}
    for chunk in in_chunks(account_names):
        rows = await fetch(
            connection,
            "SELECT DISTINCT account_name FROM invoicer.console_billto_node"
            " WHERE account_name = ANY(CAST(:names AS text[]))",
            names=chunk,
        )
        known.account_names |= {row["account_name"] for row in rows}
    for chunk in in_chunks(requirement_ids):
        for row in await fetch(
            connection,
            "SELECT requirement_id, billing_company, rate_book, coalesce(e ->> 'project', '') AS"
            " project, coalesce(e ->> 'cost_center', '') AS cost_center,"
            " coalesce(e ->> 'po_number', '') AS po_number"
            " FROM fee_realizer.console_requirement"
            " CROSS JOIN LATERAL (SELECT body -> 'engagement' AS e) x"
            " WHERE requirement_id = ANY(CAST(:ids AS text[]))",
            ids=chunk,
        ):
            requirement_id = row.pop("requirement_id")
            known.requirements[requirement_id] = KnownRequirement(**row)
        for row in await fetch(
            connection,
            "SELECT DISTINCT ON (requirement_id, time_type, effective_from)"
            " requirement_id, time_type, effective_from, unit_price AS price, unit"
            " FROM fee_realizer.console_bill_rate"
            " WHERE until_book IS NULL AND requirement_id = ANY(CAST(:ids AS text[]))"
            " ORDER BY requirement_id, time_type, effective_from, source = 'command' DESC",
            ids=chunk,
        ):
            key = (row.pop("requirement_id"), row.pop("time_type"))
            known.rates.setdefault(key, []).append(KnownRate(**row))
    for chunk in in_chunks(occurrences):
        rows = await fetch(
            connection,
            "SELECT document_id, revision FROM fee_realizer.console_document"
            " WHERE document_kind = 'assignment' AND document_id = ANY(CAST(:ids AS text[]))",
            ids=chunk,
        )
        known.occurrences |= {row["document_id"]: row["revision"] for row in rows}
    return known
