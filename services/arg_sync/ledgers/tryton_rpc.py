"""Tryton's JSON-RPC: login, calls, its own forms of numbers and dates, and what its answers mean."""

import asyncio
import base64
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from services.arg_sync.ledgers.http_client import Answer, Wire, exact_json, failure_of
from services.arg_sync.ledgers.port import Failure, Vault


class TrytonRpc:
    """Calls to one database in the name of one user."""

    def __init__(self, wire: Wire, vault: Vault, database: str, user: str) -> None:
        self.context: dict[str, Any] = {}
        self._wire = wire
        self._vault = vault
        self._database = database
        self._user = user
        self._login = asyncio.Lock()
        self._session = ""

    async def log_in_again(self) -> None:
        """A new session."""
        self._session = ""
        await self.logged_in()

    async def search(
        self,
        model: str,
        domain: list[Any],
        fields: list[str],
        *,
        order: Any = None,
        active_test: bool = True,
    ) -> list[dict[str, Any]]:
        """Rows of a model."""
        rows: list[dict[str, Any]] = await self.call(
            f"{model}.search_read",
            domain,
            0,
            None,
            order,
            fields,
            more={"active_test": active_test},
        )
        return rows

    async def logged_in(self) -> str:
        """The session; logs in if there is none."""
        async with self._login:
            if not self._session:
                password = (await self._vault.read()).values.get("password", "")
                self._wire.hide = {password}
                user_id, token, *_ = await self._rpc(
                    "common.db.login", [self._user, {"password": password}], {}, writes=False
                )
                self._session = base64.b64encode(
                    f"{self._user}:{user_id}:{token}".encode()
                ).decode()
                self._wire.hide = {password, token, self._session}
            return self._session

    async def call(
        self, method: str, *params: Any, writes: bool = False, more: Mapping[str, Any] | None = None
    ) -> Any:
        """Calls a method with the context of our user."""
        session = await self.logged_in()
        return await self._rpc(
            method,
            [*params, {**self.context, **(more or {})}],
            {"authorization": f"Session {session}"},
            writes=writes,
        )

    async def _rpc(
        self, method: str, params: list[Any], headers: dict[str, str], *, writes: bool
    ) -> Any:
        content = exact_json({"id": 1, "method": method, "params": params})
        answer = await self._wire.call(
            "POST",
            f"/{self._database}/rpc/",
            writes=writes,
            content=content.encode(),
            headers=headers | {"content-type": "application/json"},
        )
        return self._result(answer, writes=writes)

    def _result(self, answer: Answer, *, writes: bool) -> Any:
        words = self._wire.clean(answer.words)
        if answer.status == 503 and "lock" in words:
            raise Failure(
                "transient", "locked", f"Tryton could not get a lock: {words}"
            )  # the transaction was rolled back
        failed = failure_of(answer, writes=writes, words=words)
        if failed is not None:
            raise failed
        body = _read(answer.json(writes=writes))
        if not isinstance(body, dict) or ("result" not in body and "error" not in body):
            raise Failure(
                "unknown" if writes else "transient",
                "unreadable",
                f"the answer is not Tryton's: {words}",
            )
        if body.get("error") is not None:
            raise self._refusal(body["error"])
        return body["result"]

    def _refusal(self, error: Any) -> Exception:
        """Tryton's errors come with status 200; its transaction was rolled back."""
        kind, said = (
            (error[0], error[1]) if isinstance(error, list) and len(error) > 1 else (str(error), "")
        )
        message = self._wire.clean(
            " ".join(str(part) for part in said if part)
            if isinstance(said, list)
            else f"{kind} {said}".strip()
        )
        if kind == "UserWarning" and isinstance(said, list) and said:
            return Warned(
                str(said[0]), self._wire.clean(" ".join(str(part) for part in said[1:] if part))
            )
        return Failure(
            "permanent",
            "user_error" if kind == "UserError" else "tryton_error",
            f"Tryton says: {message}",
        )


class Warned(Failure):
    """Tryton asks whether we are sure. `kind` is the part of the warning's name that does not name a record."""

    def __init__(self, name: str, message: str) -> None:
        self.kind = name.partition(".")[2] or name
        self.name = name
        super().__init__("permanent", self.kind, f"Tryton warns: {message}")


def _read(value: Any) -> Any:
    """Tryton's decimals and dates as ours."""
    if isinstance(value, list):
        return [_read(one) for one in value]
    if not isinstance(value, dict):
        return value
    if value.get("__class__") == "Decimal":
        return Decimal(value["decimal"])
    if value.get("__class__") == "date":
        return date(value["year"], value["month"], value["day"])
    if value.get("__class__") == "datetime":
        return "{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}.{microsecond:06d}Z".format(
            **value
        )
    return {name: _read(one) for name, one in value.items()}
