"""The names of lease holders, and whether a holder is certainly dead: then its leases may end.

A holder is dead if it ran under this kernel and in this PID namespace, and its process is gone.
The leases of a holder elsewhere end by themselves.
"""

import os
from functools import cache
from pathlib import Path

BOOT_ID, PID_NAMESPACE = Path("/proc/sys/kernel/random/boot_id"), "/proc/self/ns/pid"


@cache
def place() -> str:
    """Return boot id and PID namespace of this process; "" if the system does not tell."""
    try:
        return f"{BOOT_ID.read_text().strip()}/{os.readlink(PID_NAMESPACE)}"
    except OSError:
        return ""


def holder_name(replica: str) -> str:
    """Return the name under which this process holds leases."""
    return f"{replica} {place()} {os.getpid()}"


def is_dead(holder: str) -> bool:
    """Return whether the process is certainly gone. A reused process number counts as alive."""
    _, _, rest = holder.partition(" ")
    where, _, number = rest.rpartition(" ")
    if not place() or where != place() or not number.isdigit():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
