"""Reads reports of e-mails that came back (RFC 3464) from a mailbox.

A mailbox is a file in the mbox format, as most mail programs export, a file of one message (.eml),
or a Maildir. Whatever is no report is passed over: a mailbox has answers of people, too.
"""

import email
import mailbox
import re
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import NamedTuple

from shared.errors import Refused

MESSAGES_AT_MOST = 100_000
MESSAGE_BYTES = 20 << 20
TEXT_LENGTH = 500
MESSAGE_ID = re.compile(r"<([^<>\s]{1,200})>")
UNPRINTED = re.compile(r"[^\x20-\x7e\u00a0-\u024f]+")


class ReadBounce(NamedTuple):
    """An e-mail that could not be delivered: its message id, the status code and the reason."""

    message_id: str
    status: str
    text: str


def read_bounces(path: Path) -> tuple[list[ReadBounce], int]:
    """Return the failed deliveries of a mailbox, and how many messages it has.

    Refused if it cannot be read or has too many messages.
    """
    found: dict[str, ReadBounce] = {}
    count = 0
    try:
        for message in _messages(path):
            count += 1
            if count > MESSAGES_AT_MOST:
                raise Refused(
                    "too_many_messages",
                    f"{path} has more than {MESSAGES_AT_MOST:,} messages",
                    "give a mailbox of the reports only",
                )
            for bounce in bounces_in(message):
                found.setdefault(bounce.message_id, bounce)
    except OSError as error:
        raise Refused(
            "unreadable", f"{path} cannot be read: {error.strerror or error}", "name another file"
        ) from error
    return list(found.values()), count


def bounces_in(message: Message) -> Iterator[ReadBounce]:
    """Return what a report says of the message that it returns; nothing if it is no report."""
    report = message.get_content_type() == "multipart/report"
    if not report or str(message.get_param("report-type", "")).lower() != "delivery-status":
        return
    parts = [part for part in message.walk() if part is not message]
    failed = [
        group
        for part in parts
        if part.get_content_type() == "message/delivery-status"
        for group in _groups(part)
        if str(group.get("Action", "")).strip().lower() == "failed"
    ]
    message_id = next((found for part in parts if (found := _returned_id(part))), "")
    if failed and message_id:
        status, reason = (
            _plain(str(failed[0].get(name, ""))) for name in ("Status", "Diagnostic-Code")
        )
        yield ReadBounce(message_id, status[:20], reason[:TEXT_LENGTH])


def _groups(part: Message) -> list[Message]:
    """Return the groups of fields of a status: one of the message, then one per recipient."""
    payload = part.get_payload()
    return [one for one in payload if isinstance(one, Message)] if isinstance(payload, list) else []


def _returned_id(part: Message) -> str:
    """Return the message id of the returned message or of its headers; "" in another part."""
    kind = part.get_content_type()
    headers: Message | None = None
    if kind == "message/rfc822":
        payload = part.get_payload()
        first = payload[0] if isinstance(payload, list) and payload else None
        headers = first if isinstance(first, Message) else None
    elif kind == "text/rfc822-headers":
        content = part.get_payload(decode=True)
        if isinstance(content, bytes):
            headers = email.message_from_bytes(content)
    match = MESSAGE_ID.search(str(headers.get("Message-ID", ""))) if headers is not None else None
    return match[1] if match else ""


def _plain(text: str) -> str:
    """Return a field as one line without characters that a terminal would act on."""
    return UNPRINTED.sub(" ", " ".join(text.split()))


def _messages(path: Path) -> Iterator[Message]:
    """Return the messages of a mailbox one by one; longer ones are passed over."""
    if not path.is_dir():
        with path.open("rb") as file:
            content = file.read(MESSAGE_BYTES + 1)
        single = not content.startswith(b"From ")
        if single:
            if len(content) <= MESSAGE_BYTES:
                yield email.message_from_bytes(content)
            return
    box = mailbox.Maildir(path, create=False) if path.is_dir() else mailbox.mbox(path, create=False)
    for key in box.iterkeys():
        with box.get_file(key) as message:
            content = message.read(MESSAGE_BYTES + 1)
        if len(content) <= MESSAGE_BYTES:
            yield email.message_from_bytes(content)
