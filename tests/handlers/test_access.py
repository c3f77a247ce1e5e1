"""Who is obeyed: signatures, keys and roles, on a real PostgreSQL through the real protocol."""

import base64
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.console.queries.history import history
from shared import telemetry
from shared.consumer.records import Record
from shared.consumer.unit_of_work import UnitOfWork
from shared.events.commands import SetCatalogItem
from shared.events.commands.permissions import PERMISSIONS
from shared.signing import HEADER, Signer
from tests import builders
from tests.conftest import Configure, EngineOf, as_console, process
from tests.sample_service import SERVICE, TOPIC, SampleService, sample
from tests.signed import Senders, signed

ITEM: dict[str, Any] = {"name": "An item", "amount": "5.00", "currency": "USD"}
DAY = 86_400.0
Send = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def senders(engine_of: EngineOf, configure: Configure) -> Senders:
    """Commands need signatures here."""
    configure(commands="signed")
    return Senders(engine_of("owner"))


@pytest.fixture
def send(unit_of_work: UnitOfWork) -> Send:
    """`await send(record)` gives the answer to a command."""

    async def to_sample_service(record: Record, service: SampleService | None = None) -> Any:
        subscription = (service or SampleService()).dispatcher().subscription()
        await process(unit_of_work, subscription, [record])
        said = unit_of_work.producer.published  # type: ignore[attr-defined]
        return json.loads([one.value for one in said if one.topic == "command-results"][-1])

    return to_sample_service


def item(command_id: str, actor: str, item_id: str = "I-1") -> Any:
    """A command that a manager may send."""
    return builders.command(
        "set-catalog-item", command_id=command_id, actor=actor, item_id=item_id, **ITEM
    )


async def samples(senders: Senders) -> list[str]:
    """What commands had carried out."""
    return [row[0] for row in await senders.select("SELECT sample_id FROM fee_realizer.sample")]


async def test_a_signed_command_is_carried_out(senders: Senders, send: Send) -> None:
    """The history has the key, its program and where the sender says it is."""
    signer = await senders.add_program("pricing", ("manager", ""))
    answer = await send(signed(signer, item("c-1", "pricing")))
    assert (answer["outcome"], await samples(senders)) == ("accepted", ["I-1"])
    (row,) = await senders.select("SELECT key_id, program, client FROM fee_realizer.command")
    assert (row.key_id, row.program) == (signer.key_id, "pricing") and row.client


Forge = Callable[[Signer, Signer], Record]


def _with_header(command: Any, *values: bytes | None) -> Record:
    made = builders.record("operator-commands", command)
    headers = tuple((HEADER, value) for value in values)
    return made._replace(headers=headers, appended_ms=int(time.time() * 1000))


def _other_body(mine: Signer, other: Signer) -> Record:
    made = signed(mine, item("c-1", "pricing"))
    return made._replace(value=(made.value or b"").replace(b"I-1", b"I-2"))


def _other_key_under_my_name(mine: Signer, other: Signer) -> Record:
    thief = Signer("pricing", mine.audience, False, other.key)
    return signed(thief, item("c-1", "pricing"))


def _key_id_of_mine_signed_by_other(mine: Signer, other: Signer) -> Record:
    _, *rest = signed(other, item("c-1", "pricing")).headers[0][1].split(b".")  # type: ignore[union-attr]
    mine_header, *_ = signed(mine, item("c-1", "pricing")).headers[0][1].split(b".")  # type: ignore[union-attr]
    return _with_header(item("c-1", "pricing"), b".".join([mine_header, *rest]))


