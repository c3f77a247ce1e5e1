"""Import every folder of CSV files that is dropped below INBOX, once.

    python folder_watcher.py INBOX --billing-company ID [--once] [--settle SEC] [--every SEC]

A folder INBOX/NAME is complete when it has a file named `complete`, or when nothing in it changed
for --settle seconds. It moves to INBOX/.working, is imported with `backoffice import`, and moves to
INBOX/done or INBOX/failed, with the answer beside it as NAME.txt. See docs/formats.md.
"""

import fcntl
import json
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path

WORKING, DONE, FAILED, MARKER = ".working", "done", "failed", "complete"
TRY_AGAIN = {"unavailable"}
"""Codes that say nothing of the files: such a folder waits in .working."""


def is_complete(folder: Path, settle: float) -> bool:
    """Whether nobody writes into the folder any more."""
    if (folder / MARKER).exists():
        return True
    try:
        times = [each.stat().st_mtime for each in (folder, *folder.rglob("*"))]
    except FileNotFoundError:  # renamed or removed while we looked
        return False
    return any(folder.glob("*.csv")) and time.time() - max(times) >= settle


def free_name(parent: Path, name: str) -> Path:
    """A path of that name, with a number behind it if one of that name was imported before."""
    names = [name, *(f"{name}-{number}" for number in range(2, 10_000))]
    return next(parent / each for each in names if not (parent / each).exists())


def import_folder(folder: Path, billing_company: str) -> bool:
    """Import a folder of .working and move it away. False: not possible now.

    A folder that was in work when this program stopped is imported again: documents whose values
    are stored are not published again, so each is billed once.
    """
    command = ["backoffice", "import", str(folder), "--billing-company", billing_company, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        code = json.loads(done.stdout).get("code")
    except (ValueError, AttributeError):
        code = None
    if code in TRY_AGAIN:
        print(f"{folder.name} waits: {done.stderr.strip()}", file=sys.stderr, flush=True)
        return False
    to = FAILED if done.returncode else DONE
    target = free_name(folder.parent.parent / to, folder.name)
    text = done.stderr if done.returncode else done.stdout + done.stderr
    target.with_name(f"{target.name}.txt").write_text(text)
    folder.rename(target)
    print(f"{folder.name} is in {to}", flush=True)
    return True


def look(inbox: Path, options: Namespace) -> bool:
    """Import what was in work before, then what is complete. False if something has to wait."""
    for folder in sorted(inbox.iterdir()):
        own = folder.name in (DONE, FAILED) or folder.name.startswith(".")
        if folder.is_dir() and not own and is_complete(folder, options.settle):
            folder.rename(free_name(inbox / WORKING, folder.name))
    done = [
        import_folder(each, options.billing_company) for each in sorted((inbox / WORKING).iterdir())
    ]
    return all(done)


def main() -> int:
    """Look again and again, or once; two programs never watch one inbox."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("inbox", type=Path)
    parser.add_argument("--billing-company", required=True)
    parser.add_argument("--settle", type=float, default=60.0)
    parser.add_argument("--every", type=float, default=10.0)
    parser.add_argument("--once", action="store_true")
    options = parser.parse_args()
    for name in (WORKING, DONE, FAILED):
        (options.inbox / name).mkdir(parents=True, exist_ok=True)
    with (options.inbox / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # waits for another watcher to end
        while True:
            done = look(options.inbox, options)
            if options.once:
                return int(not done)
            time.sleep(options.every)


if __name__ == "__main__":
    sys.exit(main())
