"""Kafka with TLS, users and ACLs: the whole flow works, and no one can do another's work.

The broker of these tests is the embedded one with certificates of an authority that the test made.
Denials are shown by attempts: a request with the credentials of each service on each topic, group
and administrative operation, beside the same request where it is allowed.
"""

import asyncio
import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError
from aiokafka.protocol.admin import (
    AlterConfigsRequest,
    CreateAclsRequest,
    CreateTopicsRequest,
    DeleteTopicsRequest,
)
from aiokafka.protocol.commit import OffsetCommitRequest, OffsetFetchRequest
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from services.arg_sync.ledgers.xero import LEDGER as XERO
from shared.broker.acls import (
    ADMIN,
    ATS_PUBLISHER,
    CONSOLE,
    PRINCIPALS,
    SERVICES,
    Acl,
    Kind,
    Operation,
    apply_acls,
    declared,
)
from shared.broker.security import KafkaAccess
from shared.broker.topics import (
    AR_DOCUMENT_POSTED,
    CONSUMED,
    OPERATOR_COMMANDS,
    TIMESHEET_APPROVED,
    all_topics,
    create_topics,
    full_name,
    group_name,
)
from shared.settings import PREFIX
from shared.stack.kafka import KafkaServer
from tests import builders
from tests.conftest import Configure, EngineOf, UnitOfWorkFor
from tests.ledgers.delivering import Delivering, with_private_key
from tests.ledgers.fake import playing
from tests.ledgers.vendors import xero
from tests.ledgers.vendors.login import CLIENT_ID, CLIENT_SECRET, REFRESH
from tests.running import ROOT, event, publish, records_of, running, until
from tests.system.tls_kafka import TlsKafka

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
TODAY = "2026-03-31"
BACKOFFICE = Path(sys.executable).with_name("backoffice")
DENIED = {"TOPIC": 29, "GROUP": 30, "CLUSTER": 31, "TRANSACTIONAL_ID": 53}
"""Kafka's error codes."""
LOG_APPEND_TIME = 1
NOT_YET = (3, 5, 6)
"""Kafka's error codes while a topic is being made: unknown, without leader, another leader."""
PEOPLE = tuple(one for one in PRINCIPALS if one != ADMIN)
"""`admin` may do everything on the embedded broker."""


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """A broker with TLS instead of that of the session; the other fixtures take it."""
    server = TlsKafka(tmp_path_factory.mktemp("tls"), print)
    server.start()
    yield server
    server.stop()


# -- what works


async def test_the_whole_flow_works_with_tls_users_and_acls(
    stack: dict[str, str],
    kafka: TlsKafka,
    engine_of: EngineOf,
    unit_of_work_for: UnitOfWorkFor,
    configure: Configure,
    tmp_path: Path,
) -> None:
    """From a timesheet that the ATS publishes to the result of its document in the ledger.

    Each process has the user of its service, which may do what the ACLs declare and no more.
    """
    with_private_key(configure, Path(stack["BACKOFFICE_DATA"]))
    delivering = Delivering(engine_of, unit_of_work_for)
    async with playing(xero.XeroVendor()) as server:
        urls = {"token_url": server.url + "/token", "client_id": CLIENT_ID}
        await delivering.connect(XERO, server.url + xero.BASE, tenant_id=xero.TENANT, **urls)
        await delivering.seal({"client_secret": CLIENT_SECRET, "refresh_token": REFRESH})
        await delivering.map(account="200", tax="OUTPUT")
        async with running(stack, tmp_path, *SERVICES, "lag_exporter", today=TODAY):
            company = builders.command("set-billing-company", billing_company=builders.COMPANY)
            (tmp_path / "company.jsonl").write_text(company.model_dump_json() + "\n")
            await console(stack, "publish", OPERATOR_COMMANDS.name, "company.jsonl", at=tmp_path)
            use(configure, kafka, ATS_PUBLISHER)
            await publish(
                [
                    event("billto-changed", builders.OFFICE, builders.node()),
                    event("requirement-changed", builders.REQUIREMENT, builders.requirement()),
                    event(TIMESHEET_APPROVED.name, "T-1", builders.timesheet()),
                ]
            )
            use(configure, kafka, ADMIN)
            await console(stack, "lag", "--wait", "--timeout", "60")
            await until("the line is open", partial(_open_lines, delivering))
            generate = ["batch", "generate", "--billing-company", builders.COMPANY]
            await console(stack, *generate, "--cut-off", TODAY)
            (posted,) = await until(
                "the document is posted", lambda: records_of(AR_DOCUMENT_POSTED.name), 90
            )
            assert json.loads(posted.value)["ledger"] == "gl-us"
            assert json.loads(await console(stack, "verify", "--json"))["faults"] == []
    check_logs(tmp_path, [kafka.access(user).secret() for user in PRINCIPALS])


