"""The checks of the books: what must be true at any time, also while every worker works.

Owns: the list of checks (`checks.CHECKS`), each a question to the database whose answer is the rows that break it.
Does not own: any table, and it fixes nothing; a fault names ids and a person decides.

All checks look at one REPEATABLE READ snapshot, so work in progress is either whole or not there: a report under load is quiet unless
something is wrong. What is rightly on its way (a statement that was issued and not settled yet) is listed apart, and is a fault only when
it is older than some minutes.
"""

from shared.verify.report import Fault, Offender, Report
from shared.verify.run import verify

__all__ = ["Fault", "Offender", "Report", "verify"]
