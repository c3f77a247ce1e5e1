"""How a call to an accounting system may fail. The class alone decides what happens next.

transient   it did not happen: try again later
unknown     it may have happened: look it up before anything else
duplicate   the number is taken: look it up
permanent   it is refused: refuse the delivery with the system's message
auth        the credentials are refused: renew them once, else stop the connection
"""

from typing import Literal

FailureClass = Literal["transient", "unknown", "duplicate", "permanent", "auth"]
MESSAGE_LENGTH, RAW_LENGTH = 1_000, 20_000
TOO_MANY = "too_many_requests"
LOGIN_REFUSED, LOGIN_WAITS = "login_refused", "login_waits"
NO_LOGINS = frozenset(
    {"bad_settings", "unknown_kind", "sealed_for_other", "company_not_found", "bad_private_key"}
)
"""Codes of `auth` failures of which the vendor has not seen a login: the settings are wrong."""


class Failure(Exception):
    """A failed call. `message` is for an operator, with the system's own words and no secret.

    `retry_after`: the wait in seconds that the accounting system asks for.
    `everywhere`: the failure concerns the connection, not this document (unreachable, too many
    requests), so no other document need try now.
    `raw`: what the system answered, without our secrets, where the message is not enough.
    `token_refused`: an `auth` failure of a call's access token, which may only have ended; the
    login that gave the token is not refused.
    """

    def __init__(
        self,
        failure: FailureClass,
        code: str,
        message: str,
        *,
        retry_after: float | None = None,
        everywhere: bool = False,
        raw: str = "",
        token_refused: bool = False,
    ) -> None:
        super().__init__(f"{failure} {code}: {message}")
        self.failure = failure
        self.code = code
        self.message = message[:MESSAGE_LENGTH]
        self.retry_after = retry_after
        self.everywhere = everywhere
        self.raw = raw[:RAW_LENGTH]
        self.token_refused = token_refused

    def reading(self, message: str, raw: str = "") -> "Failure":
        """Return the same failure with another message, and the raw answer if it had none."""
        return Failure(
            self.failure,
            self.code,
            message,
            retry_after=self.retry_after,
            everywhere=self.everywhere,
            raw=self.raw or raw,
            token_refused=self.token_refused,
        )


def unreadable(message: str, *, writes: bool) -> Failure:
    """Return the failure of a response that cannot be used; a write may have happened."""
    return Failure("unknown" if writes else "transient", "unreadable", message)
