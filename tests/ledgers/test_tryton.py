"""The adapter for Tryton against a real Tryton 8, with a wire in between that misbehaves; and
what is Tryton's own.
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from services.arg_sync.ledgers.documents import CreditedInvoice, Customer, Line
from services.arg_sync.ledgers.failures import Failure
from services.arg_sync.ledgers.tryton import LEDGER
from shared.stack.choice import Database
from tests.ledgers.answers import Answers
from tests.ledgers.fake import playing
from tests.ledgers.suite import LedgerSuite, Stage, deliver, document, host
from tests.ledgers.tryton_server import ACCOUNT, PASSWORD, TAX, TrytonServer, tryton
from tests.ledgers.vendors.tryton import TrytonBehind

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
PATIENCE_SECONDS = 3.0


@pytest.fixture(scope="module")
def server(postgres: Database, server_folder: Path) -> Iterator[TrytonServer]:
    """One Tryton for the module."""
    with tryton(postgres.admin_url, server_folder / "tryton") as running:
        yield running


class TestTryton(LedgerSuite):
    """The suite, and more."""

    @pytest.fixture
    async def stage(self, server: TrytonServer) -> AsyncIterator[Stage]:
        """Its port, one that is impatient, and the wire between."""
        await server.rename_all()
        async with playing(TrytonBehind(server)) as client:
            can = LEDGER.capabilities
            settings = server.settings | {"base_url": client.url}
            ports = [
                LEDGER.make(host(capabilities, settings, {"password": PASSWORD}, LEDGER.settings))
                for capabilities in (can, replace(can, request_seconds=PATIENCE_SECONDS))
            ]
            yield Stage(
                *ports,
                client,
                (PASSWORD,),
                {"account": ACCOUNT, "tax": TAX},
                patience=PATIENCE_SECONDS,
            )
            for port in ports:
                await port.close()

    async def test_a_wrong_password_is_auth(self, stage: Stage, server: TrytonServer) -> None:
        """The connection stops, not the one invoice; the password is in no message."""
        port = LEDGER.make(
            host(
                LEDGER.capabilities,
                server.settings,
                {"password": "canary-wrong-77"},
                LEDGER.settings,
            )
        )
        with pytest.raises(Failure) as failed:
            await port.check()
        assert failed.value.failure == "auth" and "canary" not in str(failed.value)
        await port.close()

    async def test_a_closed_period_is_refused_with_the_message_of_tryton(
        self, stage: Stage, server: TrytonServer
    ) -> None:
        """The draft stays; when the period is open again, it is posted."""
        await server.close_period(date(2026, 2, 10))
        made = document(
            stage, "D-000090", invoice_date=date(2026, 2, 10), due_date=date(2026, 3, 10)
        )
        with pytest.raises(Failure) as failed:
            await deliver(stage.port, made)
        assert failed.value.failure == "permanent" and "period" in failed.value.message
        (draft,) = (await stage.port.find("invoice", ["D-000090"]))["D-000090"]
        assert draft.state == "draft"

    async def test_a_blocked_party_is_refused(self, stage: Stage, server: TrytonServer) -> None:
        """An inactive party is not invoiced, and no second one is made in its place."""
        await stage.port.add_customer(Customer("Blocked Client"))
        await server.block("Blocked Client")
        with pytest.raises(Failure) as failed:
            await stage.port.customer_for(Customer("Blocked Client"))
        assert failed.value.failure == "permanent" and "inactive" in failed.value.message

    async def test_an_older_date_is_refused_in_trytons_words(self, stage: Stage) -> None:
        """That is why documents go in the order of their dates."""
        await deliver(
            stage.port,
            document(stage, "D-000091", invoice_date=date(2026, 8, 2), due_date=date(2026, 9, 1)),
        )
        with pytest.raises(Failure) as failed:
            await deliver(
                stage.port,
                document(
                    stage, "D-000092", invoice_date=date(2026, 8, 1), due_date=date(2026, 9, 1)
                ),
            )
        assert failed.value.failure == "permanent" and "SI-" in failed.value.message

    async def test_our_tax_is_kept_to_the_cent(self, stage: Stage) -> None:
        """Three lines of 0.05 at 10 %: rounded line by line 0.03, of the sum 0.02.

        Tryton keeps what we invoiced, either way.
        """
        for at, due in enumerate((Decimal("0.03"), Decimal("0.02"))):
            parts = [due - Decimal("0.01") * 2, Decimal("0.01"), Decimal("0.01")]
            lines = tuple(
                Line(
                    no,
                    "cents",
                    Decimal(1),
                    Decimal("0.0500"),
                    Decimal("0.05"),
                    ACCOUNT,
                    "",
                    TAX,
                    "VAT",
                    tax,
                )
                for no, tax in enumerate(parts, 1)
            )
            net = Decimal("0.15")
            values = {
                "invoice_date": date(2026, 8, 3),
                "due_date": date(2026, 9, 1),
                "tax": due,
                "total": net + due,
                "lines": lines,
            }
            made = document(
                stage,
                f"D-00009{5 + at}",
                **values,
            )
            assert (await deliver(stage.port, made)).total == net + due

    async def test_half_a_cent_is_kept_as_we_rounded_it(self, stage: Stage) -> None:
        """7.25 × 33.38 is 242.005: 242.01 on our invoice, and 242.00 if Tryton multiplied."""
        line = Line(
            1,
            "half a cent",
            Decimal("7.25"),
            Decimal("33.3800"),
            Decimal("242.01"),
            ACCOUNT,
            "",
            "",
            "",
            Decimal(0),
        )
        values = {
            "invoice_date": date(2026, 8, 3),
            "due_date": date(2026, 9, 1),
            "tax": Decimal(0),
            "total": line.amount,
        }
        assert (
            await deliver(stage.port, document(stage, "D-000098", **values, lines=(line,)))
        ).total == line.amount

    async def test_a_credit_note_of_two_invoices_is_refused(self, stage: Stage) -> None:
        """Tryton applies a credit note to one invoice: a person applies the other."""
        days = {"invoice_date": date(2026, 8, 4), "due_date": date(2026, 9, 1)}
        both = [
            await deliver(stage.port, document(stage, f"D-00010{at}", **days)) for at in range(2)
        ]
        corrects = tuple(CreditedInvoice(one.number, Decimal(1), one.remote_id) for one in both)
        credit = document(stage, "D-000102", "credit-note", corrects=corrects, **days)
        posted = await deliver(stage.port, credit)
        with pytest.raises(Failure) as failed:
            await stage.port.allocate(posted, credit)
        assert failed.value.failure == "permanent" and "one invoice only" in failed.value.message

    async def test_each_field_without_a_value_in_turn(self, stage: Stage) -> None:
        """Tryton sends every field that was asked for, some of them empty: what may be empty
        changes nothing; without a value that is needed nothing is concluded.
        """
        answers = Answers(stage, null=True)
        days = {"invoice_date": date(2026, 8, 5), "due_date": date(2026, 9, 1)}
        invoice = await deliver(stage.port, document(stage, "D-000095", **days))
        whole = document(stage, "D-000096", "credit-note", **days)
        corrected = (CreditedInvoice("D-000095", whole.total, invoice.remote_id),)
        note = replace(whole, corrects=corrected)
        credit = await deliver(stage.port, note)
        await stage.port.allocate(credit, note)

        async def what_is_read() -> list[object]:
            await stage.port.allocate(credit, note)
            read: list[object] = [await stage.port.customer_for(whole.customer)]
            for one in (invoice, credit):
                found = (await stage.port.find(one.kind, [one.number]))[one.number]
                now = (await stage.port.status(one.kind, [one.remote_id]))[one.remote_id]
                read += [(each.state, each.currency, each.total) for each in (*found, now) if each]
            return [*read, len((await stage.port.payments("")).payments)]

        expected = await what_is_read()
        answers.names -= {"id", "result", "__class__", "decimal", "year", "month", "day"}
        answers.names -= {"hour", "minute", "second", "microsecond"}
        answers.names -= {"move_origin"}  # empty, it is a payment that was entered as a move
        needed = set()
        for field in sorted(answers.names):
            answers.left_out = field
            try:
                read = await what_is_read()
            except Failure as failed:
                assert (failed.code, failed.failure) == ("unreadable", "transient")  # noqa: PT017
                needed.add(field)
            else:
                assert read == expected, field
        assert needed >= {"account", "code", "currency.", "move", "party", "payment_lines", "state"}
