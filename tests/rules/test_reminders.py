"""Reminders without a database: which invoice is reminded at which stage, and why others not."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from services.arg_sync.mail.rules import REMINDER_SUBJECT, REMINDER_TEXT, reminder_words
from shared.events.commands import SetReminders
from shared.events.field_types import MailText, ReminderText
from shared.mail_text import REMINDER_FIELDS, check_template
from shared.reminders import (
    STAGES_AT_MOST,
    OpenInvoice,
    ReminderSettings,
    Stage,
    settings_of,
    verdict,
)

DUE = date(2026, 3, 31)
STAGES = (Stage(7), Stage(14), Stage(30))
ON = ReminderSettings(True, STAGES, Decimal(5))
INVOICE = OpenInvoice(
    invoice_id=1,
    billing_company="acme-us",
    account_name="Mercy Hospital",
    invoice_number="US-1",
    invoice_date=date(2026, 3, 1),
    due_date=DUE,
    currency="USD",
    balance=Decimal("1000.00"),
    is_opening=False,
    company_name="Acme",
    debtor_name="Mercy",
    reminded_stage=None,
    reminder_id=None,
    hold_reason=None,
    hold_until=None,
)


def stage_on(day: int, settings: ReminderSettings = ON, **changes: Any) -> int | str:
    """Return the stage of which an invoice is reminded, days after its due date, or the reason."""
    has_address = changes.pop("has_address", True)
    invoice = replace(INVOICE, **changes)
    found = verdict(invoice, settings, DUE + timedelta(days=day), has_address=has_address)
    return found.stage.days if found.stage else found.code


@pytest.mark.parametrize(
    ("day", "reminded", "expected"),
    [
        (0, None, "not_overdue"),
        (1, None, "no_stage"),
        (6, None, "no_stage"),
        (7, None, 7),
        (13, 7, "reminded"),
        (14, 7, 14),
        (29, 14, "reminded"),
        (30, 14, 30),
        (400, 30, "reminded"),
        (40, None, 30),
        (40, 7, 30),
        (20, 30, "reminded"),
    ],
)
def test_a_stage_comes_once_and_late_only_the_latest(
    day: int, reminded: int | None, expected: int | str
) -> None:
    """At 7, 14 and 30 days after the due date; after an outage of 40 days the stage of 30 alone."""
    assert stage_on(day, reminded_stage=reminded, reminder_id=1) == expected


@pytest.mark.parametrize(
    ("expected", "changes"),
    [
        ("settled", {"balance": Decimal(0)}),
        ("settled", {"balance": Decimal("-0.01")}),
        ("below_minimum", {"balance": Decimal("4.99")}),
        (7, {"balance": Decimal(5)}),
        ("held", {"hold_reason": "disputed"}),
        ("held", {"hold_reason": "disputed", "hold_until": DUE + timedelta(days=9)}),
        (7, {"hold_reason": "disputed", "hold_until": DUE + timedelta(days=8)}),
        ("opening", {"is_opening": True}),
        ("no_address", {"has_address": False}),
    ],
)
def test_what_is_never_reminded(expected: int | str, changes: dict[str, Any]) -> None:
    """Paid, credited, held, small, of another system, without an address."""
    assert stage_on(8, **changes) == expected


def test_nobody_is_reminded_unless_it_is_set() -> None:
    """Off by default; a debtor's own settings come before the company's, each by itself."""
    assert stage_on(99, ReminderSettings()) == "off"
    assert stage_on(99, ReminderSettings(None, STAGES)) == "off"
    assert stage_on(99, ReminderSettings(True)) == "no_stage"
    assert stage_on(99, ReminderSettings(False).over(ON)) == "off"
    assert stage_on(99, ReminderSettings(True).over(ReminderSettings(None, STAGES))) == 30
    own = settings_of(None, [{"days": 60, "subject": "", "text": ""}], None).over(ON)
    assert (own.enabled, own.minimum, stage_on(59, own)) == (True, Decimal(5), "no_stage")
    company = ReminderSettings(True, (Stage(7, "a", "b"), Stage(9, "c", "d")))
    own = ReminderSettings(stages=(Stage(7, "own"), Stage(60))).over(company)
    assert own.stages == (Stage(7, "own", "b"), Stage(60))


def test_a_reminder_lists_its_invoices_with_what_is_open() -> None:
    """In the order of their due dates, with days and a sum; templates of their own fields."""
    later = replace(INVOICE, invoice_number="US-2", due_date=DUE + timedelta(days=6))
    later = replace(later, balance=Decimal("0.5"), debtor_name="Mercy {total}")
    today = DUE + timedelta(days=7)
    subject, text = reminder_words([later, INVOICE], 7, "", "", today)
    assert subject == "Payment reminder from Acme: 1,000.50 USD overdue"
    first, second = (line for line in text.splitlines() if line.startswith("US-"))
    assert first == "US-1 of 2026-03-01, due 2026-03-31, 7 days overdue: 1,000.00 USD"
    assert second == "US-2 of 2026-03-01, due 2026-04-06, 1 day overdue: 0.50 USD"
    own = reminder_words([later, INVOICE], 7, "{count}\n{days} {{", "{debtor}", today)
    assert own == ("2 7 {", "Mercy {total}"), "a value is no template"


def test_a_template_of_a_reminder_has_its_own_fields() -> None:
    """What is not a plain field of the list is refused when it is set."""
    for ours in (REMINDER_SUBJECT, REMINDER_TEXT):
        check_template(ours, REMINDER_FIELDS)
    for wrong in ("{number}", "{total.real}", "{", "{0}"):
        with pytest.raises(ValidationError, match=r"brace|field"):
            TypeAdapter(ReminderText).validate_python(wrong)
    with pytest.raises(ValidationError, match="field"):
        TypeAdapter(MailText).validate_python("{invoices}")


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({}, "nothing_given"),
        ({"stages": [7, 7]}, "stage_twice"),
        ({"stages": [0]}, "greater_than_equal"),
        ({"stages": []}, "too_short"),
        ({"stages": list(range(1, STAGES_AT_MOST + 2))}, "too_long"),
        ({"as_company": True}, "as_company_alone"),
        ({"as_company": True, "account_name": "M", "enabled": True}, "as_company_alone"),
        ({"minimum": "-1"}, "string_pattern_mismatch"),
    ],
)
def test_a_command_says_one_thing(values: dict[str, Any], code: str) -> None:
    """What contradicts itself is refused before it is sent."""
    who = {"command_id": "1", "actor": "pat", "billing_company": "acme-us"}
    with pytest.raises(ValidationError) as refused:
        SetReminders.model_validate(who | values)
    assert code in {each["type"] for each in refused.value.errors()}
