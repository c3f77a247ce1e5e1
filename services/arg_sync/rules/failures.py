"""How a call to an accounting system may fail: five classes, of which the class alone decides what happens next.

transient   it did not happen, try again later          unknown    it may have happened: look it up before anything else
duplicate   they have that number: look it up           permanent  they say no: park it with their message
auth        our key is not good: renew once, else stop the connection
"""

from typing import Literal

FailureClass = Literal["transient", "unknown", "duplicate", "permanent", "auth"]
SENTENCE_LENGTH = 1_000


class Failure(Exception):
    """A call failed. `message` is for an operator, with the vendor's own words in it and never with a secret.

    `retry_after`: seconds that the accounting system asks us to wait, already read from its header.
    `everywhere`: it concerns the connection, not this document (nobody answers, too many requests): no other document need try now.
    """

    def __init__(
        self,
        failure: FailureClass,
        code: str,
        message: str,
        *,
        retry_after: float | None = None,
        everywhere: bool = False,
    ) -> None:
        super().__init__(f"{failure} {code}: {message}")
        self.failure = failure
        self.code = code
        self.message = message[:SENTENCE_LENGTH]
        self.retry_after = retry_after
        self.everywhere = everywhere