def _claiming(client: str) -> bytes:
    """A token that no key made, whose sender says that it sits there."""
    parts = ({"alg": "Ed25519", "kid": "nobody's"}, {"client": client})
    coded = [base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=") for each in parts]
    return b".".join([*coded, b"AA"])


FORGED: dict[str, tuple[Forge, str]] = {
    "no signature": (lambda mine, other: _with_header(item("c-1", "pricing")), "not_signed"),
    "an empty header": (
        lambda mine, other: _with_header(item("c-1", "pricing"), None),
        "signature_invalid",
    ),
    "no JWS": (
        lambda mine, other: _with_header(item("c-1", "pricing"), b"\xff.a.b"),
        "signature_invalid",
    ),
    "a huge header": (
        lambda mine, other: _with_header(item("c-1", "pricing"), b"a" * 100_000),
        "signature_invalid",
    ),
    "two signatures": (
        lambda mine, other: _with_header(
            item("c-1", "pricing"), *[signed(mine, item("c-1", "pricing")).headers[0][1]] * 2
        ),
        "signature_invalid",
    ),
    "another body": (_other_body, "signature_invalid"),
    "another key under my name": (_other_key_under_my_name, "other_actor"),
    "my key id, another key": (_key_id_of_mine_signed_by_other, "signature_invalid"),
    "an unknown key": (
        lambda mine, other: signed(Signer.new("pricing", mine.audience), item("c-1", "pricing")),
        "key_unknown",
    ),
    "another installation": (
        lambda mine, other: signed(replace(mine, audience="test"), item("c-1", "pricing")),
        "signature_invalid",
    ),
    "another actor in the body": (
        lambda mine, other: signed(mine, item("c-1", "boss")),
        "other_actor",
    ),
    "another actor in both": (
        lambda mine, other: signed(mine, item("c-1", "boss"), actor="boss"),
        "other_actor",
    ),
    "expired before it was appended": (
        lambda mine, other: signed(mine, item("c-1", "pricing"), appended=time.time() + 301),
        "signature_expired",
    ),
    "recorded yesterday and never carried out": (
        lambda mine, other: signed(
            mine, item("c-1", "pricing"), at=time.time() - DAY, appended=time.time()
        ),
        "signature_expired",
    ),
    "made in the future": (
        lambda mine, other: signed(
            mine, item("c-1", "pricing"), at=time.time() + 3600, appended=time.time()
        ),
        "signature_invalid",
    ),
    "valid for a year": (
        lambda mine, other: signed(mine, item("c-1", "pricing"), seconds=365 * DAY),
        "signature_invalid",
    ),
}


async def test_what_proves_nothing_is_refused_and_kept(senders: Senders, send: Send) -> None:
    """The refusal is answered, counted, and stored with who, which key, from where and why.

    It does not use up the command id: the true command under it is carried out.
    """
    mine = await senders.add_program("pricing", ("manager", ""))
    other = await senders.add_program("reporting", ("manager", ""))
    for what, (forge, code) in FORGED.items():
        count = telemetry.COMMANDS_REFUSED.labels(SERVICE, code)._value
        before = count.get()
        forged = forge(mine, other)
        answer = await send(forged)
        outcome = (answer["outcome"], answer["code"], answer["command_id"])
        assert outcome == ("refused", code, "c-1"), what
        assert answer["message"] and answer["fix"], what
        assert count.get() == before + 1, what
        assert await send(forged) == answer, "a record that is read again gets its answer again"
        (row,) = await senders.select(
            f"SELECT * FROM fee_realizer.refused_command WHERE record_offset = {forged.offset}"
        )
        assert (row.command_id, row.partition_no) == ("c-1", 0), what
        assert row.result["message"] == answer["message"], what
    assert await samples(senders) == []
    assert (await send(signed(mine, item("c-1", "pricing"))))["outcome"] == "accepted"


REFUSED = (
    "no signature",
    "an unknown key",
    "another actor in the body",
    "another body",
    "expired before it was appended",
)


async def test_every_refusal_is_in_the_history(senders: Senders, send: Send) -> None:
    """With who, from where and why, whatever was refused: asked for by what it was about."""
    mine = await senders.add_program("pricing", ("viewer", ""))
    other = await senders.add_program("reporting", ("manager", ""))
    sent = [FORGED[what][0](mine, other) for what in REFUSED]
    sent.append(signed(mine, item("c-1", "pricing")))
    sent.append(_with_header(item("c-1", "pricing"), _claiming("two\x00words")))
    answers = [await send(each) for each in sent]
    async with as_console(senders.owner) as connection:
        entries = {
            (each["code"], each["actor"], each["message"]): each
            for subject in ("I-1", "I-2")
            for each in await history(connection, subject)
        }
    for record, answer in zip(sent, answers, strict=True):
        actor = json.loads(record.value or b"")["actor"]
        entry = entries.pop((answer["code"], actor, answer["message"]))
        assert entry["outcome"] == "refused" and entry["what"] == "set-catalog-item"
        says = answer["code"] != "not_signed" and record is not sent[-1]
        assert bool(entry["client"]) == says, "what is signed says from where"
    assert not entries
    codes = [each["code"] for each in answers]
    assert codes == [
        "not_signed",
        "key_unknown",
        "other_actor",
        "signature_invalid",
        "signature_expired",
        "not_permitted",
        "key_unknown",
    ]


async def test_the_same_command_gets_its_first_answer_for_ever(
    senders: Senders, send: Send
) -> None:
    """Years later, with a signature long expired, a disabled key and no role, the same id and body
    gets the stored answer; a changed body proves nothing.
    """
    signer = await senders.add_program("pricing", ("manager", ""))
    sent = signed(signer, item("c-1", "pricing"))
    first = await send(sent)
    await senders.change("UPDATE invoicer.program_key SET disabled_at = now()")
    await senders.change("DELETE FROM invoicer.role_grant")
    later = int((time.time() + 5 * 365 * DAY) * 1000)
    assert await send(sent._replace(offset=99, appended_ms=later)) == first
    changed = sent._replace(value=(sent.value or b"").replace(b"I-1", b"I-2"), offset=100)
    assert (await send(changed))["code"] == "signature_invalid"
    assert await samples(senders) == ["I-1"]


async def test_what_waited_during_an_outage_is_carried_out(senders: Senders, send: Send) -> None:
    """The broker received it in time, so the time at which the service reads it does not matter.

    Where the broker gives no time, the sender's is not believed: the clock counts.
    """
    signer = await senders.add_program("pricing", ("manager", ""))
    last_week = time.time() - 7 * DAY
    queued = signed(signer, item("c-1", "pricing"), at=last_week, appended=last_week + 299)
    assert (await send(queued._replace(appended_ms=None)))["code"] == "signature_expired"
    assert (await send(queued))["outcome"] == "accepted"
    late = signed(signer, item("c-2", "pricing", "I-2"), at=last_week, appended=last_week + 300)
    assert (await send(late))["code"] == "signature_expired"


async def test_a_disabled_key_and_a_replaced_one_end(senders: Senders, send: Send) -> None:
    """A disabled key is refused whenever its command was sent; a replaced one from its end on."""
    signer = await senders.add_program("pricing", ("manager", ""))
    await senders.change("UPDATE invoicer.program_key SET valid_until = now()")
    assert (await send(signed(signer, item("c-1", "pricing"))))["code"] == "key_disabled"
    earlier = signed(signer, item("c-1", "pricing"), at=time.time() - 60)
    assert (await send(earlier))["outcome"] == "accepted"
    await senders.change("UPDATE invoicer.program_key SET disabled_at = now()")
    earlier = signed(signer, item("c-2", "pricing", "I-2"), at=time.time() - 60)
    answer = await send(earlier)
    assert answer["code"] == "key_disabled" and "disabled at" in answer["message"]


async def test_a_console_signs_for_people_whose_own_roles_count(
    senders: Senders, send: Send
) -> None:
    """A key that may assert actors lends its own roles to no one. A disabled person has none."""
    console = await senders.add_program("console", ("manager", ""), asserts_actors=True)
    await senders.add_person("pat", ("manager", ""))
    await senders.add_person("kim", ("clerk", ""))
    answer = await send(signed(console, item("c-1", "kim"), actor="kim"))
    assert answer["code"] == "not_permitted"
    assert answer["message"] == "set-catalog-item needs the role manager; kim has clerk"
    assert answer["details"] == {"roles": ["manager"]}
    assert (await send(signed(console, item("c-2", "nobody"), actor="nobody")))["code"] == (
        "not_permitted"
    )
    assert (await send(signed(console, item("c-3", "pat"), actor="kim")))["code"] == "other_actor"
    assert (await send(signed(console, item("c-4", "pat"), actor="pat")))["outcome"] == "accepted"
    await senders.change("UPDATE invoicer.person SET enabled = false")
    answer = await send(signed(console, item("c-5", "pat", "I-5"), actor="pat"))
    assert answer["code"] == "not_permitted"


async def test_a_limited_role_does_not_reach_what_concerns_all(
    senders: Senders, send: Send
) -> None:
    """Catalog items are of no billing company, so a role for one of them is not enough."""
    signer = await senders.add_program("pricing", ("manager", "acme-us"), ("viewer", ""))
    answer = await send(signed(signer, item("c-1", "pricing")))
    assert answer["code"] == "other_billing_company"
    assert "all billing companies" in answer["message"] and "acme-us" in answer["message"]


async def test_a_role_for_a_company_reaches_its_self_billing_agreements(
    senders: Senders, send: Send
) -> None:
    """An agreement SUPPLIER@COMPANY belongs to the company after the @, and to no other."""
    signer = await senders.add_program("setup", ("admin", "acme-us"))

    async def code(company: str) -> str:
        sent = builders.command("set-billing-company", billing_company=company, actor="setup")
        return str((await send(signed(signer, sent)))["code"])

    allowed = "command_not_supported"  # by the sample service
    assert await code("S-1@acme-us") == allowed
    assert await code("S-1@acme-eu") == "other_billing_company"
    assert await code("acme-us@other") == "other_billing_company"
    assert await code("acme-us") == allowed


async def test_whoever_created_something_does_not_approve_it(
    senders: Senders, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rule of four eyes, declared for a command, holds with signatures and without.

    No command of today needs it; drafts will.
    """
    table = dict(PERMISSIONS)
    table[SetCatalogItem] = replace(table[SetCatalogItem], four_eyes=True)
    monkeypatch.setattr("shared.events.commands.permissions.PERMISSIONS", table)

    class Drafts(SampleService):
        def dispatcher(self) -> Any:
            async def authors(connection: AsyncConnection, command: SetCatalogItem) -> set[str]:
                query = text("SELECT body ->> 'by' FROM fee_realizer.sample WHERE sample_id = 'D'")
                return {await connection.scalar(query)}

            return replace(super().dispatcher(), authors_of={SetCatalogItem: authors})

    await senders.change("INSERT INTO fee_realizer.sample VALUES ('D', 1, '{\"by\": \"creator\"}')")
    creator = await senders.add_program("creator", ("manager", ""))
    other = await senders.add_program("other", ("manager", ""))
    answer = await send(signed(creator, item("c-1", "creator")), Drafts())
    assert (answer["code"], answer["fix"]) == ("four_eyes", "ask another person who may send it")
    assert (await send(signed(other, item("c-2", "other")), Drafts()))["outcome"] == "accepted"


async def test_open_commands_need_no_signature_but_a_false_one_is_refused(
    senders: Senders, send: Send, configure: Configure
) -> None:
    """In the open mode of an embedded stack, what is signed is checked as elsewhere."""
    configure(commands="open")
    mine = await senders.add_program("pricing", ("viewer", ""))
    unsigned = builders.record("operator-commands", item("c-1", "anybody"))
    assert (await send(unsigned))["outcome"] == "accepted"
    assert (await send(_other_body(mine, mine)))["code"] == "signature_invalid"
    assert (await send(signed(mine, item("c-2", "pricing"))))["code"] == "not_permitted"


async def test_a_replayed_dead_letter_keeps_its_signature_and_time(
    senders: Senders, send: Send, unit_of_work: UnitOfWork
) -> None:
    """A command that the database refused is carried out later as it was signed, and only so.

    Its own sender must have been permitted; a corrected value is not what he signed.
    """
    admin = await senders.add_program("admin", ("admin", ""))
    signer = await senders.add_program("pricing", ("manager", ""))
    clerk = await senders.add_program("clerk", ("clerk", ""))
    await senders.change("ALTER TABLE fee_realizer.sample ADD CHECK (sample_id NOT LIKE 'I-%')")
    last_week = time.time() - 7 * DAY
    for one in (signer, clerk):
        refused = signed(one, item(f"c-{one.program}", one.program), at=last_week)
        await process(unit_of_work, SampleService().dispatcher().subscription(), [refused])
    dead_letters = await senders.select("SELECT dead_letter_id FROM fee_realizer.dead_letter")
    assert len(dead_letters) == 1, "the clerk's never reached the database"
    await senders.change("ALTER TABLE fee_realizer.sample DROP CONSTRAINT sample_sample_id_check")

    async def replay(an_id: str, **more: Any) -> dict[str, Any]:
        command = builders.command(
            "replay-dead-letter",
            command_id=an_id,
            actor="admin",
            service=SERVICE,
            dead_letter_id=dead_letters[0].dead_letter_id,
            **more,
        )
        return await send(signed(admin, command))

    corrected = item("c-pricing", "pricing", "I-2").model_dump_json()
    answer = await replay("r-1", value=corrected)
    assert (answer["code"], answer["message"]) == (
        "not_signed",
        "a corrected command is not what its sender signed",
    )
    await senders.change("UPDATE invoicer.role_grant SET role = 'clerk' WHERE actor = 'pricing'")
    assert (await replay("r-2"))["code"] == "not_permitted"
    await senders.change("UPDATE invoicer.role_grant SET role = 'manager' WHERE actor = 'pricing'")
    assert (await replay("r-3"))["outcome"] == "accepted"
    assert await samples(senders) == ["I-1"]
    assert (
        await senders.select("SELECT * FROM fee_realizer.refused_command WHERE actor = 'pricing'")
        == []
    )


async def test_other_records_need_no_signature(
    senders: Senders, send: Send, unit_of_work: UnitOfWork
) -> None:
    """Signatures are for commands; a corrected dead letter of an input topic is replayed."""
    admin = await senders.add_program("admin", ("admin", ""))
    bad = builders.record(TOPIC, sample("bear")[:-1])
    await process(unit_of_work, SampleService().subscription(), [bad])
    (number,) = await senders.select("SELECT dead_letter_id FROM fee_realizer.dead_letter")
    command = builders.command(
        "replay-dead-letter",
        actor="admin",
        service=SERVICE,
        dead_letter_id=number[0],
        value=sample("bear").decode(),
    )
    assert (await send(signed(admin, command)))["outcome"] == "accepted"
    assert await samples(senders) == ["bear"]
