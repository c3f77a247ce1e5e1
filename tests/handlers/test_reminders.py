"""Reminders of overdue invoices against a real mail server: each invoice once at each stage, and
never one of which nothing is open.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from services.arg_sync.mail import rules
from services.arg_sync.mail.handlers import reminders
from services.arg_sync.mail.store import mails
from services.console.queries.history import history
from services.console.queries.reminders import reminder_preview
from services.console.queries.reminders import reminders as listed
from services.console.queries.snapshot import open_snapshot
from shared import clock
from tests.builders import COMPANY
from tests.conftest import Configure
from tests.handlers.mailing import Mailing, MailServer, mailing_at
from tests.handlers.test_mail_kills import worker
from tests.ledgers.delivering import Closed, Delivering

DUE = date(2026, 3, 31)
AP = "ap@mercy.example"


class Reminding:
    """A mail account with reminders at 7, 14 and 30 days, and invoices that were due on DUE."""

    def __init__(self, mailing: Mailing, configure: Configure, database: str) -> None:
        self.mailing, self.configure, self.database = mailing, configure, database
        self.server = mailing.server

    async def on(self, day: int) -> int:
        """Let it be so many days after DUE, and let two workers look; return the e-mails sent."""
        self.configure(today=str(DUE + timedelta(days=day)))
        before = len(self.server.taken)
        await asyncio.gather(*(self.look() for _ in range(2)))
        await self.mailing.work()
        return len(self.server.taken) - before

    async def look(self) -> None:
        """As the background job of a worker does."""
        unit_of_work = self.mailing.delivering.unit_of_work
        while (await unit_of_work.transact(reminders.queue_due)).jobs_due:
            pass

    async def set(self, **values: Any) -> dict[str, Any]:
        """Set reminders; accepted."""
        answer = await self.mailing.tell("set-reminders", **values)
        assert answer["outcome"] == "accepted", answer
        return answer

    async def pay(self, invoice: Closed, amount: Decimal) -> None:
        """Book a payment."""
        await self.mailing.delivering.rows(
            "INSERT INTO invoicer.payment (ledger, payment_id, invoice_id, entry_no, amount,"
            " currency, paid_on, remote_id) VALUES ('gl-us', :id, :invoice, 1, :amount, 'USD',"
            " '2026-04-01', 'r')",
            id=f"P-{invoice.number}",
            invoice=invoice.invoice_id,
            amount=amount,
        )

    async def preview(self, **values: Any) -> dict[str, Any]:
        """Read what the preview shows: the stage or the reason of each invoice."""
        async with open_snapshot(self.database) as connection:
            found = await reminder_preview(connection, COMPANY, **values)
        rows = found["invoices"]
        return {row["invoice_number"]: row["stage"] or row["code"] for row in rows}

    def texts(self) -> list[str]:
        """Return the texts of the messages that the server took."""
        return [one.get_content() for one in self.server.messages()]


@pytest.fixture
async def reminding(
    delivering: Delivering, configure: Configure, database: str
) -> AsyncIterator[Reminding]:
    """Reminders are on; Mercy Hospital has an address."""
    configure(today=str(DUE))
    async with mailing_at(delivering, configure, MailServer()) as mailing:
        await mailing.set_account()
        found = Reminding(mailing, configure, database)
        await found.set(enabled=True, stages=[30, 7, 14], minimum="5")
        await mailing.address("Mercy Hospital", AP)
        yield found


async def close(reminding: Reminding, number: str, **values: Any) -> Closed:
    """Close an invoice that was due on DUE."""
    return await reminding.mailing.delivering.close(number, **({"due": DUE} | values))


async def test_a_debtor_gets_one_email_for_each_stage(reminding: Reminding) -> None:
    """All its invoices are in it; two workers, and the same day again, send it once."""
    for number in ("INV-1", "INV-2"):
        await close(reminding, number)
    await close(reminding, "INV-3", due=DUE + timedelta(days=1))
    assert [await reminding.on(day) for day in (0, 6, 7, 7)] == [0, 0, 1, 0]
    (first,) = reminding.server.messages()
    assert first["To"] == AP and first["Subject"].startswith("Payment reminder from Acme: ")
    text = first.get_content()
    assert "INV-1 of 2026-03-01, due 2026-03-31, 7 days overdue: 2,465.89 USD" in " ".join(
        text.split()
    )
    assert "INV-2" in text and "INV-3" not in text
    assert await reminding.on(8) == 1
    assert "INV-3" in reminding.texts()[1] and "INV-1" not in reminding.texts()[1]
    assert [await reminding.on(day) for day in (13, 14, 15, 29, 30, 31, 400)] == [
        0, 1, 1, 0, 1, 1, 0,
    ]  # fmt: skip
    async with open_snapshot(reminding.database) as connection:
        rows, total = await listed(connection, COMPANY, number="INV-1")
        events = await history(connection, "INV-1")
    assert [row["stage"] for row in rows] == [30, 14, 7] and total == 3
    assert rows[0]["invoice_numbers"] == ["INV-1", "INV-2"] and rows[0]["mails"] == {"sent": 1}
    sent = [event["message"] for event in events if event["what"] == "e-mail sent"]
    assert len(sent) == 3 and sent[0].startswith(f"reminder:1 to {AP}: 250")


async def test_many_invoices_are_in_several_emails(
    reminding: Reminding, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An e-mail has a limit, and every invoice is in one."""
    monkeypatch.setattr(rules, "INVOICES_AT_MOST", 2)
    for no in range(1, 4):
        await close(reminding, f"INV-{no}")
    assert await reminding.on(7) == 2
    assert sorted(text.count("INV-") for text in reminding.texts()) == [1, 2]


