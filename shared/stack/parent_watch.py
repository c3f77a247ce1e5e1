"""Start a child as its user, and let the kernel end it when its parent dies.

Run as a script (`python -I -S parent_watch.py PARENT SIGNAL USER COMMAND ...`), not between fork
and exec: the parent has threads, and Python between fork and exec in a threaded process can hang.
PostgreSQL refuses to run as root, so the user changes here; the kernel forgets the parent-death
signal when the user changes, so it is requested afterwards.
"""

import os
import sys

PR_SET_PDEATHSIG = 1
SAME_USER = "-"
PARENT_GONE = 75


def main(arguments: list[str]) -> None:
    """Change the user, request the parent-death signal, and execute the command."""
    parent, signal_number, user, command = (
        int(arguments[0]),
        int(arguments[1]),
        arguments[2],
        arguments[3:],
    )
    prctl = None
    if sys.platform == "linux":
        # before the user changes: the new one may not be allowed to read this interpreter's folder
        import ctypes

        prctl = ctypes.CDLL(None, use_errno=True).prctl
    if user != SAME_USER:
        import pwd

        entry = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
        os.environ["HOME"] = "/"
    if (
        prctl is not None
        and prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0) == 0
        and os.getppid() != parent
    ):
        sys.exit(
            PARENT_GONE
        )  # the parent died before the tie was made: nothing would ever stop this child
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
