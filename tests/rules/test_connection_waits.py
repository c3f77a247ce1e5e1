"""How long a connection waits for its next login."""

import pytest

from services.arg_sync.connections.rules import (
    FIRST_LOGIN_SECONDS,
    LOGIN_WINDOW_SECONDS,
    login_pause,
)


@pytest.mark.parametrize(
    ("failed_before", "retry_after", "limited", "seconds"),
    [
        (0, None, False, 0.0),
        (1, None, False, 0.0),
        (2, None, False, LOGIN_WINDOW_SECONDS),
        (3, 9_999.0, False, LOGIN_WINDOW_SECONDS),
        (0, None, True, FIRST_LOGIN_SECONDS),
        (1, None, True, 660.0),
        (2, 5.0, True, 1_320.0),
        (3, None, True, 2_640.0),
        (4, None, True, LOGIN_WINDOW_SECONDS),
        (60, None, True, LOGIN_WINDOW_SECONDS),
        (0, 7_200.0, True, 7_200.0),
    ],
)
def test_a_login_is_repeated_after_the_window_of_the_vendor(
    failed_before: int, retry_after: float | None, limited: bool, seconds: float
) -> None:
    """Three refusals in a row end in a wait of more than an hour; limited logins wait at once."""
    assert login_pause(failed_before, retry_after, limited=limited) == seconds
