"""The settings of Kafka's security: what they make of a client, and what they refuse."""

import dataclasses
import json
import threading
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs

import pytest
from aiokafka.errors import KafkaError

from shared.broker.acls import (
    ADMIN,
    ATS_PUBLISHER,
    CONSOLE,
    LAG_EXPORTER,
    PRINCIPALS,
    Acl,
    Kind,
    Operation,
    declared,
    principal,
)
from shared.broker.security import SETTINGS_OF_KAFKA, KafkaAccess, access_from, kafka_access
from shared.broker.tokens import token_provider
from shared.broker.topics import ATS, CONSUMED, OPERATOR_COMMANDS, PUBLISHED, all_topics
from shared.errors import Refused
from shared.settings import Settings
from tests.conftest import Configure

SASL = {"kafka_security_protocol": "SASL_SSL", "kafka_user": "invoicer", "kafka_password": "p"}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"kafka_security_protocol": "TLS"}, "SECURITY_PROTOCOL is 'TLS'"),
    (SASL | {"kafka_sasl_mechanism": "SCRAM"}, "SASL_MECHANISM is 'SCRAM'"),
    (SASL | {"kafka_user": ""}, "KAFKA_USER is empty, but .*PROTOCOL=SASL_SSL"),
    (SASL | {"kafka_password": ""}, "KAFKA_PASSWORD_FILE is empty, but .*PROTOCOL=SASL_SSL"),
    (SASL | {"kafka_password_file": "/p"}, "KAFKA_PASSWORD and .*_PASSWORD_FILE are both set"),
    ({"kafka_user": "invoicer"}, "KAFKA_USER would be ignored: .* is PLAINTEXT"),
    ({"kafka_ca_file": "/ca.pem"}, "KAFKA_CA_FILE would be ignored"),
    (
        SASL | {"kafka_security_protocol": "SASL_PLAINTEXT", "kafka_certificate_file": "/c"},
        "KAFKA_CERTIFICATE_FILE would be ignored: .* is SASL_PLAINTEXT",
    ),
    (SASL | {"kafka_key_file": "/k"}, "KAFKA_CERTIFICATE_FILE is empty, but .*_KEY_FILE is set"),
    (SASL | {"kafka_token_url": "https://idp"}, "TOKEN_URL is set, but .* is SCRAM-SHA-512"),
    (
        SASL | {"kafka_sasl_mechanism": "OAUTHBEARER", "kafka_token_url": "http://idp.example/t"},
        "KAFKA_TOKEN_URL is .* would be readable",
    ),
    (
        SASL | {"kafka_sasl_mechanism": "OAUTHBEARER", "kafka_password": ""},
        "KAFKA_PASSWORD_FILE is empty, but .*=OAUTHBEARER",
    ),
    (
        SASL
        | {
            "kafka_sasl_mechanism": "OAUTHBEARER",
            "kafka_token_url": "https://idp/t",
            "kafka_user": "",
        },
        "KAFKA_USER is empty, but .*TOKEN_URL is set",
    ),
]


@pytest.mark.parametrize(("values", "message"), REFUSED)
def test_settings_that_contradict_each_other_are_refused(
    configure: Configure, values: dict[str, str], message: str
) -> None:
    """The message names the variable, and the fix says what to do."""
    configure(**values)
    with pytest.raises(Refused, match=message) as refused:
        kafka_access()
    assert refused.value.fix


@pytest.mark.parametrize("name", ["kafka_password_file", "kafka_ca_file", "kafka_certificate_file"])
@pytest.mark.parametrize("content", [None, ""])
def test_a_file_that_cannot_be_used_is_named(
    configure: Configure, tmp_path: Path, name: str, content: str | None
) -> None:
    """A missing or empty file of a password, an authority or a certificate."""
    file = tmp_path / "file"
    if content is not None:
        file.write_text(content)
    given = SASL | {name: str(file)}
    if name == "kafka_password_file":
        del given["kafka_password"]
    configure(**given)
    with pytest.raises(Refused, match=f"BACKOFFICE_{name.upper()}.*{file}"):
        kafka_access().client_options()


def test_the_password_comes_from_its_file_and_is_shown_nowhere(
    configure: Configure, tmp_path: Path
) -> None:
    """Neither the settings nor the access show a password as text."""
    (tmp_path / "p").write_text("secret-1\n")
    configure(
        kafka="kafka:9092",
        kafka_security_protocol="SASL_PLAINTEXT",
        kafka_user="invoicer",
        kafka_password_file=tmp_path / "p",
    )
    options = kafka_access().client_options()
    assert options == {
        "bootstrap_servers": "kafka:9092",
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "invoicer",
        "sasl_plain_password": "secret-1",
    }
    assert str(kafka_access()) == "kafka:9092"
    for shown in (
        KafkaAccess(bootstrap="", password="secret-2"),
        Settings(kafka_password="secret-2"),
    ):
        assert "secret-2" not in repr(shown)


