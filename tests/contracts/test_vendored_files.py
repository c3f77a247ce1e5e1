"""The files of others in the repository are unchanged, and each has its licence."""

import hashlib
import re
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "services" / "console" / "web" / "static" / "vendor"
ROW = re.compile(r"^\| (\S+) \| .+ \| \S+, `(\S+)` \| ([0-9a-f]{64}) \|$", re.MULTILINE)


def test_every_file_is_the_one_of_its_package() -> None:
    """The table has each file with its licence and its SHA-256, and nothing else lies there."""
    rows = ROW.findall((FOLDER / "README.md").read_text(encoding="utf-8"))
    for name, licence, digest in rows:
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == digest, name
        assert (FOLDER / licence).is_file(), licence
    named = {name for name, _, _ in rows} | {licence for _, licence, _ in rows} | {"README.md"}
    assert {path.name for path in FOLDER.iterdir()} == named
