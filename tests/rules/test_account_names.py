"""Account Names that people cannot tell apart, and names of which nothing can be seen."""

import pytest
from pydantic import TypeAdapter, ValidationError

from services.invoicer.batches.rules.health import findings
from services.invoicer.debtors.rules.account_names import look_alikes, spelled
from shared.events.field_types import Identifier, Name, Text
from tests.rules.test_health import snapshot

INVISIBLE = ("\u3164", "\u115f", "\u1160", "\uffa0", "\u2800", "\u00ad", "\u034f", "\ufe0f",
             "\u180e", "\u200b", "\u2060", "\ufeff", "\u061c", "\U000e0020",
             "\u3164 \u3164")  # fmt: skip


@pytest.mark.parametrize(
    "other",
    ["Ａｃｍｅ Ltd", "Асme Ltd", "Acmе Ltd", "Αcme Ltd", "Acme\u3164Ltd\u3164", "Acme Ltd\u034f",
     "Acme\u3000Ltd", "Acme Ltd\ufe0f", "\u115fAcme Ltd", "Ａcme  Ltd"],
)  # fmt: skip
def test_names_that_look_alike_are_a_warning(other: str) -> None:
    """Full-width, Cyrillic and Greek characters, and those that people cannot see."""
    if "\u3164L" in other:
        other = other.replace("\u3164L", " \u3164L")
    assert look_alikes(["Beta", other, "Acme Ltd"]) == [tuple(sorted(("Acme Ltd", other)))]
    (finding,) = findings(snapshot(look_alikes=look_alikes([other, "Acme Ltd"])))
    assert (finding.code, finding.severity, finding.count) == (
        "account_names_look_alike",
        "warning",
        2,
    )
    assert set(finding.ids) == {"Acme Ltd", other} and "(U+" in finding.message


def test_names_that_people_can_tell_apart_are_none() -> None:
    """Accents, other case, and names of ASCII only are different names."""
    assert look_alikes(["Café", "Cafe", "ACME", "Acme", "Dept 1", "Dept l", "Мир", "Mup"]) == []


def test_the_longest_names_fit_into_a_message() -> None:
    """A finding is published: its message has a limit."""
    names = [
        "Ａ" * 400,
        "A" * 400,
        *("А" * number + "A" * (400 - number) for number in range(1, 9)),
    ]
    (finding,) = findings(snapshot(look_alikes=look_alikes(names)))
    assert finding.count == 10


@pytest.mark.parametrize("text", INVISIBLE)
def test_a_name_of_which_nothing_can_be_seen_is_empty(text: str) -> None:
    """A node with such an Account Name has no debtor; no id is made of such characters."""
    assert TypeAdapter(Name).validate_python(text) == ""
    assert TypeAdapter(Text).validate_python(text) == ""
    with pytest.raises(ValidationError):
        TypeAdapter(Identifier).validate_python(text)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("Acme~", "'Acme~'"),
        ("Асme", "'Асme' (U+0410, U+0441)"),
        ("ААА", "'ААА' (U+0410)"),
        ("абв", "'абв' (U+0430, U+0431, U+0432)"),
        ("абвг", "'абвг' (U+0430, U+0431, U+0432, …)"),
        ("x" * 80, f"'{'x' * 80}'"),
        ("x" * 81, f"'{'x' * 79}…'"),
    ],
)
def test_a_name_is_spelled_with_the_codes_of_foreign_characters(name: str, written: str) -> None:
    """The first three codes beyond ASCII; of a long name the first 79 characters."""
    assert spelled(name) == written
