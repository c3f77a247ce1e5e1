"""Whether the schemas and topics of a data folder are those of this version of the program.

If they are, neither the migrations nor the creation of topics has to run at a start, and the
workers start at once. Only embedded servers are remembered: others may be emptied by anyone.
"""

import hashlib
import json
from contextlib import suppress
from pathlib import Path

from shared.settings import read_settings
from shared.stack.process import write_json

SHARED = Path(__file__).parents[1]
SOURCES = (
    *sorted((SHARED / "migrations").rglob("*.sql")),
    *sorted((SHARED / "migrations").rglob("*.py")),
    SHARED / "broker" / "topics.py",
    SHARED / "broker" / "acls.py",
)
IDENTITIES = ("postgres/PG_VERSION", "kafka/log/meta.properties")
"""Files that an embedded server writes once, when its data folder is made."""


class Provisions:
    """What `provisioned.json` in the data folder says, compared with the program and the servers.

    Also the prefix and the number of partitions of topics count: with others, topics are created.
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        self._file = data / "provisioned.json"
        self.are_current = False
        with suppress(OSError, ValueError):
            self.are_current = json.loads(self._file.read_text()) == self._now()

    def store(self) -> None:
        """Remember that schemas and topics are there."""
        with suppress(FileNotFoundError):  # a server runs elsewhere
            write_json(self._file, self._now())

    def _now(self) -> dict[str, str]:
        program = hashlib.sha256()
        for source in SOURCES:
            program.update(source.read_bytes())
        settings = read_settings()
        identities = [(self._data / name).stat() for name in IDENTITIES]
        return {
            "program": program.hexdigest(),
            "topics": f"{settings.topic_prefix} {settings.partitions}",
            "servers": " ".join(f"{each.st_ino} {each.st_mtime_ns}" for each in identities),
        }