async def test_after_an_outage_the_latest_stage_alone_is_sent(reminding: Reminding) -> None:
    """Workers that stood still for weeks, and a mail server that did, send one e-mail."""
    await close(reminding, "INV-1")
    assert await reminding.on(20) == 1 and "14 days or more" in reminding.texts()[0]
    await close(reminding, "INV-2", due=DUE + timedelta(days=20))
    reminding.server.data = ["451 4.7.1 try later"]
    assert await reminding.on(27) == 0
    assert await reminding.on(34) == 2, "stage 30 of INV-1, stage 14 of INV-2"
    await reminding.mailing.hurry()
    await reminding.mailing.work()
    assert len(reminding.server.taken) == 3
    states = [(row.state, row.code) for row in (await reminding.mailing.mails()).values()]
    assert sorted(states)[0] == ("refused", "no_longer_due")
    async with reminding.mailing.delivering.engine_of("arg_sync").connect() as connection:
        counted = await mails.count_by_state(connection)
    assert counted == [(COMPANY, "sent", 3)], "a needless reminder raises no alert"


async def test_what_is_paid_credited_held_or_small_is_never_reminded(
    reminding: Reminding,
) -> None:
    """And the preview says why, with the same rule."""
    paid, credited, small, part, _ = [await close(reminding, f"INV-{no}") for no in range(1, 6)]
    await reminding.pay(paid, paid.total)
    await reminding.mailing.delivering.close("CN-6", credits=credited)
    await reminding.pay(small, small.total - Decimal("4.99"))
    await reminding.pay(part, part.total - Decimal(5))
    await close(reminding, "INV-7", account="No Address Ltd")
    held = await reminding.mailing.tell("hold-reminders", invoice_number="INV-5", reason="")
    assert held["code"] == "reason_missing"
    held = await reminding.mailing.tell(
        "hold-reminders", invoice_number="INV-5", reason="disputed", until=str(DUE + timedelta(14))
    )
    assert held["outcome"] == "accepted"
    reminding.configure(today=str(DUE + timedelta(days=7)))
    expected = {"INV-3": "below_minimum", "INV-4": 7, "INV-5": "held", "INV-7": "no_address"}
    assert await reminding.preview() == expected
    for number in ("INV-1", "INV-2"):
        assert await reminding.preview(number=number) == {number: "settled"}
    assert await reminding.on(7) == 1
    (text,) = reminding.texts()
    assert "INV-4" in text and "5.00 USD" in text and text.count("INV-") == 1
    assert (await reminding.preview())["INV-4"] == "reminded"
    assert await reminding.on(14) == 1 and "INV-5" in reminding.texts()[1], "the hold is over"
    await reminding.mailing.address("No Address Ltd", "ap@no.example")
    assert await reminding.on(15) == 1 and "INV-7" in reminding.texts()[2]


async def test_a_payment_while_it_waits_takes_the_invoice_off(reminding: Reminding) -> None:
    """The words are those of the moment of sending; without an invoice left nothing is sent."""
    both = [await close(reminding, number) for number in ("INV-1", "INV-2")]
    reminding.server.data = ["451 4.7.1 try later"] * 2
    assert await reminding.on(7) == 0
    await reminding.pay(both[0], both[0].total)
    await reminding.mailing.hurry()
    reminding.server.data = []
    await reminding.mailing.work()
    (text,) = reminding.texts()
    assert "INV-1" not in text and "INV-2" in text
    again = {"reminder": "reminder:1", "again": True}
    assert (await reminding.mailing.tell("send-reminder", **again))["outcome"] == "accepted"
    await reminding.mailing.work()
    first, second = reminding.server.messages()
    assert first["Message-ID"] != second["Message-ID"]
    await reminding.pay(both[1], both[1].total)
    assert (await reminding.mailing.tell("send-reminder", **again))["code"] == "no_longer_due"