async def _open_lines(delivering: Delivering) -> list[Any]:
    return await delivering.rows("SELECT 1 FROM invoicer.open_line")


@pytest.mark.parametrize("mechanism", ["PLAIN", "OAUTHBEARER", "SSL"])
async def test_other_ways_to_sign_in_work(
    topics: str, kafka: TlsKafka, mechanism: str, tmp_path: Path
) -> None:
    """PLAIN, a token of OAUTHBEARER, and a client certificate instead of a password."""
    access = kafka.other_access(mechanism, "invoicer", tmp_path)
    async with connected(access) as ask:
        assert await produced(ask, "invoice-closed") == 0
        assert await produced(ask, OPERATOR_COMMANDS.name) == DENIED["TOPIC"]


# -- what is denied


async def test_a_service_can_do_its_own_work_and_no_other(topics: str, kafka: TlsKafka) -> None:
    """Every user × every topic × writing and reading: done where it is declared, else denied."""
    attempts = {Operation.WRITE: produced, Operation.READ: fetched}
    allowed = {
        (one.service, one.operation, one.name)
        for one in declared()
        if one.kind is Kind.TOPIC and one.operation in attempts
    }
    done, denied = set(), set()
    for user in PEOPLE:
        async with connected(kafka.access(user)) as ask:
            for topic in all_topics():
                for operation, attempt in attempts.items():
                    code = await attempt(ask, topic.name)
                    assert code in (0, DENIED["TOPIC"]), (user, operation, topic.name, code)
                    (done if code == 0 else denied).add((user, operation, topic.name))
    assert done == allowed
    assert len(denied) == len(PEOPLE) * len(all_topics()) * len(attempts) - len(allowed)


async def test_a_service_has_its_own_groups_and_no_other(topics: str, kafka: TlsKafka) -> None:
    """Every user × the groups of every service: no one else commits; who shows lag may look."""
    allowed = {(one.service, one.name, one.operation) for one in declared()}
    wrong = []
    for user in PEOPLE:
        async with connected(kafka.access(user)) as ask:
            for service in SERVICES:
                topic = CONSUMED[service][0].name
                commits = (user, f"{service}.", Operation.READ) in allowed
                looks = commits or (user, f"{service}.", Operation.DESCRIBE) in allowed
                for may, code in (
                    (commits, await committed(ask, service, topic)),
                    (looks, await looked_at(ask, service)),
                ):
                    if (code == 0) != may or (not may and code != DENIED["GROUP"]):
                        wrong.append((user, service, may, code))
    assert wrong == []


async def test_no_service_can_administer(topics: str, kafka: TlsKafka) -> None:
    """No one but `admin` makes, changes or deletes topics, or gives itself a permission."""
    for user in (*PEOPLE, ADMIN):
        async with connected(kafka.access(user)) as ask:
            codes = await administered(ask, user)
        topic, cluster = (0, 0) if user == ADMIN else (DENIED["TOPIC"], DENIED["CLUSTER"])
        expected = {"create": topic, "alter": topic, "delete": topic, "acl": cluster}
        assert (user, codes) == (user, expected)


async def test_only_an_ats_has_transactions_of_its_own_name(topics: str, kafka: TlsKafka) -> None:
    """With the transactional id of an ATS another program could fence it off."""
    for user in PEOPLE:
        async with connected(kafka.access(user)) as ask:
            answer = await ask(InitProducerIdRequest(f"{topics}ats.one", 60_000))
        expected = 0 if user == ATS_PUBLISHER else DENIED["TRANSACTIONAL_ID"]
        # Without a coordinator yet the answer is an error that says "try again".
        assert answer.error_code in ((expected,) if expected else (0, 14, 15, 16)), user


async def test_a_client_library_is_told_so(topics: str, kafka: TlsKafka) -> None:
    """A real producer and consumer of a service get an error, not silence."""
    options = kafka.access("scheduler").client_options()
    async with AIOKafkaProducer(**options) as producer:
        with pytest.raises(TopicAuthorizationFailedError):
            await producer.send_and_wait(full_name("pay-lines-realized"), b"forged")
    consumer = AIOKafkaConsumer(full_name("invoice-closed"), **options)
    with pytest.raises(TopicAuthorizationFailedError):
        await consumer.start()
    await consumer.stop()


