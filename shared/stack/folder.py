"""The data folder: its owner, the versions that wrote it, its lock, and emptying it.

Nothing is deleted in a folder without our marker file: `--data` may be mistyped.
"""

import fcntl
import json
import os
import pwd
import shutil
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from shared.errors import Refused
from shared.settings import LEDGER_KEY_FILE, PRIVATE_UMASK
from shared.stack.logins import PASSFILES
from shared.stack.process import POLL_SECONDS, Record, end_recorded_process, write_json

MARKER = ".backoffice-stack.json"
LOCK = "lock"
STATE = "stack.json"
# The key may open secrets in a database elsewhere; the passwords, a container's volume.
KEPT = (MARKER, LOCK, LEDGER_KEY_FILE, PASSFILES)
MADE_WITH = {"layout": "2", "kafka": "4.3.1", "postgres": "18"}
LEAST_FREE_BYTES = 1_000_000_000
LEFTOVER_PATIENCE_SECONDS = 20.0
LOCK_PATIENCE_SECONDS = (
    2.0  # a process that was killed holds its lock until its last thread is gone
)


class DataFolder:
    """One data folder, locked by one stack at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()
        self._lock: IO[str] | None = None
        self._umask: int | None = None

    def open(self, fresh: bool, say: Callable[[str], None]) -> None:
        """Create or take over the folder, readable by this user only, as all that is made from now.

        Locks it, ends what an earlier command left running, checks versions and free space, and
        empties it if asked.
        """
        self._umask = os.umask(PRIVATE_UMASK)
        try:
            self._make()
            self.hold()
            self.sweep(say)
            if fresh:
                self._empty()
            else:
                self._check_versions()
            self._check_space()
            write_json(self.path / MARKER, MADE_WITH)
            self.path.chmod(0o700)  # an earlier version left it open
        except BaseException:
            self.release()
            raise

    def _make(self) -> None:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            entries = os.listdir(self.path)
        except OSError as error:
            raise Refused(
                "data-folder-unusable",
                f"The data folder {self.path} cannot be used: {error.strerror or error}.",
                "Name another one with --data.",
            ) from error
        if set(entries) - {LEDGER_KEY_FILE} and MARKER not in entries:
            raise Refused(
                "data-folder-foreign",
                f"{self.path} has content but is no data folder of the back office ({MARKER} is"
                " missing); nothing in it was touched.",
                "Name an empty or a new folder with --data.",
            )
        if MARKER not in entries:
            write_json(self.path / MARKER, MADE_WITH)

    def hold(self) -> None:
        """Lock the folder until `release`; the kernel releases the lock if the process dies."""
        lock = (self.path / LOCK).open("a+")
        deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
        while not _acquire_lock(lock):
            if time.monotonic() > deadline:
                lock.close()
                raise Refused(
                    "stack-in-use",
                    f"A stack already runs on the data folder {self.path}.",
                    "Use it (backoffice status), stop it (backoffice down), or name another folder"
                    " with --data.",
                )
            time.sleep(POLL_SECONDS)
        self._lock = lock

    def release(self) -> None:
        """Unlock the folder, and give this process its umask back."""
        if self._umask is not None:
            os.umask(self._umask)
            self._umask = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def sweep(self, say: Callable[[str], None]) -> list[Record]:
        """End every process that an earlier command left, workers before their servers."""
        paths = sorted(
            (self.path / "run").glob("*.json"), key=lambda path: path.stem in ("kafka", "postgres")
        )
        ended = [
            record
            for path in paths
            if (record := end_recorded_process(path, LEFTOVER_PATIENCE_SECONDS))
        ]
        if ended:
            say(
                "cleaned up after a stack that was not stopped: "
                + ", ".join(f"{record.name} (pid {record.pid})" for record in ended)
            )
        return ended

    def _empty(self) -> None:
        for entry in self.path.iterdir():
            if entry.name in KEPT:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def _check_versions(self) -> None:
        try:
            found = json.loads((self.path / MARKER).read_text())
        except (OSError, ValueError):
            found = {}
        differing = [
            f"{part} {found.get(part, 'unknown')} instead of {wanted}"
            for part, wanted in MADE_WITH.items()
            if found.get(part) != wanted
        ]
        if differing:
            raise Refused(
                "data-folder-version",
                f"The data folder {self.path} was written by another version:"
                f" {', '.join(differing)}.",
                "Keep it for the version that wrote it and name another with --data, or throw its"
                " content away with --fresh.",
            )

    def _check_space(self) -> None:
        free = shutil.disk_usage(self.path).free
        if free < LEAST_FREE_BYTES:
            raise Refused(
                "disk-full",
                f"Only {free / 1e6:,.0f} MB are free where the data folder {self.path} lies;"
                f" {LEAST_FREE_BYTES / 1e6:,.0f} MB are needed.",
                "Free some space, or name a folder on another disk with --data.",
            )


def _acquire_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def grant_traversal(data: Path, programs: Path, user: str, say: Callable[[str], None]) -> None:
    """Let the server's user pass through (not list) the folders above its data and programs.

    The data folder lets only that user's group pass. Reports which other folders were changed.
    """
    os.chown(data, -1, pwd.getpwnam(user).pw_gid)
    data.chmod(0o710)
    changed = []
    for start in (data.parent, programs):
        for folder in (start, *start.parents):
            mode = folder.stat().st_mode
            if not mode & stat.S_IXOTH:
                folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
                changed.append(str(folder))
    for path in (
        *programs.iterdir(),
        *(programs.parent / "lib").rglob("*"),
        *(programs.parent / "share").rglob("*"),
    ):
        mode = path.stat().st_mode
        needed = stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0)
        if mode & needed != needed:  # a package installed under a strict umask
            path.chmod(stat.S_IMODE(mode) | needed)
    if changed:
        say(
            "PostgreSQL runs as another user than root: others may now pass through"
            f" {', '.join(changed)}"
        )
