"""The commands with which a person ends what waits in the Inbox, and the fields of their forms.

They are those of the command line: the same command, whichever way it is sent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.errors import Refused


@dataclass(frozen=True, slots=True)
class Fix:
    """A command and what it takes from a form.

    `texts`: fields as they are, `numbers`: whole numbers, `optional`: fields that may be empty,
    `always`: fields with one value.
    """

    command: str
    texts: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    always: Mapping[str, Any] = field(default_factory=dict)

    def fields(self, form: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of the command. Refused for a number that is none."""
        found: dict[str, Any] = {name: str(form.get(name, "")) for name in self.texts}
        for name in self.numbers:
            text = str(form.get(name, "")).strip()
            if not (text.isascii() and text.isdecimal() and len(text) < 19):
                raise Refused(
                    "unreadable_number", f"{name}: {text!r} is no number", "write digits only"
                )
            found[name] = int(text)
        given = {name: str(form.get(name, "")).strip() for name in self.optional}
        return found | {name: text for name, text in given.items() if text} | dict(self.always)


DELIVERY = ("ledger", "invoice_number")
DEAD_LETTER = ("dead_letter_id",)
MAIL = ("billing_company", "invoice_number")
FIXES: Mapping[str, Fix] = {
    "retry-document": Fix("retry-document", ("document_kind", "document_id")),
    "replay-dead-letter": Fix("replay-dead-letter", ("service",), DEAD_LETTER, ("value",)),
    "discard-dead-letter": Fix("discard-dead-letter", ("service",), DEAD_LETTER),
    "skip-records": Fix("skip-records", ("service", "topic"), ("partition", "to_offset")),
    "resume-consumer": Fix("resume-consumer", ("service", "topic")),
    "retry-delivery": Fix("retry-delivery", DELIVERY),
    "post-unapplied": Fix("retry-delivery", DELIVERY, always={"unapplied": True}),
    "resync-delivery": Fix("resync-delivery", DELIVERY),
    "adopt-delivery": Fix("adopt-delivery", (*DELIVERY, "remote_id")),
    "mark-posted": Fix("mark-posted", DELIVERY, optional=("remote_number",)),
    "send-again": Fix("send-invoice", MAIL, always={"again": True}),
    "mail-arrived": Fix("decide-mail", (*MAIL, "address"), always={"sent": True}),
    "mail-not-sent": Fix("decide-mail", (*MAIL, "address"), always={"sent": False}),
    "retry-parked": Fix("retry-parked", ("billing_company", "batch_id")),
    "confirm-rates": Fix("confirm-rates", ("requirement_id", "time_type", "effective_from")),
}
"""Each fix by the name of its form."""


def find_fix(name: str) -> Fix:
    """A fix by the name of its form. Refused if there is none."""
    if name not in FIXES:
        raise Refused("unknown_action", f"{name} is no action of the Inbox", "go back")
    return FIXES[name]
