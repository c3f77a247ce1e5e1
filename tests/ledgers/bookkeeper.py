"""A person who works in Tryton's own program: pays, cancels, enters bank statements, reconciles."""

from typing import Any

from services.arg_sync.ledgers.tryton import LEDGER
from services.arg_sync.ledgers.tryton_rpc import TrytonWarning
from tests.ledgers.suite import host
from tests.ledgers.tryton_server import ACCOUNT, PASSWORD, TrytonServer

CASH = ["code", "=", "1.1.1"]
DAY = {"__class__": "date", "year": 2026, "month": 3, "day": 31}
FIRST = DAY | {"day": 1}


def decimal(text: object) -> dict[str, str]:
    """A number in Tryton's JSON."""
    return {"__class__": "Decimal", "decimal": str(text)}


class Bookkeeper:
    """A person who records payments in Tryton, by its own wizard and as plain moves."""

    def __init__(self, server: TrytonServer) -> None:
        self.port: Any = LEDGER.make(
            host(LEDGER.capabilities, server.settings, {"password": PASSWORD}, LEDGER.settings)
        )

    async def one(self, model: str, *domain: Any) -> int:
        """The id of a record."""
        rows = await self.port._search(f"model.{model}", list(domain), ["id"])
        an_id: int = rows[0]["id"]
        return an_id

    async def add(self, model: str, **values: Any) -> int:
        """A new record."""
        (an_id,) = await self.port._call(f"model.{model}.create", [values], writes=True)
        assert isinstance(an_id, int)
        return an_id

    async def pay_by_wizard(self, invoice: int, amount: str, *, write_off: bool = False) -> None:
        """The button Pay: a part, the whole, or with the rest written off."""
        company, cash = await self.port._company(), await self.one("account.account", CASH)
        journal = await self.one("account.journal", ["type", "=", "cash"])
        accounts = {"credit_account": cash, "debit_account": cash}
        method = await self.add(
            "account.invoice.payment.method",
            name=f"Cash {invoice} {amount}",
            company=company,
            journal=journal,
            **accounts,
        )
        on = {"active_model": "account.invoice", "active_id": invoice, "active_ids": [invoice]}
        pay, call = "wizard.account.invoice.pay", self.port._call
        session, *_ = await call(f"{pay}.create", writes=True)
        shown = await call(f"{pay}.execute", session, {}, "start", writes=True, more=on)
        start = shown["view"]["defaults"] | {
            "amount": decimal(amount),
            "payment_method": method,
            "date": DAY,
        }
        start = {name: value for name, value in start.items() if "." not in name}
        data: dict[str, Any] = {"start": start}
        shown = await call(f"{pay}.execute", session, data, "choice", writes=True, more=on)
        if "view" not in shown:
            return  # it paid the whole
        data["ask"] = {"type": "partial"}
        if write_off:
            (row,) = await call("model.account.invoice.read", [invoice], ["lines_to_pay"])
            method = await self._write_off_method()
            data["ask"] = {"type": "writeoff", "writeoff": method, "lines": row["lines_to_pay"]}
        await call(f"{pay}.execute", session, data, "pay", writes=True, more=on)

    async def _write_off_method(self) -> int:
        account = await self.one("account.account", ["code", "=", ACCOUNT])
        return await self.add(
            "account.move.reconcile.write_off",
            name="Small difference",
            company=await self.port._company(),
            journal=await self.add("account.journal", name="Write-off", type="write-off"),
            credit_account=account,
            debit_account=account,
        )

    async def cancel_payment(self, invoice: int) -> None:
        """Cancel the move of its payment."""
        (row,) = await self.port._call("model.account.invoice.read", [invoice], ["payment_lines"])
        lines = row["payment_lines"]
        (line,) = await self.port._call("model.account.move.line.read", lines, ["move"])
        await self._wizard(
            "account.move.cancel", "account.move", [line["move"]], "default", "cancel"
        )

    async def _wizard(self, name: str, model: str, ids: list[int], first: str, then: str) -> None:
        """Carry out a wizard of one form with the values that it proposes."""
        wizard, call = f"wizard.{name}", self.port._call
        on = {"active_model": model, "active_id": ids[0], "active_ids": ids}
        session, *_ = await call(f"{wizard}.create", writes=True)
        shown = await call(f"{wizard}.execute", session, {}, first, writes=True, more=on)
        if not then:
            return
        data = {first: shown["view"]["defaults"]}
        try:
            await call(f"{wizard}.execute", session, data, then, writes=True, more=on)
        except TrytonWarning as warning:  # the person reads it and confirms
            await call("model.res.user.warning.skip", warning.name, writes=True)
            await call(f"{wizard}.execute", session, data, then, writes=True, more=on)

    async def enter_statement(self, invoice: int, amount: str) -> None:
        """A bank statement with one line that pays an invoice; it is validated and posted."""
        fields = ["account", "party"]
        (row,) = await self.port._call("model.account.invoice.read", [invoice], fields)
        company = await self.port._company()
        journal = await self.add(
            "account.statement.journal",
            name=f"Bank {invoice}",
            company=company,
            journal=await self.add("account.journal", name="Bank", type="statement"),
            account=await self.one("account.account", CASH),
            validation="number_of_lines",
        )
        line = {
            "date": DAY,
            "amount": decimal(amount),
            "party": row["party"],
            "account": row["account"],
            "related_to": f"account.invoice,{invoice}",
        }
        statement = await self.add(
            "account.statement",
            name=f"Statement {invoice}",
            company=company,
            journal=journal,
            date=DAY,
            number_of_lines=1,
            lines=[["create", [line]]],
        )
        for step in ("validate_statement", "post"):
            await self.port._call(f"model.account.statement.{step}", [statement], writes=True)

    async def reconcile(self, invoice: int, amount: str) -> None:
        """A payment that was entered as a move, reconciled with the invoice by hand."""
        line = await self.move(invoice, amount)
        (row,) = await self.port._call("model.account.invoice.read", [invoice], ["lines_to_pay"])
        lines = [*row["lines_to_pay"], line]
        name = "account.move.reconcile_lines"
        await self._wizard(name, "account.move.line", lines, "start", "")

    async def pay_by_move(self, invoice: int, amount: str) -> None:
        """A move without an origin, and its line among the payments of the invoice."""
        added = {"payment_lines": [["add", [await self.move(invoice, amount)]]]}
        await self.port._call("model.account.invoice.write", [invoice], added, writes=True)

    async def move(self, invoice: int, amount: str) -> int:
        """A move of the party's money to our cash; its line on the receivable account."""
        fields = ["account", "party"]
        (row,) = await self.port._call("model.account.invoice.read", [invoice], fields)
        cash = await self.one("account.account", CASH)
        worth, nothing = decimal(amount), decimal(0)
        mine = {"account": row["account"], "party": row["party"], "debit": nothing, "credit": worth}
        move = await self.add(
            "account.move",
            journal=await self.one("account.journal", ["type", "=", "cash"]),
            period=await self.one("account.period", ["start_date", "=", FIRST]),
            date=DAY,
            company=await self.port._company(),
            lines=[["create", [mine, {"account": cash, "debit": worth, "credit": nothing}]]],
        )
        await self.port._call("model.account.move.post", [move], writes=True)
        return await self.one(
            "account.move.line", ["move", "=", move], ["account", "=", row["account"]]
        )

    async def add_euro(self) -> None:
        """The euro, worth 1.25 dollars."""
        rate = {"date": FIRST | {"month": 1}, "rate": decimal("0.8")}
        await self.add(
            "currency.currency",
            name="Euro",
            code="EUR",
            symbol="E",
            rounding=decimal("0.01"),
            digits=2,
            rates=[["create", [rate]]],
        )

    async def set_exchange_accounts(self) -> None:
        """Where differences of exchange are booked."""
        account = await self.one("account.account", ["code", "=", ACCOUNT])
        names = ("currency_exchange_debit_account", "currency_exchange_credit_account")
        write, values = "model.account.configuration.write", dict.fromkeys(names, account)
        company = {"company": await self.port._company()}
        await self.port._call(write, [1], values, writes=True, more=company)

    async def left(self, invoice: int) -> Any:
        """Total and what is left to pay, as Tryton has them."""
        fields = ["total_amount", "amount_to_pay", "state"]
        (row,) = await self.port._call("model.account.invoice.read", [invoice], fields)
        return row["total_amount"], row["amount_to_pay"]
