"""Owns the last step before a child of the stack becomes itself: whose user it is, and that it does not outlive its parent.

Run as a script of its own (`python -I -S parent_watch.py PARENT SIGNAL USER COMMAND ...`), not as code between fork and exec: the parent has threads,
and Python between fork and exec in a threaded process can hang. PostgreSQL refuses to run as root, so the user changes here; the kernel forgets
the parent-death signal when the user changes, so it is asked for afterwards.
"""

import os
import sys

PR_SET_PDEATHSIG = 1
SAME_USER = "-"
PARENT_GONE = 75


def main(arguments: list[str]) -> None:
    """Take the user, tie the life to the parent, become the command."""
    parent, signal_number, user, command = (
        int(arguments[0]),
        int(arguments[1]),
        arguments[2],
        arguments[3:],
    )
    prctl = None
    if sys.platform == "linux":
        import ctypes  # before the user changes: the new one may not be allowed to read this interpreter's folder

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
        )  # the parent died before the tie was made: nobody would ever stop this child
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
