"""Which revision of a document is in force, of an original timesheet and its adjustments.

Only the newest revision of each timesheet counts. Among timesheets that were ever approved, the one
with the highest (approved_at, timesheet id) is in force. The order of arrival does not matter.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

_EARLIEST = datetime.min.replace(tzinfo=UTC)


class RevisionMark(NamedTuple):
    """What decides which revision is in force.

    `approved` without `approved_at` is an imported row, the earliest of all.
    """

    source_id: str
    revision: int
    approved: bool = True
    approved_at: datetime | None = None


def revision_in_force(document_id: str, marks: Iterable[RevisionMark]) -> RevisionMark | None:
    """Return the revision in force; None if there are only adjustments that were never approved.

    A revision that lost its approval keeps, in this order, the last approved_at of its timesheet.
    An original that was never approved ranks below every approved timesheet: it is in force only
    while it is alone, and waits for its approval.
    """
    every = list(marks)
    if len(every) == 1 and every[0].source_id == document_id:  # the usual case
        return every[0]
    by_source: dict[str, list[RevisionMark]] = {}
    for mark in every:
        by_source.setdefault(mark.source_id, []).append(mark)
    best: tuple[tuple[bool, datetime, str], RevisionMark] | None = None
    for source_id, revisions in by_source.items():
        revisions.sort(key=lambda mark: mark.revision, reverse=True)
        approved = next((mark for mark in revisions if mark.approved), None)
        if approved is None and source_id != document_id:
            continue
        rank = (approved is not None, (approved and approved.approved_at) or _EARLIEST, source_id)
        if best is None or rank > best[0]:
            best = (rank, revisions[0])
    return best[1] if best else None


def invalid_adjustment(
    document_id: str, source_id: str, original_of: Mapping[str, str], originals: Iterable[str]
) -> tuple[str, str] | None:
    """Return code and message if a timesheet cannot belong to the document that it names.

    `original_of` maps known adjustments to their originals; `originals` are ids of documents.
    """
    before = original_of.get(source_id, document_id)
    if before != document_id:
        return (
            "conflict",
            f"timesheet {source_id} was received as an adjustment of {before}:"
            " a timesheet never changes its original; send a new id",
        )
    if source_id == document_id:
        return None
    if source_id in originals:
        return (
            "conflict",
            f"timesheet {source_id} is an original itself: it can't adjust {document_id};"
            " send the adjustment under an id of its own",
        )
    if document_id in original_of:
        return (
            "adjusts_adjustment",
            f"timesheet {source_id} adjusts {document_id}, which is itself an adjustment:"
            f" name the original, {original_of[document_id]}",
        )
    return None
