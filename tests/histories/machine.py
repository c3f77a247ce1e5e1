"""Random histories of the real services on a real database, compared with a slow reference.

Every rule does one thing twice: to the services and to the reference. After each rule all lines
are compared, and `verify` runs.
"""

from tests.histories.assignment_commands import AssignmentCommands
from tests.histories.ats_events import AtsEvents
from tests.histories.operator_commands import OperatorCommands


class Histories(AtsEvents, AssignmentCommands, OperatorCommands):
    """All rules together.

    `office`, `run`, `today_is` and `ran` are set before the first history.
    """
