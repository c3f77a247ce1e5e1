"""`backoffice import` on a real Kafka and PostgreSQL: what it publishes, and that it publishes
nothing while anything is wrong.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer
from typer.testing import CliRunner

from services.console.cli import application
from shared.broker.security import kafka_access
from shared.logins import plain_dsn
from tests.conftest import as_superuser

COMPANY = "acme-us"
BILLTO = """level,id,parent_id,name,account_name,address,city,state,zip
client,cl-1,,Acme West,ACME,,,,
office,of-1,cl-1,Acme Brooklyn,,1 Main St,BROOKLYN,NY,11201
"""
REQUIREMENTS = (
    "requirement_id,office_id,job_title,status,position_type,currency\n"
    "req-1,of-1,Nurse,Filled,Temp,USD\n"
)
TIMESHEETS = (
    "timesheet_id,requirement_id,worker_id,week_ending,work_date,time_type,hours\n"
    "ts-1,req-1,W-1,2026-10-04,2026-09-28,REG,8\n"
    "ts-2,req-1,W-2,2026-10-04,2026-09-29,REG,7.5\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three of the four files; bill rates come later."""
    for name, text in (
        ("billto.csv", BILLTO),
        ("requirements.csv", REQUIREMENTS),
        ("timesheets.csv", TIMESHEETS),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def imported(folder: Path, *options: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, JSON document and stderr."""
    done = CliRunner().invoke(
        application(), ["import", str(folder), "--billing-company", COMPANY, "--json", *options]
    )
    return done.exit_code, json.loads(done.stdout), done.stderr


def add_company(database: str) -> None:
    """The billing company is known, as if its service had made it."""

    async def work() -> None:
        connection = await asyncpg.connect(plain_dsn(as_superuser(database)))
        await connection.execute(
            "INSERT INTO fee_realizer.billing_company (billing_company, known) VALUES ($1, true)",
            COMPANY,
        )
        await connection.close()

    asyncio.run(work())


def published(topics: str) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """Key and body of every record on the ATS topics."""

    names = ("billto-changed", "requirement-changed", "timesheet-approved", "operator-commands")

    async def read() -> dict[str, list[tuple[str, dict[str, Any]]]]:
        consumer = AIOKafkaConsumer(
            *(topics + name for name in names),
            **kafka_access().client_options(),
            auto_offset_reset="earliest",
            group_id=None,
        )
        await consumer.start()
        found: dict[str, list[tuple[str, dict[str, Any]]]] = {name: [] for name in names}
        try:
            partitions = sorted(consumer.assignment())
            assert len(partitions) == 2 * len(names)
            ends = await consumer.end_offsets(partitions)
            while sum([await consumer.position(one) for one in partitions]) < sum(ends.values()):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    for record in records:
                        found[record.topic.removeprefix(topics)].append(
                            (record.key.decode(), json.loads(record.value))
                        )
        finally:
            await consumer.stop()
        return found

    return asyncio.run(read())


def test_what_is_new_is_published_under_its_key(database: str, topics: str, folder: Path) -> None:
    """Nodes, requirements and timesheets go out as ATS events, each under its own id; the known
    billing company is left alone.
    """
    add_company(database)
    code, document, _ = imported(folder)
    assert (code, document["published"], document["company_made"]) == (0, 5, None)
    said = published(topics)
    assert sorted(key for key, _ in said["billto-changed"]) == ["cl-1", "of-1"]
    assert sorted(key for key, _ in said["timesheet-approved"]) == ["ts-1", "ts-2"]
    ((key, job),) = said["requirement-changed"]
    assert (key, job["billing_company"], job["revision"]) == ("req-1", COMPANY, 1)
    assert said["operator-commands"] == []


def test_one_wrong_cell_and_nothing_is_published(database: str, topics: str, folder: Path) -> None:
    """Row errors by file and line, exit 1; not even the rows that are right go out."""
    (folder / "timesheets.csv").write_text(TIMESHEETS.replace("7.5", "seven"), encoding="utf-8")
    code, document, errors = imported(folder)
    assert (code, document["code"], document["details"]["count"]) == (1, "wrong_rows", 1)
    (problem,) = document["details"]["problems"]
    assert (problem["file"], problem["line"], problem["column"]) == ("timesheets.csv", 3, "hours")
    assert "timesheets.csv, line 3, hours: 'seven' is not a number of hours" in errors
    assert not any(published(topics).values())


def test_a_check_writes_nothing(database: str, topics: str, folder: Path) -> None:
    """--check says what would go out: new documents, an unknown billing company; no command, no
    event.
    """
    code, document, _ = imported(folder, "--check")
    assert (code, document["billing_company_known"], document["documents"]["timesheet"]["new"]) == (
        0,
        False,
        2,
    )
    assert not any(published(topics).values())