async def test_a_stranger_gets_in_nowhere(topics: str, kafka: TlsKafka) -> None:
    """No password, a guessed one, no TLS, another authority: none can connect."""
    good = kafka.access("invoicer")
    strangers = [
        KafkaAccess(bootstrap=kafka.address),
        KafkaAccess(bootstrap=kafka.address, protocol="SSL", ca_file=good.ca_file),
        dataclasses.replace(good, password_file=None, password="guessed"),
        dataclasses.replace(good, user="stranger"),
        dataclasses.replace(good, protocol="SASL_PLAINTEXT", ca_file=None),
        dataclasses.replace(good, ca_file=None),
    ]
    for stranger in strangers:
        producer = AIOKafkaProducer(**stranger.client_options(), request_timeout_ms=5_000)
        with pytest.raises(KafkaError):
            await producer.start()
        await producer.stop()


async def test_the_command_line_says_why_it_is_not_let_in(
    stack: dict[str, str], tmp_path: Path
) -> None:
    """A wrong password and an unknown authority are no address that does not answer."""
    (tmp_path / "guessed").write_text("guessed")
    (tmp_path / "x.jsonl").write_text("{}\n")
    for name, value, named in (
        ("PASSWORD_FILE", str(tmp_path / "guessed"), b"BACKOFFICE_KAFKA_PASSWORD_FILE"),
        ("CA_FILE", "", b"BACKOFFICE_KAFKA_CA_FILE"),
    ):
        given = stack | {f"BACKOFFICE_KAFKA_{name}": value}
        file = str(tmp_path / "x.jsonl")
        done = await run(given, str(BACKOFFICE), "publish", TIMESHEET_APPROVED.name, file)
        assert done.returncode == 1
        assert named in b"".join(done.stderr.split(b"\n")), done.stderr
    done = await run(stack, str(BACKOFFICE), "publish", "invoice-closed", file, "--json")
    assert b"not_permitted" in done.stdout + done.stderr


# -- applying ACLs


async def test_acls_are_applied_once_and_removed_when_no_longer_declared(
    topics: str, kafka: TlsKafka, configure: Configure
) -> None:
    """A second run changes nothing. What was declared before goes; a stranger's and those of
    another prefix stay."""
    admin = kafka.access(ADMIN)
    assert await apply_acls(admin) == (0, 0)
    before = Acl("ats", Kind.TOPIC, "command-results", Operation.READ)
    assert await apply_acls(admin, [*declared(), before]) == (1, 0)
    configure(kafka_principal="other-{service}")
    assert await apply_acls(admin, [before]) == (1, 0)
    configure(kafka_principal="{service}", topic_prefix=f"{topics}x.")
    assert (await apply_acls(admin, [before]))[0] == 1
    configure(topic_prefix=topics)
    added, removed = await apply_acls(admin)
    assert (added, removed) == (0, 2)  # the names of the longer prefix begin with ours, too
    configure(kafka_principal="other-{service}")
    assert await apply_acls(admin, [before]) == (0, 0)
    assert await apply_acls(admin, []) == (0, 1)


async def test_commands_have_the_time_of_the_broker(topics: str, kafka: TlsKafka) -> None:
    """A sender cannot choose the time by which his command expires.

    A topic that was made without this setting gets it and keeps its other settings.
    """
    name = full_name(OPERATOR_COMMANDS.name)
    async with AIOKafkaProducer(**kafka.access(CONSOLE).client_options()) as producer:
        sent = await producer.send_and_wait(name, b"x", timestamp_ms=1_000)
    assert sent.timestamp_type == LOG_APPEND_TIME and abs(sent.timestamp / 1000 - time.time()) < 60
    await (admin := AIOKafkaAdminClient(**kafka.access(ADMIN).client_options())).start()
    try:
        before = {"message.timestamp.type": "CreateTime", "retention.ms": "777000"}
        topic = ConfigResource(ConfigResourceType.TOPIC, name, configs=before)

        async def has(wanted: dict[str, str]) -> bool:
            (answer,) = await admin.describe_configs([topic])
            return {entry[0]: entry[1] for entry in answer.resources[0][4]} == wanted

        await admin.alter_configs([topic])
        await until("the broker goes by it", partial(has, before))
        await create_topics(kafka.access(ADMIN))
        after = before | {"message.timestamp.type": "LogAppendTime"}
        await until("the topic has the time of the broker", partial(has, after), 20)
    finally:
        await admin.close()


