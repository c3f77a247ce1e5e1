"""Kafka, PostgreSQL and all workers on one machine, started from nothing but Python.

Owns: where the two servers come from (a configured address, a Docker engine, or the embedded
servers); the data folder with data, logs, ports and process records; the start order; restarts
after failures; stopping everything that was started. Does not own: the schema
(`shared.migrations`), the topics (`shared.broker`), the work of a worker, or anything on other
machines.

Invariants:
- Ready means that a record was produced and read back, a query was answered, and every worker
  reported ready.
- However the command ends, none of its processes stays; after kill -9 the next command cleans up.
- Only a process whose pid, start time and command line match its record is ever signalled.
- Nothing is deleted in a folder without our marker file.
- Durability is real: fsync and synchronous_commit are never off.
"""

from shared.stack.running import running_stack
from shared.stack.stack import Stack
from shared.stack.supervisor import down, status, up

__all__ = ["Stack", "down", "running_stack", "status", "up"]
