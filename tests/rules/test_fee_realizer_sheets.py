"""Which sheet of a document counts. Source: design 1 (of an original and its adjustment timesheets), domain rules 5."""

import itertools
from datetime import UTC, datetime

import pytest

from services.fee_realizer.rules.sheets import RevisionMark, chosen, misplaced


def at(
    source_id: str, revision: int, day: int | None = None, approved: bool = True
) -> RevisionMark:
    """A revision approved on a day of March, approved without a stamp, or not approved."""
    return RevisionMark(
        source_id, revision, approved, datetime(2026, 3, day, tzinfo=UTC) if day else None
    )


def lost(source_id: str, revision: int) -> RevisionMark:
    """A revision without approval."""
    return at(source_id, revision, approved=False)


CASES: dict[str, tuple[list[RevisionMark], tuple[str, int] | None]] = {
    "an original alone": ([at("A", 1, 9)], ("A", 1)),
    "only the newest revision of a sheet counts": (
        [at("A", 1, 9), at("A", 3, 8), at("A", 2, 20)],
        ("A", 3),
    ),
    "gaps in revisions are allowed": ([at("A", 7, 9), at("A", 70, 9)], ("A", 70)),
    "the later approval is the document": ([at("A", 1, 9), at("B", 1, 10)], ("B", 1)),
    "the original approved last is the document": ([at("A", 1, 11), at("B", 1, 10)], ("A", 1)),
    "equal stamps: the higher sheet id": ([at("A", 1, 9), at("C", 1, 9), at("B", 1, 9)], ("C", 1)),
    "an absent stamp is the earliest": ([at("A", 1, 9), at("B", 1)], ("A", 1)),
    "absent stamps: the higher sheet id": ([at("A", 1), at("B", 1)], ("B", 1)),
    "an adjustment never approved takes no part": (
        [at("A", 1, 9), lost("B", 1), lost("B", 2)],
        ("A", 1),
    ),
    "an original never approved waits": ([lost("A", 1)], ("A", 1)),
    "an approved adjustment beats an original never approved": (
        [lost("Z", 1), at("B", 1)],
        ("B", 1),
    ),
    "a lost approval keeps its place and is chosen unapproved": (
        [at("A", 1, 9), at("B", 1, 10), lost("B", 2)],
        ("B", 2),
    ),
    "a lost approval below another changes nothing": (
        [at("A", 1, 11), at("B", 1, 10), lost("B", 2)],
        ("A", 1),
    ),
    "the last approval of the sheet, not its highest": (
        [at("A", 1, 9), at("B", 1, 20), at("B", 2, 8), lost("B", 3)],
        ("A", 1),
    ),
    "a lost approval without stamp is the earliest": (
        [at("A", 1, 9), at("B", 1), lost("B", 2)],
        ("A", 1),
    ),
    "nothing but adjustments never approved is no document": ([lost("B", 1)], None),
}


@pytest.mark.parametrize("case", CASES)
def test_the_sheet_that_counts(case: str) -> None:
    """Of all newest revisions the highest (approved_at, sheet id) is the document, whatever the order of arrival."""
    marks, expected = CASES[case]
    document_id = "Z" if case.startswith("an approved adjustment beats") else "A"
    for order in itertools.permutations(marks):
        mark = chosen(document_id, order)
        assert (mark and (mark.source_id, mark.revision)) == expected


PLACES = {
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


@pytest.mark.parametrize("case", PLACES)
def test_a_sheet_belongs_to_one_original(case: str) -> None:
    """A sheet is an original or an adjustment of one original, and never changes that."""
    (document_id, source_id), document_of, originals, code = PLACES[case]
    found = misplaced(document_id, source_id, document_of, originals)
    assert (found and found[0]) == code
