"""The wire: where it goes and where not, how long it waits, how much it reads, what it says."""

import asyncio
import gzip
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from services.arg_sync.ledgers import http_client as wire_module
from services.arg_sync.ledgers.failures import Failure
from services.arg_sync.ledgers.http_client import (
    HttpClient,
    Response,
    exact_json,
    retry_after,
    writing,
)
from services.arg_sync.ledgers.network import is_allowed
from services.arg_sync.ledgers.registry import adapter_specs
from tests.conftest import Configure
from tests.ledgers.fake import Asked, FakeServer, Fault, Reply, Written, playing
from tests.ledgers.suite import at_once

SECRET = "canary-wire-1"


class Page:
    """Answers what it is told; every POST counts as a document."""

    def __init__(self) -> None:
        self.journal: list[Written] = []
        self.reply = Reply.of(200, {"ok": True})
        self.received: list[Asked] = []

    def makes_document(self, asked: Asked) -> bool:
        """Each POST."""
        return asked.method == "POST"

    def handle(self, asked: Asked) -> Reply:
        """As told."""
        self.received.append(asked)
        return self.reply

    def refusal(self, asked: Asked, *, in_200: bool) -> Reply:
        """Quotes the key."""
        return Reply(422, f"no: {asked.headers.get('authorization')}".encode())

    def with_wrong_amount(self, asked: Asked) -> Reply:
        """Never."""
        raise NotImplementedError


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    """A page."""
    async with playing(Page()) as made:
        yield made


def page(server: FakeServer) -> Page:
    """Its page."""
    assert isinstance(server.vendor, Page)
    return server.vendor


def wire_to(url: str, *, seconds: float = 2.0, hosts: tuple[str, ...] = ()) -> HttpClient:
    """A wire."""
    return HttpClient(url, at_once, request_seconds=seconds, allowed_hosts=hosts)


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("http://api.xero.com/x", ("api.xero.com",)),
        ("ftp://api.xero.com/x", ("api.xero.com",)),
        ("https://api.xero.com.evil.example", ("api.xero.com",)),
        ("https://evilapi.xero.com", ("api.xero.com",)),
        ("https://xsuitetalk.api.netsuite.com", (".suitetalk.api.netsuite.com",)),
        ("https://api.xero.com@evil.example/", ("api.xero.com",)),
        ("https://user:word@api.xero.com/", ("api.xero.com",)),
        ("https://api.xero.com/?next=1", ("api.xero.com",)),
        ("https://api.xero.com/#x", ("api.xero.com",)),
        ("https:///x", ("api.xero.com",)),
        ("nonsense", ()),
        ("http://tryton.example", ()),
        ("http://127.0.0.1:9", ()),
        ("http://127.0.0.1:9", ("api.xero.com",)),
        ("http://localhost:9", ()),
        ("https://localhost", ()),
        ("https://books.localhost", ()),
        ("https://127.0.0.1", ()),
        ("https://[::1]:9", ()),
        ("https://10.0.0.5", ()),
        ("https://169.254.169.254", ()),
        ("https://[fd00::1]", ()),
        ("https://books.internal.", ()),
    ],
)
def test_a_base_url_is_of_the_kind_and_https(
    url: str, hosts: tuple[str, ...], configure: Configure
) -> None:
    """Any other host, another scheme, a user, a query, this machine or a private network without
    the setting for tests: the connection cannot be made.
    """
    configure(ledger_test_hosts="")
    with pytest.raises(Failure) as failed:
        wire_to(url, hosts=hosts)
    assert failed.value.failure == "permanent" and failed.value.code == "bad_address"


@pytest.mark.parametrize("kind", ["xero", "quickbooks", "business-central", "netsuite"])
def test_each_vendor_has_a_list_of_hosts(kind: str) -> None:
    """The cloud systems are at their own addresses only, and their default is one of them."""
    ledger = adapter_specs()[kind]
    assert ledger.allowed_hosts
    default = next(each.default for each in ledger.settings if each.name == "base_url")
    if default:
        wire_to(default, hosts=ledger.allowed_hosts)


@pytest.mark.parametrize(
    ("address", "local", "may"),
    [
        ("8.8.8.8", False, True),
        ("127.0.0.1", False, False),
        ("127.0.0.1", True, True),
        ("::1", False, False),
        ("::ffff:127.0.0.1", False, False),
        ("::ffff:10.0.0.1", False, False),
        ("10.0.0.1", False, False),
        ("10.0.0.1", True, True),
        ("192.168.1.9", False, False),
        ("172.16.0.1", False, False),
        ("169.254.169.254", False, False),
        ("fd00::1", False, False),
        ("fe80::1", False, False),
        ("0.0.0.0", True, False),
        ("224.0.0.1", True, False),
        ("100.64.0.1", False, False),
    ],
)
def test_which_addresses_may_be_reached(address: str, local: bool, may: bool) -> None:
    """A name may resolve to public addresses only, unless the setting for tests names the host."""
    assert is_allowed(address, local=local) is may


