"""Random histories of the real services on a real database, step by step beside the slow reference.

Every rule does one thing twice: to the services and to the reference. After each of them the books are compared line by line, and
`verify` looks at them.
"""

from tests.histories.ats_events import AtsEvents
from tests.histories.operator_commands import OperatorCommands


class Histories(AtsEvents, OperatorCommands):
    """All rules together. `office`, `run`, `today_is` and `ran` are set before the first history begins."""
