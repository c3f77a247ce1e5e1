"""Which revision of a timesheet and its adjustments is in force."""

import itertools
from datetime import UTC, datetime

import pytest

from services.fee_realizer.sources.rules.revisions import (
    RevisionMark,
    invalid_adjustment,
    revision_in_force,
)


def at(
    source_id: str, revision: int, day: int | None = None, approved: bool = True
) -> RevisionMark:
    """Return a revision approved on a day of March, approved without instant, or not approved."""
    return RevisionMark(
        source_id, revision, approved, datetime(2026, 3, day, tzinfo=UTC) if day else None
    )


def unapproved(source_id: str, revision: int) -> RevisionMark:
    """Return a revision without approval."""
    return at(source_id, revision, approved=False)


CASES: dict[str, tuple[list[RevisionMark], tuple[str, int] | None]] = {
    "an original alone": ([at("A", 1, 9)], ("A", 1)),
    "only the newest revision of a timesheet counts": (
        [at("A", 1, 9), at("A", 3, 8), at("A", 2, 20)],
        ("A", 3),
    ),
    "gaps in revisions are allowed": ([at("A", 7, 9), at("A", 70, 9)], ("A", 70)),
    "the later approval is the document": ([at("A", 1, 9), at("B", 1, 10)], ("B", 1)),
    "the original approved last is the document": ([at("A", 1, 11), at("B", 1, 10)], ("A", 1)),
    "equal stamps: the higher timesheet id": (
        [at("A", 1, 9), at("C", 1, 9), at("B", 1, 9)],
        ("C", 1),
    ),
    "an absent stamp is the earliest": ([at("A", 1, 9), at("B", 1)], ("A", 1)),
    "absent stamps: the higher timesheet id": ([at("A", 1), at("B", 1)], ("B", 1)),
    "an adjustment never approved takes no part": (
        [at("A", 1, 9), unapproved("B", 1), unapproved("B", 2)],
        ("A", 1),
    ),
    "an original never approved waits": ([unapproved("A", 1)], ("A", 1)),
    "an approved adjustment beats an original never approved": (
        [unapproved("Z", 1), at("B", 1)],
        ("B", 1),
    ),
    "a lost approval keeps its place and is chosen unapproved": (
        [at("A", 1, 9), at("B", 1, 10), unapproved("B", 2)],
        ("B", 2),
    ),
    "a lost approval below another changes nothing": (
        [at("A", 1, 11), at("B", 1, 10), unapproved("B", 2)],
        ("A", 1),
    ),
    "the last approval of the timesheet, not its highest": (
        [at("A", 1, 9), at("B", 1, 20), at("B", 2, 8), unapproved("B", 3)],
        ("A", 1),
    ),
    "a lost approval without stamp is the earliest": (
        [at("A", 1, 9), at("B", 1), unapproved("B", 2)],
        ("A", 1),
    ),
    "nothing but adjustments never approved is no document": ([unapproved("B", 1)], None),
}


@pytest.mark.parametrize("case", CASES)
def test_the_revision_in_force(case: str) -> None:
    """The highest (approved_at, timesheet id) of all newest revisions, in any order of arrival."""
    marks, expected = CASES[case]
    document_id = "Z" if case.startswith("an approved adjustment beats") else "A"
    for order in itertools.permutations(marks):
        mark = revision_in_force(document_id, order)
        assert (mark and (mark.source_id, mark.revision)) == expected


ADJUSTMENTS = {
    "an original": (("A", "A"), {}, set(), None),
    "an original again": (("A", "A"), {}, {"A"}, None),
    "an adjustment of an original": (("A", "B"), {}, {"A"}, None),
    "an adjustment before its original": (("A", "B"), {}, set(), None),
    "an adjustment again": (("A", "B"), {"B": "A"}, {"A"}, None),
    "another original than before": (("C", "B"), {"B": "A"}, {"A"}, "conflict"),
    "an adjustment that comes as an original": (("B", "B"), {"B": "A"}, {"A"}, "conflict"),
    "an original that comes as an adjustment": (("A", "B"), {}, {"B"}, "conflict"),
    "an adjustment of an adjustment": (("B", "C"), {"B": "A"}, {"A"}, "adjusts_adjustment"),
}


@pytest.mark.parametrize("case", ADJUSTMENTS)
def test_a_timesheet_belongs_to_one_original(case: str) -> None:
    """A timesheet is an original or an adjustment of one original, and never changes that."""
    (document_id, source_id), original_of, originals, code = ADJUSTMENTS[case]
    found = invalid_adjustment(document_id, source_id, original_of, originals)
    assert (found and found[0]) == code
