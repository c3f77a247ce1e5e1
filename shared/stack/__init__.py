"""The servers and workers on one machine, from nothing but Python: Apache Kafka, PostgreSQL and every worker as a process of its own.

Owns: where the two servers come from (an address that was given, a Docker engine, or the embedded ones); the data folder with their data, logs,
ports and records; the order of coming up; keeping up what ended badly; stopping all that was started.
Does not own: the schema (`shared.migrations`), the topics (`shared.broker`), what a worker does, or anything on other machines.

Invariants:
- Ready means a record was produced and read back and a query was answered, and every worker says so of itself.
- Whatever way the command ends, nothing of it stays running; after kill -9 of the command the next one cleans up.
- Only a process whose pid, start time and command line are those that were written down is ever signalled.
- Nothing is deleted in a folder that does not carry our marker.
- Durability is real: fsync and synchronous_commit are never off.
"""

from shared.stack.stack import Stack, running_stack
from shared.stack.supervisor import down, status, up

__all__ = ["Stack", "down", "running_stack", "status", "up"]