async def test_a_public_name_of_this_machine_is_not_connected_to(
    server: FakeServer, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that looks public and means the loopback address: no byte is sent."""

    async def here(*asked: object, **more: object) -> list[object]:
        return [(2, 1, 6, "", ("127.0.0.1", server.port))]

    configure(ledger_test_hosts="")
    client = wire_to("https://tryton.example.com")
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", here)
    with pytest.raises(Failure) as failed:
        await client.call("GET", "/", writes=False)
    assert failed.value.code == "forbidden_address" and page(server).received == []
    await client.close()


async def test_a_name_that_means_an_inner_address_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An allowed host whose name points inside (a poisoned name): nothing is connected to."""

    async def inside(*asked: object, **more: object) -> list[object]:
        return [(2, 1, 6, "", ("169.254.169.254", 443))]

    client = wire_to("https://api.xero.com", hosts=("api.xero.com",))
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", inside)
    with pytest.raises(Failure) as failed:
        await client.call("GET", "/", writes=False)
    assert (failed.value.failure, failed.value.code) == ("permanent", "forbidden_address")
    await client.close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(server: FakeServer, status: int) -> None:
    """The answer comes back as it is, and no other host is asked: a token goes to its own host
    only.
    """
    async with playing(Page()) as other:
        page(server).reply = Reply(status, b"", {"location": other.url})
        client = wire_to(server.url)
        answer = await client.call("GET", "/", writes=False, headers={"authorization": SECRET})
        assert answer.status == status and page(other).received == []
        await client.close()


async def test_an_answer_is_not_read_without_end(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than the cap: a read fails; the outcome of a write is unknown."""
    monkeypatch.setattr(wire_module, "RESPONSE_BYTES", 1000)
    page(server).reply = Reply(200, b"x" * 2000)
    client = wire_to(server.url)
    for method, writes, failure in (("GET", False, "permanent"), ("POST", True, "unknown")):
        with pytest.raises(Failure) as failed:
            await client.call(method, "/", writes=writes)
        assert (failed.value.failure, failed.value.code) == (failure, "response_too_large")
    await client.close()


@pytest.mark.parametrize("packed", [True, False])
async def test_the_declared_compression_is_not_trusted(server: FakeServer, packed: bool) -> None:
    """Some compress though we ask for none; Tryton says of large answers that they are
    compressed when they are not: only the bytes tell.
    """
    text = b'{"a": 1}' * 50
    page(server).reply = Reply(
        200, gzip.compress(text) if packed else text, {"content-encoding": "gzip"}
    )
    client = wire_to(server.url)
    assert (await client.call("GET", "/", writes=False)).body == text
    await client.close()


async def test_a_small_answer_does_not_become_a_large_one(server: FakeServer) -> None:
    """The cap is for what is in it."""
    page(server).reply = Reply(200, gzip.compress(b"x" * (wire_module.RESPONSE_BYTES + 1000)))
    client = wire_to(server.url)
    with pytest.raises(Failure) as failed:
        await client.call("GET", "/", writes=False)
    assert failed.value.code == "response_too_large"
    await client.close()


async def test_bytes_that_trickle_do_not_hold_it(server: FakeServer) -> None:
    """The patience is for the whole answer, not for each byte."""
    server.plan(Fault("slow", 0.1))
    page(server).reply = Reply(200, b"x" * 500)
    client = wire_to(server.url, seconds=0.5)
    before = time.monotonic()
    with pytest.raises(Failure) as failed:
        await client.call("POST", "/", writes=True)
    assert failed.value.failure == "unknown" and time.monotonic() - before < 1.5
    await client.close()


async def test_nothing_of_a_write_leaves_after_its_time(server: FakeServer) -> None:
    """A worker that was stopped between its check and its write finds the time over and sends
    nothing; a read may go.
    """
    client = wire_to(server.url)
    with writing(time.monotonic() - 0.01):
        with pytest.raises(Failure) as failed:
            await client.call("POST", "/", writes=True, content="x")
        assert (failed.value.failure, failed.value.code) == ("transient", "late")
        await client.call("GET", "/", writes=False)
    assert [asked.method for asked in page(server).received] == ["GET"]
    await client.close()


async def test_no_proxy_of_the_machine_is_used(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a token goes is not for an environment variable to say."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    client = wire_to(server.url)
    assert (await client.call("GET", "/", writes=False)).status == 200
    await client.close()


def test_a_quotation_does_not_show_half_a_secret() -> None:
    """The end of a quotation may fall into a secret: it is blotted out before the quotation is
    cut.
    """
    body = "x" * 295 + SECRET
    assert "canary" not in Response(400, {}, body.encode(), frozenset({SECRET})).words
    assert "canar" in Response(400, {}, body.encode()).words


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("17", 17.0),
        ("1.5", 1.5),
        ("99999999", 99999999.0),
        ("-5", None),
        ("soon", None),
        ("Wed, 01 Apr 2026 00:01:00 GMT", 60.0),
        ("Wed, 01 Apr 2025 00:00:00 GMT", 0.0),
        ("9" * 400, None),
    ],
)
def test_retry_after_in_seconds_and_as_a_date(header: str | None, seconds: float | None) -> None:
    """Both forms; nonsense is none."""
    assert retry_after(header, datetime(2026, 4, 1, tzinfo=UTC)) == seconds


def test_characters_that_no_database_stores_are_removed() -> None:
    """NUL and half a character, spelt out or in another encoding: a sign takes their place; a
    whole character stays.
    """
    said = b'{"nul": ["a\\u0000b"], "half": "\\ud83d", "whole": "\\ud83d\\ude00"}'
    for body in (said, said.decode().encode("utf-16")):
        assert Response(200, {}, body).json(writes=False) == {
            "nul": ["a\ufffdb"],
            "half": "\ufffd",
            "whole": "\U0001f600",
        }
    assert "\0" not in Response(503, {}, "<p>Out of order</p>".encode("utf-16")).words


def test_json_is_exact() -> None:
    """No digit is lost on the way out or in."""
    text = exact_json({"a": Decimal("1234567890123456.7890"), "c": Decimal("1E+3")})
    assert '"a":1234567890123456.7890' in text and '"c":1000' in text
    assert Response(200, {}, b'{"a": 0.1000}').json(writes=False)["a"] == Decimal("0.1000")
