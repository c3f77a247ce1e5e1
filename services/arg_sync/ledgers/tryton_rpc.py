"""Tryton's JSON-RPC: login, calls, its formats of numbers and dates, and its errors."""

import asyncio
import base64
import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from services.arg_sync.ledgers.adapter import SecretStore
from services.arg_sync.ledgers.failures import TOO_MANY, Failure, unreadable
from services.arg_sync.ledgers.http_client import HttpClient, Response, exact_json, failure_of
from services.arg_sync.ledgers.lookups import required_values
from shared.json_text import finite_decimal

DOMAIN = re.compile(r"\s*\[\s*[\[\"'].*\]\s*$", re.DOTALL)
"""A domain at the end of a message: a list of lists or of an operator."""


class TrytonRpc:
    """Calls to one database as one user."""

    def __init__(
        self, http_client: HttpClient, secret_store: SecretStore, database: str, user: str
    ) -> None:
        self.context: dict[str, Any] = {}
        self._http_client = http_client
        self._secret_store = secret_store
        self._database = database
        self._user = user
        self._login = asyncio.Lock()
        self._session = ""

    async def log_in_again(self) -> None:
        """Start a new session."""
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
        """Return rows of a model."""
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
        """Return the session; log in if there is none."""
        async with self._login:
            if not self._session:
                secrets = await self._secret_store.read()
                password = secrets.values.get("password", "")
                self._http_client.hide = {password}
                async with self._secret_store.login(secrets.version):
                    user_id, token = await self._log_in(password)
                self._session = base64.b64encode(
                    f"{self._user}:{user_id}:{token}".encode()
                ).decode()
                self._http_client.hide = {password, token, self._session}
            return self._session

    async def _log_in(self, password: str) -> tuple[Any, Any]:
        """Return user id and token; what Tryton sends with a refusal is a page for browsers."""
        params = [self._user, {"password": password}]
        try:
            answer = await self._rpc("common.db.login", params, {}, writes=False, has_secrets=True)
        except Failure as failed:
            if failed.failure != "auth" and failed.code != TOO_MANY:
                raise
            what = (
                f"refuses the password of user {self._user} for database {self._database},"
                " or has no such user"
                if failed.failure == "auth"
                else f"admits no login of user {self._user} now: too many failed before (HTTP 429)"
            )
            raise Failure(
                failed.failure,
                failed.code,
                f"Tryton {what}",
                retry_after=failed.retry_after,
                everywhere=True,
            ) from failed
        with required_values("the session of Tryton"):
            user_id, token, *_ = answer
        return user_id, token

    async def call(
        self, method: str, *params: Any, writes: bool = False, more: Mapping[str, Any] | None = None
    ) -> Any:
        """Call a method with the context of our user."""
        session = await self.logged_in()
        return await self._rpc(
            method,
            [*params, {**self.context, **(more or {})}],
            {"authorization": f"Session {session}"},
            writes=writes,
        )

    async def _rpc(
        self,
        method: str,
        params: list[Any],
        headers: dict[str, str],
        *,
        writes: bool,
        has_secrets: bool = False,
    ) -> Any:
        content = exact_json({"id": 1, "method": method, "params": params})
        answer = await self._http_client.call(
            "POST",
            f"/{self._database}/rpc/",
            writes=writes,
            content=content.encode(),
            headers=headers | {"content-type": "application/json"},
            has_secrets=has_secrets,
        )
        return self._result(answer, writes=writes)

    def _result(self, answer: Response, *, writes: bool) -> Any:
        words = self._http_client.clean(answer.words)
        if answer.status == 503 and "lock" in words:
            # The transaction was rolled back.
            raise Failure("transient", "locked", f"Tryton could not get a lock: {words}")
        failed = failure_of(answer, writes=writes, words=words)
        if failed is not None:
            raise failed
        with required_values("the response of Tryton", writes=writes):
            body = _read(answer.json(writes=writes))
        if not isinstance(body, dict) or ("result" not in body and "error" not in body):
            raise unreadable(f"the response is not Tryton's: {words}", writes=writes)
        if body.get("error") is not None:
            raise self._refusal(body["error"], answer.raw)
        return body["result"]

    def _refusal(self, error: Any, raw: str) -> Exception:
        """Return the failure of an error, which comes with status 200 after a rollback.

        A user's error has a message, a description and a domain, which says nothing to a person;
        any other has the trace of Tryton's own code.
        """
        kind, details = (
            (error[0], error[1]) if isinstance(error, list) and len(error) > 1 else (str(error), "")
        )
        if isinstance(details, str) and "Traceback" not in details:
            details = [f"{kind} {details}"]
        if not isinstance(details, list):
            return Failure(
                "permanent",
                "tryton_error",
                f"Tryton itself failed ({self._http_client.clean(str(kind))});"
                " see its log, or the whole answer with `backoffice deliveries show --raw`",
                raw=raw,
            )
        texts = [DOMAIN.sub("", part).strip() for part in details if isinstance(part, str)]
        if kind == "UserWarning" and texts:
            words = self._http_client.clean(" ".join(filter(None, texts[1:3])))
            return TrytonWarning(texts[0], words, raw)
        message = self._http_client.clean(" ".join(filter(None, texts[:2])))
        code = "user_error" if kind == "UserError" else "tryton_error"
        return Failure("permanent", code, f"Tryton: {message}", raw=raw)


class TrytonWarning(Failure):
    """A warning that Tryton wants confirmed. `kind` is its name without the record."""

    def __init__(self, name: str, message: str, raw: str) -> None:
        self.kind = name.partition(".")[2] or name
        self.name = name
        super().__init__("permanent", self.kind, f"Tryton warns: {message}", raw=raw)


def _read(value: Any) -> Any:
    """Convert Tryton's decimals and dates to Python's."""
    if isinstance(value, list):
        return [_read(one) for one in value]
    if not isinstance(value, dict):
        return value
    if value.get("__class__") == "Decimal":
        return finite_decimal(value["decimal"])
    if value.get("__class__") == "date":
        return date(value["year"], value["month"], value["day"])
    if value.get("__class__") == "datetime":
        template = (
            "{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}"
            ".{microsecond:06d}Z"
        )
        return template.format(**value)
    return {name: _read(one) for name, one in value.items()}
