"""Named queries: SQL in files of its own, so that it can be read, explained and reviewed."""

import re
from pathlib import Path


def named_queries(path: Path) -> dict[str, str]:
    """Read a `.sql` file: each query follows a line `-- name: NAME` and one sentence about it."""
    parts = re.split(r"^-- name: (\w+)\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {name: query.strip() for name, query in zip(parts[1::2], parts[2::2], strict=True)}
