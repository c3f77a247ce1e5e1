"""Every field of text is known as personal data or as none."""

import pytest

from tests.contracts.personal_data import NOT_PERSONAL, OF_PLACES, PERSONAL, places


def test_every_field_of_text_is_classified() -> None:
    """A new column or field is put into one of the two lists, and into no two."""
    found = set(places())
    assert found - PERSONAL.keys() - NOT_PERSONAL == set()
    assert (PERSONAL.keys() | NOT_PERSONAL) - found == set()
    assert PERSONAL.keys() & NOT_PERSONAL == set()
    assert all(others <= set(places()[name]) for name, (others, _) in OF_PLACES.items())


@pytest.mark.parametrize("name", ["email", "phone"])
def test_contact_data_of_workers_has_no_field_of_its_own(name: str) -> None:
    """It comes in undeclared fields only, which `forget worker` removes whole."""
    assert name not in places()