async def test_reminders_are_off_by_default_and_for_some(
    reminding: Reminding, delivering: Delivering
) -> None:
    """A debtor's own settings come first; templates are of a stage; off means not one e-mail."""
    await reminding.set(enabled=False)
    await close(reminding, "INV-1")
    await close(reminding, "INV-2", account="Other Ltd")
    await reminding.mailing.address("Other Ltd", "ap@other.example")
    assert await reminding.on(7) == 0
    template = {"stage": 7, "subject": "{debtor}: {count}", "text": "{invoices}"}
    await reminding.set(account_name="Other Ltd", enabled=True, templates=[template])
    assert await reminding.on(7) == 1, "a change counts on the same day"
    (message,) = reminding.server.messages()
    assert (message["To"], message["Subject"]) == ("ap@other.example", "Other Ltd: 1")
    await reminding.set(enabled=True)
    assert await reminding.on(7) == 1
    await reminding.set(account_name="Other Ltd", enabled=False)
    assert await reminding.on(14) == 1
    await reminding.set(account_name="Other Ltd", as_company=True)
    assert await reminding.on(14) == 1 and reminding.server.recipients()["ap@other.example"] == 2
    refused = await reminding.mailing.tell("set-reminders", templates=[{"stage": 8, "text": ""}])
    assert refused["code"] == "unknown_stage" and "7, 14, 30" in refused["message"]
    await delivering.rows("DELETE FROM arg_sync.reminder_settings")
    assert (await reminding.on(30), await reminding.preview()) == (
        0,
        dict.fromkeys(("INV-1", "INV-2"), "no_stage"),
    )


async def test_nobody_is_reminded_while_payments_are_not_read(
    reminding: Reminding, delivering: Delivering
) -> None:
    """What is paid may be unknown then; when they are read again the reminders follow."""
    await close(reminding, "INV-1")
    await delivering.rows(
        "INSERT INTO arg_sync.connection (ledger, kind, billing_company, settings, auto_sync,"
        " state, actor, connected_at) VALUES ('gl-us', 'xero', :company, '{}', true,"
        " 'login refused', 'pat', now() - interval '2 days')",
        company=COMPANY,
    )
    assert await reminding.on(7) == 0
    async with open_snapshot(reminding.database) as connection:
        assert (await reminder_preview(connection, COMPANY))["late_ledgers"] == ["gl-us"]
    await delivering.rows(
        "INSERT INTO arg_sync.payment_cursor (ledger, generation, next_at, read_at)"
        " VALUES ('gl-us', 1, now(), now())"
    )
    assert await reminding.on(7) == 1


async def test_the_day_is_that_of_the_billing_company(
    reminding: Reminding, delivering: Delivering
) -> None:
    """Without a date in place of today: the local date, from eight in the morning on."""
    reminding.configure(today="")
    now = clock.now()
    local = {hours: now + timedelta(hours=hours) for hours in range(-12, 15)}
    early = next(hours for hours, at in local.items() if at.hour < rules.FROM_HOUR)
    later = next(hours for hours, at in local.items() if at.hour >= rules.FROM_HOUR)
    today = local[later].date()
    await close(reminding, "INV-1", due=today - timedelta(days=7))
    await close(reminding, "INV-2", due=today - timedelta(days=6))
    for each, expected in ((early, 0), (later, 1)):
        await delivering.rows(
            "INSERT INTO fee_realizer.billing_company (billing_company, known, time_zone)"
            " VALUES (:company, true, :zone)"
            " ON CONFLICT (billing_company) DO UPDATE SET time_zone = excluded.time_zone",
            company=COMPANY,
            zone=f"Etc/GMT{-each:+d}",
        )
        await reminding.look()
        await reminding.mailing.work()
        assert len(reminding.server.taken) == expected, each
    assert "INV-1" in reminding.texts()[0] and "INV-2" not in reminding.texts()[0]


@pytest.mark.parametrize(
    ("point", "state", "messages"),
    [("mail_before_end", "sent", 1), ("mail_answered", "unknown", 1)],
)
async def test_a_kill_sends_no_reminder_twice(
    reminding: Reminding, tmp_path: Path, point: str, state: str, messages: int
) -> None:
    """As of a document: before the end again, after it a person decides."""
    await close(reminding, "INV-1")
    reminding.configure(today=str(DUE + timedelta(days=7)))
    await reminding.look()
    killed = await worker(
        reminding.database,
        BACKOFFICE_CRASH=point,
        BACKOFFICE_PAUSE=str(tmp_path),
        BACKOFFICE_TODAY=str(DUE + timedelta(days=7)),
    )
    assert await asyncio.wait_for(killed.wait(), 60) == -9
    await reminding.look()
    await reminding.mailing.work()
    assert await reminding.mailing.states() == {state: 1}
    assert len(reminding.server.taken) == messages
    if state == "unknown":
        answer = await reminding.mailing.tell(
            "decide-mail",
            invoice_number="reminder:1",
            address=AP,
            sent=True,
            reason="asked by phone",
        )
        assert answer["outcome"] == "accepted"
        assert await reminding.on(7) == 0
