"""Which sheet of a document counts: of an original and its adjustments, and of each sheet's revisions.

Source: design 1 (what the ATS says), domain rules 5. Only the newest revision of each sheet counts; among sheets that were ever
approved the highest (approved_at, sheet id) is the document. The order of arrival has no say.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

_EARLIEST = datetime.min.replace(tzinfo=UTC)


class RevisionMark(NamedTuple):
    """What the choice needs to know of a revision. Approved without a stamp: an imported row, the earliest of all."""

    source_id: str
    revision: int
    approved: bool = True
    approved_at: datetime | None = None


def chosen(document_id: str, marks: Iterable[RevisionMark]) -> RevisionMark | None:
    """The revision that is the document, or None if there is nothing but adjustments that were never approved.

    A revision that lost its approval keeps, for this order, the last approved_at of its sheet. An original that was never
    approved stands below every sheet that was: it is the document only while it is alone, and waits for its approval.
    """
    every = list(marks)
    if len(every) == 1 and every[0].source_id == document_id:  # how most documents come
        return every[0]
    sheets: dict[str, list[RevisionMark]] = {}
    for mark in every:
        sheets.setdefault(mark.source_id, []).append(mark)
    best: tuple[tuple[bool, datetime, str], RevisionMark] | None = None
    for source_id, revisions in sheets.items():
        revisions.sort(key=lambda mark: mark.revision, reverse=True)
        approved = next((mark for mark in revisions if mark.approved), None)
        if approved is None and source_id != document_id:
            continue
        order = (approved is not None, (approved and approved.approved_at) or _EARLIEST, source_id)
        if best is None or order > best[0]:
            best = (order, revisions[0])
    return best[1] if best else None


def misplaced(
    document_id: str, source_id: str, document_of: Mapping[str, str], originals: Iterable[str]
) -> tuple[str, str] | None:
    """Why a sheet cannot belong to the document that it names, in code and message; None if it can.

    `document_of` says of known adjustment sheets which original they adjust, `originals` which ids are documents themselves.
    """
    if document_of.get(source_id, document_id) != document_id:
        before = document_of[source_id]
        return (
            "conflict",
            f"timesheet {source_id} came before as an adjustment of {before}: a sheet never changes its original; send a new id",
        )
    if source_id == document_id:
        return None
    if source_id in originals:
        return (
            "conflict",
            f"timesheet {source_id} is an original itself: it can't adjust {document_id}; send the adjustment under an id of its own",
        )
    if document_id in document_of:
        original = document_of[document_id]
        return (
            "adjusts_adjustment",
            f"timesheet {source_id} adjusts {document_id}, which is itself an adjustment: name the original, {original}",
        )
    return None
