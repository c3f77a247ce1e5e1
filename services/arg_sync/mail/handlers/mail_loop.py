"""The loop that sends e-mails: a session with the mail server of each billing company.

Accounts do not wait for each other. Several workers may send for one account: each e-mail is leased
by one of them, and every write names the lease.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import ClassVar

from sqlalchemy.ext.asyncio import AsyncConnection

from services.arg_sync.connections.handlers.adapters import StoredSecrets
from services.arg_sync.connections.handlers.loops import DueLoop
from services.arg_sync.connections.rules import after_connection_failure
from services.arg_sync.deliveries.handlers.lease_holders import is_dead
from services.arg_sync.ledgers.failures import NO_LOGINS, Failure, FailureClass
from services.arg_sync.mail import rules
from services.arg_sync.mail.handlers import reminders
from services.arg_sync.mail.handlers.composing import TIMESHEETS, compose, compose_reminder
from services.arg_sync.mail.handlers.smtp import MailSession, open_session
from services.arg_sync.mail.store import accounts, content, mails
from services.arg_sync.mail.store.accounts import MailAccount
from services.arg_sync.mail.store.mails import ClaimedMail
from shared import clock, faults, sealing, telemetry
from shared.database import infrastructure_unavailable, sqlstate
from shared.errors import Refused

LEASE_SECONDS = 1_200.0
"""Longer than the steps of one e-mail may take together."""


@dataclass
class _Sending:
    """The work for one account: its session, while one is open."""

    account: MailAccount
    session: MailSession | None = None


class MailLoop(DueLoop[MailAccount]):
    """Sends what is due."""

    drain_seconds: ClassVar[float] = 40.0

    async def end_leases(self) -> None:
        """Decide about the e-mails of workers that are gone."""
        async with self.unit_of_work.engine.begin() as connection:
            dead = [each for each in await mails.holders(connection) if is_dead(each)]
            await mails.end_leases(connection, dead, rules.UNKNOWN_FIX)

    async def due(self) -> list[MailAccount]:
        """Return the accounts with due e-mails."""
        async with self.unit_of_work.engine.connect() as connection:
            return await accounts.accounts_with_work(connection)

    async def work_on(self, due: MailAccount) -> None:
        """Send e-mail after e-mail until none is due or the account may not send."""
        sending = _Sending(due)
        try:
            while not self.stopping.is_set():
                async with self.unit_of_work.engine.begin() as connection:
                    if not await accounts.STATES.may_send(connection, due.name, due.generation):
                        return
                    claimed = await mails.claim(
                        connection, due.billing_company, self.holder, LEASE_SECONDS
                    )
                if claimed is None:
                    return
                await faults.point("mail_taken")
                await self._send_one(sending, claimed)
        finally:
            if sending.session is not None:
                await sending.session.quit()

    async def _send_one(self, sending: _Sending, claimed: ClaimedMail) -> None:
        began = time.monotonic()
        failed: Failure | None = None
        try:
            after = rules.sent(await self._transfer(sending, claimed))
        except Failure as failure:
            failed = failure
            after = rules.after_failure(
                failure, claimed.tries, claimed.failing_seconds, self.jitter
            )
        except Refused as refused:
            after = rules.MailOutcome("refused", refused.code, refused.message, refused.fix)
        await faults.point("mail_answered")
        took = int((time.monotonic() - began) * 1000)
        async with self.unit_of_work.engine.begin() as connection:
            # The account before the e-mail, as commands lock them: else one waits for the other.
            if after.state == rules.SENT:
                await accounts.STATES.close_circuit(connection, sending.account.name)
            elif failed is not None and failed.everywhere:
                await self._hold_account(connection, sending.account, failed)
            await mails.settle(connection, claimed, after, self.holder, took)
        telemetry.MAILS_ENDED.labels(after.state).inc()
        if after.state in ("refused", "unknown") and after.code != rules.NOT_DUE:
            telemetry.log().warning(
                f"e-mail {after.state}", invoice=claimed.invoice_number, code=after.code
            )

    async def _transfer(self, sending: _Sending, claimed: ClaimedMail) -> str:
        """Compose the message and send it; return the server's answer.

        An unexpected error refuses this e-mail only, unless it may be with the server already.
        """
        account = sending.account
        handed_over = False

        async def hand_over() -> bool:
            nonlocal handed_over
            await faults.point("mail_before_end")
            async with self.unit_of_work.engine.begin() as connection:
                handed_over = await mails.hand_over(connection, claimed)
            await faults.point("mail_handed_over")
            return handed_over

        try:
            message = await self._composed(account, claimed)
            session = await self._session(sending)
            sender = account.settings["sender"]
            return await session.send(sender, claimed.address, message, hand_over)
        except Refused:
            raise
        except Failure as failed:
            if sending.session is not None:
                await self._after_failure(sending.session, failed)
            raise
        except Exception as error:
            if infrastructure_unavailable(error) or sqlstate(error):
                raise
            telemetry.log().error("unexpected error with an e-mail", exc_info=error)
            words = f"our code failed ({type(error).__name__}); see the log of arg_sync"
            kind: FailureClass = "unknown" if handed_over else "permanent"
            raise Failure(kind, "unexpected_error", words) from error

    async def _composed(self, account: MailAccount, claimed: ClaimedMail) -> bytes:
        """Return the message of a document, or of a reminder as it is due now."""
        if claimed.reminder_id is not None:
            async with self.unit_of_work.engine.begin() as connection:
                company_name, due = await reminders.due_now(
                    connection, account.billing_company, claimed.reminder_id, claimed
                )
            return compose_reminder(due, company_name, account.settings, clock.now())
        assert claimed.invoice_id is not None  # a constraint of the table
        async with self.unit_of_work.engine.connect() as connection:
            printed = await content.printed(
                connection, claimed.invoice_id, with_timesheets=TIMESHEETS in claimed.attach
            )
        return await asyncio.to_thread(compose, claimed, printed, account.settings, clock.now())

    async def _session(self, sending: _Sending) -> MailSession:
        if sending.session is not None and not sending.session.usable:
            await sending.session.quit()
            sending.session = None
        if sending.session is None:
            account = sending.account
            store = StoredSecrets(
                self.unit_of_work.engine,
                sealing.mail_name(account.billing_company),
                sealing.mail_binding(account.billing_company, account.settings),
            )
            sending.session = await open_session(account.settings, store)
        return sending.session

    async def _after_failure(self, session: MailSession, failed: Failure) -> None:
        """Leave the session ready for the next message, or closed."""
        if failed.everywhere or failed.failure == "unknown":
            session.close()
        else:
            await session.forget_message()

    async def _hold_account(
        self, connection: AsyncConnection, account: MailAccount, failed: Failure
    ) -> None:
        """Stop an account that the server refuses; let one whose server is away wait."""
        now = await accounts.account_for(connection, account.billing_company)
        if now is None or now.generation != account.generation:
            return  # an operator changed it meanwhile
        if failed.failure == "transient":
            circuit = after_connection_failure(now.failures, failed.retry_after, self.jitter)
            await accounts.STATES.set_circuit(connection, account.name, circuit, failed.message)
            return
        login = failed.failure == "auth" and failed.code not in NO_LOGINS
        state = "login refused" if login else "stopped"
        fix = (
            f"correct it with `backoffice send set-account --billing-company"
            f" {account.billing_company} ...`; that also lets the next attempt through"
        )
        await accounts.STATES.set_state(connection, account.name, state, f"{failed.message}; {fix}")
        telemetry.log().error(
            "mail account stopped", billing_company=account.billing_company, code=failed.code
        )
