"""Write .env beside compose.yaml: a generated password for each variable that it needs (0600).

What .env has is kept, so the servers keep their passwords; only missing variables are added.
"""

import os
import re
import secrets
import sys
from pathlib import Path

NEEDED = re.compile(r"\$\{(\w+):\?")


def add_missing(compose: Path, env: Path) -> list[str]:
    """Add a password for each needed variable that the file lacks; return their names."""
    needed = dict.fromkeys(NEEDED.findall(compose.read_text()))
    text = env.read_text() if env.exists() else ""
    given = {line.partition("=")[0].strip() for line in text.splitlines()}
    added = [name for name in needed if name not in given]
    with os.fdopen(os.open(env, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a") as file:
        os.fchmod(file.fileno(), 0o600)
        if text and not text.endswith("\n"):
            file.write("\n")
        file.writelines(f"{name}={secrets.token_urlsafe(32)}\n" for name in added)
    return added


if __name__ == "__main__":
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1]
    made = add_missing(root / "compose.yaml", root / ".env")
    print(f"{len(made)} passwords added to {root / '.env'}" if made else ".env has every password")
