"""Which overdue invoices are reminded, and why others are not: for the worker and its preview.

Days are those of the billing company. A stage is a number of days after the due date; an invoice is
reminded once per stage. After an outage the latest stage alone is made up for.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from shared.money import plain

STAGES_AT_MOST = 20
PREFIX = "reminder:"
"""Of the name of a reminder; no number of a document has a colon."""


class Stage(NamedTuple):
    """Days after the due date, and templates of subject and text; empty ones are ours."""

    days: int
    subject: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class ReminderSettings:
    """What is set for a billing company, or for a debtor. None: not set there.

    `minimum`: smaller balances are not reminded, in the currency of each invoice.
    """

    enabled: bool | None = None
    stages: tuple[Stage, ...] | None = None
    minimum: Decimal | None = None

    def over(self, company: "ReminderSettings") -> "ReminderSettings":
        """Return the settings of a debtor, with the company's where it has none of its own.

        A stage without templates has those of the company's stage of the same days.
        """
        common = {each.days: each for each in company.stages or ()}
        stages = company.stages
        if self.stages is not None:
            stages = tuple(
                Stage(
                    each.days,
                    each.subject or common.get(each.days, each).subject,
                    each.text or common.get(each.days, each).text,
                )
                for each in self.stages
            )
        return ReminderSettings(
            company.enabled if self.enabled is None else self.enabled,
            stages,
            company.minimum if self.minimum is None else self.minimum,
        )

    @property
    def row(self) -> dict[str, Any]:
        """The settings by name as they are shown, without what is not set."""
        values = {
            "enabled": self.enabled,
            "stages": None if self.stages is None else [each._asdict() for each in self.stages],
            "minimum": None if self.minimum is None else plain(self.minimum),
        }
        return {name: value for name, value in values.items() if value is not None}


def settings_of(
    enabled: bool | None, stages: Iterable[Mapping[str, Any]] | None, minimum: Decimal | None
) -> ReminderSettings:
    """Return stored settings; the stages by days."""
    read = None if stages is None else tuple(sorted(Stage(**each) for each in stages))
    return ReminderSettings(enabled, read, minimum)


@dataclass(frozen=True, slots=True)
class OpenInvoice:
    """An invoice with what is open of it, and what was reminded of it.

    `reminded_stage`: days of the latest reminder, None without one. `reminder_id` names it.
    `hold_reason`: why a person holds its reminders, None if they are not held; until the day before
    `hold_until`, if there is one. `is_opening`: another system issued it. `disputed`: what of the
    balance the debtor disputes, which is not due.
    """

    invoice_id: int
    billing_company: str
    account_name: str
    invoice_number: str
    invoice_date: date
    due_date: date
    currency: str
    balance: Decimal
    is_opening: bool
    company_name: str
    debtor_name: str
    reminded_stage: int | None
    reminder_id: int | None
    hold_reason: str | None
    hold_until: date | None
    disputed: Decimal = Decimal(0)

    @property
    def due(self) -> Decimal:
        """What is open of it and not disputed."""
        return self.balance - self.disputed

    def overdue(self, today: date) -> int:
        """Return for how many days it is overdue; less than 1 if it is not."""
        return (today - self.due_date).days


class Verdict(NamedTuple):
    """The stage of which an invoice is reminded, or the reason (code and message) why not."""

    stage: Stage | None
    code: str
    message: str


def not_due(invoice: OpenInvoice, settings: ReminderSettings, today: date) -> Verdict | None:
    """Return why an invoice must not be reminded now, whatever was reminded before; else None."""
    days = invoice.overdue(today)
    minimum = settings.minimum or Decimal(0)
    held = invoice.hold_reason
    if held is not None and invoice.hold_until is not None and invoice.hold_until <= today:
        held = None
    until = f" until {invoice.hold_until}" if invoice.hold_until else ""
    rules = (
        (
            invoice.is_opening,
            "opening",
            "another system issued it: its payments are known only as they were loaded",
        ),
        (invoice.balance <= 0, "settled", "nothing is open: it is paid or credited"),
        (invoice.due <= 0, "disputed", "all that is open is disputed"),
        (days < 1, "not_overdue", f"it is due on {invoice.due_date}"),
        (not settings.enabled, "off", "reminders are off"),
        (held is not None, "held", f"held{until}: {held}"),
        (
            invoice.due < minimum,
            "below_minimum",
            f"less than the minimum of {plain(minimum)} is open"
            + (" and not disputed" if invoice.disputed else ""),
        ),
    )
    return next((Verdict(None, code, words) for applies, code, words in rules if applies), None)


def verdict(
    invoice: OpenInvoice, settings: ReminderSettings, today: date, *, has_address: bool
) -> Verdict:
    """Return whether an invoice is reminded today, of which stage, or why not."""
    if refused := not_due(invoice, settings, today):
        return refused
    days, stages = invoice.overdue(today), settings.stages or ()
    reached = [each for each in stages if each.days <= days]
    following = next((f"at {each.days} days" for each in stages if each.days > days), "")
    if not reached:
        words = f"the first stage is {following}" if following else "no stage is set"
        return Verdict(None, "no_stage", f"{days} days overdue: {words}")
    latest = reached[-1]
    if invoice.reminded_stage is not None and invoice.reminded_stage >= latest.days:
        words = f"the next stage is {following}" if following else "that was the last stage"
        by = f"{PREFIX}{invoice.reminder_id}"
        return Verdict(
            None, "reminded", f"reminded at {invoice.reminded_stage} days ({by}): {words}"
        )
    if not has_address:
        return Verdict(None, "no_address", "the debtor has no e-mail address")
    return Verdict(latest, "", f"{days} days overdue")