def test_the_variables_of_an_access_give_the_same_access(tmp_path: Path) -> None:
    """A worker that gets them reaches Kafka as the stack meant."""
    access = KafkaAccess(
        bootstrap="b:1",
        protocol="SASL_SSL",
        mechanism="PLAIN",
        user="u",
        password_file=tmp_path / "p",
        ca_file=tmp_path / "ca",
    )
    assert access_from(access.environment()) == access
    assert {name.lower() for name in KafkaAccess(bootstrap="b").environment()} <= {
        f"backoffice_{name}" for name in SETTINGS_OF_KAFKA
    }
    assert len(SETTINGS_OF_KAFKA) == len(dataclasses.fields(KafkaAccess))


# -- the declared ACLs


def allowed(service: str, operation: Operation, kind: Kind = Kind.TOPIC) -> set[str]:
    """The names for which a service has an operation."""
    return {
        one.name
        for one in declared()
        if (one.service, one.operation, one.kind) == (service, operation, kind)
    }


def test_a_service_reads_what_it_consumes_and_writes_what_it_publishes() -> None:
    """And the dead letters of its own, nothing else."""
    for service, consumed in CONSUMED.items():
        read = {topic.name for topic in consumed}
        written = {topic.name for topic in PUBLISHED[service]}
        dead = {f"{topic}.{service}.dead-letter" for topic in read}
        assert allowed(service, Operation.READ) == read
        assert allowed(service, Operation.WRITE) == written | dead
        assert allowed(service, Operation.READ, Kind.GROUP) == {f"{service}."}


def test_only_the_console_writes_commands() -> None:
    """A service that was taken over, or an ATS, commands no one."""
    writers = {
        one.service
        for one in declared()
        if one.operation is Operation.WRITE and one.name == OPERATOR_COMMANDS.name
    }
    assert writers == {CONSOLE}


def test_an_ats_writes_its_topics_and_reads_nothing() -> None:
    """Bank details are in commands, and what operators do is in their results."""
    assert allowed(ATS_PUBLISHER, Operation.WRITE) == {topic.name for topic in ATS}
    assert not allowed(ATS_PUBLISHER, Operation.READ)
    assert not allowed(LAG_EXPORTER, Operation.WRITE)
    assert not allowed(ADMIN, Operation.READ) | allowed(ADMIN, Operation.WRITE)


def test_every_acl_names_a_topic_that_exists() -> None:
    """A misspelt name would deny in production what the declaration seems to allow."""
    known = {topic.name for topic in all_topics()}
    assert {one.name for one in declared() if one.kind is Kind.TOPIC} <= known
    assert {one.service for one in declared()} == set(PRINCIPALS)


def test_principals_and_names_follow_the_settings(configure: Configure) -> None:
    """Certificates and managed brokers have names of their own; a prefix is part of a name."""
    acl = Acl("invoicer", Kind.TOPIC, "invoice-closed", Operation.WRITE)
    assert (principal("invoicer"), acl.full_name) == ("User:invoicer", "invoice-closed")
    configure(kafka_principal="CN={service},O=Agency", topic_prefix="eu.")
    assert (principal("invoicer"), acl.full_name) == (
        "User:CN=invoicer,O=Agency",
        "eu.invoice-closed",
    )


# -- tokens


class TokenEndpoint(BaseHTTPRequestHandler):
    """Gives a token to the right client, and counts."""

    given: ClassVar[list[dict[str, list[str]]]] = []
    lasts: ClassVar[int] = 3600

    def do_POST(self) -> None:
        """Answer."""
        form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
        right = b64encode(b"client:secret").decode() in self.headers["authorization"]
        self.given.append(form)
        body = {"access_token": f"token-{len(self.given)}", "expires_in": self.lasts}
        self.send_response(200 if right else 401)
        self.end_headers()
        self.wfile.write(json.dumps(body if right else {"error": "invalid_client"}).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@pytest.fixture
def token_url() -> Iterator[str]:
    """Address of a token endpoint."""
    TokenEndpoint.given, TokenEndpoint.lasts = [], 3600
    with HTTPServer(("127.0.0.1", 0), TokenEndpoint) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/token"
        server.shutdown()
        thread.join()


async def test_a_token_is_fetched_for_client_and_scope_and_kept_while_it_lasts(
    token_url: str,
) -> None:
    """Each connection asks the provider; the endpoint is asked again when little time is left."""
    tokens = token_provider(token_url, "kafka", "client", lambda: "secret")
    assert [await tokens.token(), await tokens.token()] == ["token-1", "token-1"]
    assert TokenEndpoint.given == [{"grant_type": ["client_credentials"], "scope": ["kafka"]}]
    TokenEndpoint.lasts = 30
    tokens = token_provider(token_url, "", "client", lambda: "secret")
    assert [await tokens.token(), await tokens.token()] == ["token-2", "token-3"]
    with pytest.raises(KafkaError, match=r"BACKOFFICE_KAFKA_TOKEN_URL .* gave no token"):
        await token_provider(token_url, "", "client", lambda: "wrong").token()


async def test_a_token_in_a_file_is_read_for_each_connection(tmp_path: Path) -> None:
    """Another program renews it."""
    access = KafkaAccess(bootstrap="b", password_file=tmp_path / "token")
    for text in ("one", "two"):
        (tmp_path / "token").write_text(text)
        assert await access.tokens.token() == text
