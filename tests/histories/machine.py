"""Random histories of the real services on a real database, step by step beside the slow reference.

Every rule does one thing twice: to the services and to the reference. After each of them the books are compared line by line, and
`verify` looks at them.
"""

from tests.histories.asked import Asked
from tests.histories.sent import Sent


class Histories(Sent, Asked):
    """All rules together. `office`, `run`, `today_is` and `ran` are set before the first history begins."""
