"""Answers of accounting systems that fuzzing found to break a reader: each by itself."""

from datetime import datetime
from typing import Any

import pytest

from services.arg_sync.ledgers.failures import Failure
from services.arg_sync.ledgers.http_client import Response
from services.arg_sync.ledgers.lookups import amount_in, reads_values
from services.arg_sync.ledgers.oauth import MAX_TOKEN_SECONDS, _expires
from services.arg_sync.ledgers.tryton_rpc import _read
from shared import clock
from shared.json_text import JSON_DEPTH
from tests.fuzz.answers import KINDS, TrytonPlayed, scenario
from tests.fuzz.hostile import Picks
from tests.ledgers.fake import Asked, Reply
from tests.ledgers.test_xero import stage  # noqa: F401  (a fixture)
from tests.ledgers.vendors.login import SECRETS

CUT_TOKENS = b'{"access_token": "canary-access-9", "refresh_token": "canary-refresh-9'


class OneAnswer(TrytonPlayed):
    """Tryton, with another answer to one method."""

    def __init__(self, method: str, body: bytes) -> None:
        self._method, self._body = method, body

    def handle(self, asked: Asked) -> Reply:
        """Answer it."""
        if asked.json()["method"].endswith(self._method):
            return Reply(200, self._body)
        return super().handle(asked)


async def tryton_failure(method: str, body: bytes) -> Failure:
    """The failure of a delivery to Tryton that answers one method so."""
    (kind,) = (one for one in KINDS if one[0].name == "tryton")
    failed = await scenario(kind, OneAnswer(method, body), Picks(b""), 3)
    assert failed is not None
    return failed


def answered(body: str) -> Response:
    """A response of 200."""
    return Response(200, {}, body.encode())


@pytest.mark.parametrize(
    "body",
    [
        '{"Total": 1e999999999999999999999}',
        '{"Total": 1e999999}',
        '{"Total": NaN}',
        '{"Total": -Infinity}',
        '{"Total": ' + "9" * 5_000 + "}",
        "[" * (JSON_DEPTH + 1) + "]" * (JSON_DEPTH + 1),
        "[" * 100_000 + "]" * 100_000,
    ],
    ids=lambda body: body[:40],
)
@pytest.mark.parametrize("writes", [True, False])
def test_json_that_is_no_number_or_too_deep_is_unreadable(body: str, writes: bool) -> None:
    """It is a failure of its class, not another error; depth and exponents are bounded."""
    with pytest.raises(Failure) as failed:
        answered(body).json(writes=writes)
    assert (failed.value.failure, failed.value.code) == (
        "unknown" if writes else "transient",
        "unreadable",
    )


def test_json_of_the_stated_depth_is_read() -> None:
    """The limit itself is allowed."""
    assert answered("[" * JSON_DEPTH + "]" * JSON_DEPTH).json(writes=False) is not None


@pytest.mark.parametrize(
    "amount", ["NaN", "sNaN", "Infinity", "1e999999", 10**16, "1e16", "1E-99999999", True, []]
)
def test_an_amount_is_a_finite_number_of_bounded_length(amount: Any) -> None:
    """A payment of NaN is never booked, nor one of more digits than the tables hold: storing it
    failed in every poll.
    """
    with pytest.raises(ValueError, match=r"number|digits"):
        amount_in(amount)


@pytest.mark.parametrize("value", ["sNaN", "1e999999", None, {"x": 1}])
def test_a_decimal_of_tryton_is_one(value: Any) -> None:
    """Its decimals are texts inside an object."""
    with pytest.raises((ValueError, TypeError)):
        _read({"__class__": "Decimal", "decimal": value})


@pytest.mark.parametrize(
    "seconds", [10**12, "1e999999", "\u00b2", -5, None, [], MAX_TOKEN_SECONDS + 1]
)
def test_a_life_of_a_token_that_is_nonsense_counts_as_an_hour(seconds: Any) -> None:
    """It was an overflow of dates, which failed every call of the connection for good."""
    expires = _expires({"expires_in": seconds})
    assert 3_500 < (datetime.fromisoformat(expires) - clock.now()).total_seconds() < 3_700


@pytest.mark.parametrize("status", [200, 201, 400, 500])
async def test_an_answer_with_tokens_is_never_quoted(status: int, stage: Any) -> None:  # noqa: F811
    """The token endpoint's answer is cut off, or has another status: no part of it is shown.

    Messages are stored, shown and published, and these tokens are so new that nothing hides them.
    """
    stage.server.vendor.login.answer = lambda asked: Reply(status, CUT_TOKENS)
    with pytest.raises(Failure) as failed:
        await stage.port.check()
    assert not any(secret in str(failed.value) for secret in SECRETS)


@pytest.mark.parametrize("token", ["\ufffd", "a\r\nx-injected: 1", "", "x" * 20_000, 5, None])
async def test_a_token_that_no_header_can_hold_is_no_token(token: Any, stage: Any) -> None:  # noqa: F811
    """It was an error of our own at every call, and refused documents for good."""
    stage.server.vendor.login.answer = lambda asked: Reply.of(200, {"access_token": token})
    with pytest.raises(Failure) as failed:
        await stage.port.check()
    assert (failed.value.failure, failed.value.code) == ("transient", "unreadable")


async def test_a_setting_that_no_header_can_hold_is_a_failure() -> None:
    """The tenant of Xero goes into a header."""
    spec, vendor, given, codes = KINDS[0]
    kind = (spec, vendor, {**given, "tenant_id": "\u00e9\n"}, codes)
    failed = await scenario(kind, vendor(), Picks(b""), 3)
    assert failed is not None and failed.code == "bad_header" and "xero-tenant-id" in failed.message


async def test_the_session_of_tryton_is_never_quoted() -> None:
    """The same of a login that is answered with another form."""
    failed = await tryton_failure("common.db.login", b'["canary-session"]')
    assert failed.code == "unreadable" and "canary" not in failed.message


async def test_a_write_whose_answer_lacks_a_value_has_an_unknown_outcome() -> None:
    """Tryton creates an invoice and answers without its id: it is looked up, not sent again.

    It was `refused`, and the retry of an operator made a second invoice.
    """
    failed = await tryton_failure("invoice.create", b'{"result": []}')
    assert (failed.failure, failed.code) == ("unknown", "unreadable")


@pytest.mark.parametrize("method", ["party.search_read", "party.create"])
async def test_an_id_of_tryton_is_a_number(method: str) -> None:
    """A customer without one was taken, and the rendering of every invoice failed later."""
    body = b'{"result": [{"id": null, "active": true, "code": "C", "name": "Mercy Hospital"}]}'
    failed = await tryton_failure(method, body)
    assert failed.code == "unreadable"


async def test_a_read_that_lacks_a_value_is_transient() -> None:
    """Nothing was written, so it is tried again."""

    @reads_values
    async def read() -> None:
        raise KeyError("party")

    with pytest.raises(Failure) as failed:
        await read()
    assert failed.value.failure == "transient"
