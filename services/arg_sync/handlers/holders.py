"""Under which name a worker holds leases, and whether another holder is dead for certain: then nobody waits for its whole lease.

Certain is only what the kernel says: the holder ran under this kernel, in this space of process numbers, and there is no such process.
Of a holder elsewhere nobody knows; its lease runs out by itself.
"""

import os
from functools import cache
from pathlib import Path

BOOT, SPACE = Path("/proc/sys/kernel/random/boot_id"), "/proc/self/ns/pid"


@cache
def place() -> str:
    """This kernel since its last boot, and its space of process numbers; "" where nobody can tell."""
    try:
        return f"{BOOT.read_text().strip()}/{os.readlink(SPACE)}"
    except OSError:
        return ""


def holder_name(replica: str) -> str:
    """The name of this process."""
    return f"{replica} {place()} {os.getpid()}"


def is_dead(holder: str) -> bool:
    """Whether the process of that name is certainly gone. A number that was given to another process since counts as alive."""
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
