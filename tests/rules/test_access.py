"""What may be said of people and programs."""

import pytest

from services.invoicer.access.rules import grants_of, require_admin, require_other_name
from shared.errors import Refused


def test_a_role_without_companies_holds_for_all() -> None:
    """Each company is a grant of its own; the same grant twice is one."""
    roles = [("clerk", ["acme", "beta"]), ("clerk", ["acme"]), ("auditor", [])]
    assert grants_of(roles) == {("clerk", "acme"), ("clerk", "beta"), ("auditor", "")}


@pytest.mark.parametrize(
    ("before", "after", "refused"), [(1, 0, True), (2, 1, False), (0, 0, False), (0, 1, False)]
)
def test_the_last_key_of_an_admin_stays(before: int, after: int, refused: bool) -> None:
    """Without one no one could add people; where there was none, nothing is lost."""
    if refused:
        with pytest.raises(Refused, match="no one could add"):
            require_admin(before, after)
    else:
        require_admin(before, after)


def test_a_person_and_a_program_have_different_names() -> None:
    """The history tells them apart by name."""
    require_other_name("pat", "program", taken=False)
    with pytest.raises(Refused, match="pat is the name of a program"):
        require_other_name("pat", "program", taken=True)
