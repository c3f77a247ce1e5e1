"""Files that only the user of this process may read: passwords, and settings that hold one."""

import os
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Replace a file atomically; no one but this user can ever read it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.rename(path)