async def test_the_command_applies_them(topics: str, kafka: TlsKafka) -> None:
    """`python -m shared.broker.topics --acl` as `admin`; a service is refused with a fix."""
    of_settings = {"BACKOFFICE_TOPIC_PREFIX": topics}
    done = await run(
        kafka.access(ADMIN).environment() | of_settings, "-m", "shared.broker.topics", "--acl"
    )
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, b"0 ACLs added, 0 removed")
    refused = await run(
        kafka.access(CONSOLE).environment() | of_settings, "-m", "shared.broker.topics", "--acl"
    )
    assert refused.returncode == 1
    assert b"did not make the topic" in refused.stderr  # the console does not even see most topics


# -- requests


@asynccontextmanager
async def connected(access: KafkaAccess) -> AsyncIterator[Any]:
    """A function that sends a request to the broker with these credentials."""
    client = AIOKafkaClient(**access.client_options())
    await client.bootstrap()
    try:
        yield lambda request: client.send(client.get_random_node(), request)
    finally:
        await client.close()


async def produced(ask: Any, topic: str) -> int:
    """The error code of writing a record."""
    batch = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1_000)
    batch.append(0, timestamp=1, key=b"k", value=b"x", headers=[])
    record = [(full_name(topic), [(0, bytes(batch.build()))])]
    return await _code(ask, ProduceRequest(None, -1, 5_000, record))


async def fetched(ask: Any, topic: str) -> int:
    """The error code of reading from the beginning."""
    wanted = [(full_name(topic), [(0, 0, 10_000)])]
    return await _code(ask, FetchRequest(0, 0, 10_000, 0, wanted))


async def committed(ask: Any, service: str, topic: str) -> int:
    """The error code of committing an offset for the group of a service."""
    group = group_name(service, topic)
    answer = await ask(OffsetCommitRequest(group, -1, "", -1, [(full_name(topic), [(0, 0, "")])]))
    return int(answer.topics[0][1][0][1])


async def looked_at(ask: Any, service: str) -> int:
    """The error code of asking for the offsets of the group of a service."""
    answer = await ask(OffsetFetchRequest(group_name(service, CONSUMED[service][0].name), None))
    return int(answer.error_code)


async def administered(ask: Any, user: str) -> dict[str, int]:
    """The error codes of making, changing and deleting a topic, and of giving a permission."""
    topic = full_name("pay-line-due")
    create = CreateTopicsRequest([(full_name(f"own-{user}"), 1, 1, [], [])], 5_000, False)
    alter = AlterConfigsRequest([(2, topic, [("retention.ms", "1000")])])
    acl = CreateAclsRequest(2, topic, 3, f"User:{user}", "*", 2, 3)
    return {
        "create": (await ask(create)).topic_errors[0][1],
        "alter": (await ask(alter)).resources[0][0],
        "acl": (await ask(acl)).creation_responses[0][0],
        "delete": (await ask(DeleteTopicsRequest([topic], 5_000))).topic_error_codes[0][1],
    }


async def _code(ask: Any, request: Any) -> int:
    """The error code for the one partition, once its topic is known everywhere."""
    while True:
        answer = await ask(request)
        code = int(answer.topics[0][1][0][1])
        if code not in NOT_YET:
            return code
        await asyncio.sleep(0.05)


# -- the rest


def use(configure: Configure, kafka: TlsKafka, user: str) -> None:
    """From now on this process is that user."""
    for name, value in kafka.access(user).environment().items():
        configure(**{name.removeprefix(PREFIX): value})


def check_logs(folder: Path, secrets: list[str]) -> None:
    """No one was denied anything, and no log has a password."""
    logs = "".join(path.read_text() for path in folder.glob("*.log"))
    assert logs and "AuthorizationFailed" not in logs
    assert not [secret for secret in secrets if secret in logs]


async def console(environment: dict[str, str], *arguments: str, at: Path = ROOT) -> str:
    """What `backoffice` prints; it must succeed."""
    done = await run(environment, str(BACKOFFICE), *arguments, at=at)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    return done.stdout.decode()


async def run(
    environment: dict[str, str], *command: str, at: Path = ROOT
) -> "subprocess.CompletedProcess[bytes]":
    """Python with this environment."""
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, *command],
        env={"PYTHONPATH": str(ROOT), **environment},
        cwd=at,
        capture_output=True,
        timeout=120,
        check=False,
    )
