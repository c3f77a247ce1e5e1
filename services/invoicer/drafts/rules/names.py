"""The ids of drafts as people read and write them: D-000001, and D-000001@2 for a version."""

import re
from typing import NamedTuple

from shared.errors import Refused

_NAME = re.compile(r"^D-(\d{6,18})(?:@(\d{1,9}))?$", re.IGNORECASE)


class DraftReference(NamedTuple):
    """A draft that someone names, and the version that he has seen; None: not said."""

    draft_id: int
    version: int | None = None


def draft_name(draft_id: int) -> str:
    """Return the name of a draft: D-000001."""
    return f"D-{draft_id:06d}"


def read_reference(text: str) -> DraftReference:
    """Read the name of a draft, with or without a version. Raises `Refused`."""
    match = _NAME.match(text.strip())
    if match is None:
        raise Refused(
            "bad_draft_id",
            f"{text!r} is no draft: its id looks like D-000001, with a version D-000001@2",
            "see `backoffice drafts list`",
        )
    number, version = match.groups()
    return DraftReference(int(number), int(version) if version else None)
