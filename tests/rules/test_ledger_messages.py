"""What an operator reads of a ledger's answer: a plain message, with the original kept beside it;
no secret, and no asterisks in words that only look like one.
"""

import ast
import json

import pytest

from services.arg_sync.ledgers.failures import Failure
from services.arg_sync.ledgers.http_client import HttpClient, Response, failure_of, without
from services.arg_sync.ledgers.tryton_rpc import TrytonRpc
from tests.ledgers.suite import OpenVault, at_once
from tests.running import ROOT

PAGE = (
    b"<!doctype html>\n<html lang=en>\n<head><style>p {color: red}</style>"
    b"<title>502 Bad &amp; Gone</title></head>\n"
    b"<body><h1>Bad Gateway</h1><p>nginx/1.25 cf-ray 8f1</p></body></html>"
)


def test_a_page_becomes_its_heading_and_is_kept_whole() -> None:
    """A proxy's page tells an operator nothing but its heading."""
    failed = failure_of(Response(502, {}, PAGE), writes=False)
    assert failed is not None
    assert failed.message == "HTTP 502: 502 Bad & Gone"
    assert failed.raw == PAGE.decode()


def test_a_page_without_a_heading_is_its_text() -> None:
    """What is not markup, without scripts and styles."""
    body = b"<p>Come back <b>later</b></p><script>var a = 1</script>"
    failed = failure_of(Response(500, {}, body), writes=False)
    assert failed is not None and failed.message == "HTTP 500: Come back later"


def test_a_refused_login_is_not_called_a_key() -> None:
    """It may be a password, a token or a key."""
    failed = failure_of(Response(401, {}, b'{"error": "no"}'), writes=False)
    assert failed is not None and "key" not in failed.message


@pytest.mark.parametrize(
    ("secret", "text", "shown"),
    [
        ("pass", "the password is wrong", "the password is wrong"),
        ("admin", "the administrator admin", "the administrator admin"),
        ("invoice", "the invoice is closed", "the invoice is closed"),
        ("invoice", 'bad password "invoice"', 'bad password "***"'),
        ("invoice", "password=invoice&x=1", "password=***&x=1"),
        ("canary-77", "wrong: canary-77.", "wrong: ***."),
        ("a1b2c3", "xa1b2c3x a1b2c3", "xa1b2c3x ***"),
        ("longsecretwords", "is longsecretwords bad", "is *** bad"),
        ("+/=x9+/", "token +/=x9+/ there", "token *** there"),
    ],
)
def test_a_secret_is_hidden_and_a_word_is_not(secret: str, text: str, shown: str) -> None:
    """Asterisks in an innocent word would hide what is wrong, and tell the secret."""
    assert without({secret}, text) == shown


def rpc() -> TrytonRpc:
    """A client that makes no call."""
    client = HttpClient("https://tryton.example.com", at_once, request_seconds=1.0)
    return TrytonRpc(client, OpenVault({}), "db", "clerk")


def answer(error: object) -> Failure:
    """The failure that Tryton's error becomes."""
    response = Response(200, {}, json.dumps({"id": 1, "error": error}).encode())
    with pytest.raises(Failure) as failed:
        rpc()._result(response, writes=True)
    return failed.value


def test_a_domain_of_tryton_is_not_shown() -> None:
    """Message and description are for people; the domain is for programs, and kept."""
    domain = [[["type.receivable", "=", True]], {"type": {"string": "Type"}}]
    text = 'The value for field "Account" in "Invoice" is not valid according to its domain.'
    failed = answer(["UserError", [text, "", domain]])
    assert failed.message == f"Tryton: {text}" and "type.receivable" in failed.raw
    failed = answer(["UserError", [f'{text} [["type", "=", "x"]]', "See its type."]])
    assert failed.message == f"Tryton: {text} See its type."


def test_a_trace_of_tryton_is_not_shown() -> None:
    """An error of Tryton's own code comes with its trace."""
    trace = 'Traceback (most recent call last):\n  File "x.py", line 1\nKeyError: 7'
    failed = answer(["KeyError(7)", trace])
    assert "Traceback" not in failed.message and "--raw" in failed.message
    assert "line 1" in failed.raw
    conflict = answer(["ConcurrencyException", "Record 3 was changed"])
    assert conflict.message == "Tryton: ConcurrencyException Record 3 was changed"


def test_no_fix_begins_with_the_word_that_introduces_it() -> None:
    """The console writes `to fix it:` before each fix."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for folder in ("services", "shared")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.startswith("fix ")
    ]
    assert not found, found
