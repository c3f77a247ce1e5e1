"""The key of a record: the id in its body.

So all revisions of a document, and all commands about a company, keep their order.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from shared.errors import Refused
from shared.events.commands import FALLBACK_SERVICE, OWNERS
from shared.events.field_types import MESSAGE_BYTES

LINE_BYTES = 4 * MESSAGE_BYTES
KEY_FIELDS = {
    "requirement-changed": ("requirement_id",),
    "billto-changed": ("node_id",),
    "timesheet-approved": ("adjusts", "timesheet_id"),
    "placement-created": ("placement_id",),
    "charge-added": ("charge_id",),
    "engagement-changed": ("engagement_id",),
    "supplier-changed": ("supplier_id",),
    "operator-commands": ("billing_company", "service"),
}
"""The fields of the body from which a key is taken, by topic: the first that is present."""


def record_key(topic: str, value: bytes) -> str | None:
    """The key of a record.

    None if there is none: a line that cannot be read is published without a key.
    """
    try:
        body = json.loads(value)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        return None
    for field in KEY_FIELDS.get(topic, ()):
        if isinstance(body.get(field), str) and body[field]:
            return str(body[field])
    if topic == "operator-commands":
        return OWNERS.get(str(body.get("command")), FALLBACK_SERVICE)
    return None


def file_records(topic: str, file: Path) -> Iterator[tuple[str | None, bytes]]:
    """Each line of a file, unchanged, with its key; empty lines are skipped.

    Refused at a line that no broker takes: it is read no further.
    """
    with file.open("rb") as lines:
        for number, line in enumerate(iter(lambda: lines.readline(LINE_BYTES), b""), 1):
            if len(line) == LINE_BYTES:
                raise Refused(
                    "line_too_long",
                    f"{file}, line {number:,} is longer than {LINE_BYTES:,} bytes",
                    "write one record a line",
                )
            value = line.rstrip(b"\r\n")
            if value.strip():
                yield record_key(topic, value), value
