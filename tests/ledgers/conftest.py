"""Makes the fixtures of `tests.ledgers.delivering` known to the tests of this folder."""

from tests.ledgers.delivering import delivering

__all__ = ["delivering"]
