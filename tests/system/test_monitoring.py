"""Dashboards and alerts on a real Prometheus: every panel has a series, every alert fires and
clears.

Debian's package `prometheus` has the server and `promtool`. The server scrapes workers that run;
where a fault takes minutes to make, `promtool test rules` gives the rule the series of that fault.
"""

import asyncio
import contextlib
import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from shared.broker.security import kafka_access
from shared.broker.topics import full_name
from shared.events.commands import key_of
from shared.settings import settings
from shared.stack.workers import STANDARD
from tests.builders import COMPANY, command, entry, node, requirement, timesheet
from tests.conftest import EngineOf
from tests.fault_injection import RowInserter
from tests.running import (
    Observer,
    Running,
    answered,
    event,
    free_port,
    publish,
    running,
    start,
    until,
)

DASHBOARDS = Path(__file__).parents[2] / "shared" / "dashboards"
RULES = DASHBOARDS / "alerts.yml"
needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None,
    reason="needs prometheus: apt-get install prometheus",
)
CONNECTION = """
INSERT INTO arg_sync.connection
  (ledger, kind, billing_company, settings, auto_sync, state, actor, connected_at)
VALUES ('gl-us', 'tryton', :company, '{"base_url": "http://127.0.0.1:9", "database": "t"}', true,
  'connected', 'pat', now())"""
MAPPING = "INSERT INTO arg_sync.mapping VALUES ('gl-us', 'account', '', '4000', 'pat', now())"
MAIL_ACCOUNT = """
INSERT INTO arg_sync.mail_account (billing_company, settings, state, actor, changed_at)
VALUES (:company, '{}', 'ready', 'pat', now())"""
MAIL = """
INSERT INTO arg_sync.mail (billing_company, invoice_id, batch_id, invoice_number, document_type,
  account_name, address, subject, content, attach, message_id, state, next_attempt_at, queued_at)
VALUES (:company, 1, 'B', 'INV-1', 'invoice', 'Mercy', 'ap@mercy.example', 's', 'c', '{pdf}', 'm',
  'sent', now(), now())"""
AN_HOUR_MS = 3_600_000


def alerts() -> list[dict[str, Any]]:
    """Every alert rule."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def queries() -> dict[str, str]:
    """Every query of every panel, by the panel's title and the query's reference."""
    return {
        f"{panel['title']} {target['refId']}": target["expr"]
        for path in sorted((DASHBOARDS / "grafana").glob("*.json"))
        for panel in json.loads(path.read_text())["panels"]
        for target in panel["targets"]
    }


@dataclass
class Prometheus:
    """A running server; `targets` are written to the file that it watches."""

    port: int
    folder: Path

    def watch(self, workers: Sequence[Running]) -> None:
        """Scrape these processes and no others, as discovery would find them."""
        targets = [
            {"targets": [f"127.0.0.1:{one.port}"], "labels": {"worker": one.service}}
            for one in workers
        ]
        draft = self.folder / "draft"
        draft.write_text(json.dumps(targets))
        draft.replace(self.folder / "targets.json")

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an expression now."""
        asked = urllib.parse.urlencode({"query": expression})
        url = f"http://127.0.0.1:{self.port}/api/v1/query?{asked}"

        def ask() -> list[dict[str, Any]]:
            try:
                with urllib.request.urlopen(url, timeout=5) as answer:
                    return list(json.load(answer)["data"]["result"])
            except OSError:
                return []

        return await asyncio.to_thread(ask)

    async def firing(self) -> set[str]:
        """The alerts that fire, each with what it is about."""
        found = await self.query('ALERTS{alertstate="firing"}')
        labels = ("worker", "consumergroup", "service")
        return {
            " ".join(filter(None, (one["metric"]["alertname"], *map(one["metric"].get, labels))))
            for one in found
        }

    async def fires(self, alert: str) -> None:
        """Wait until it fires."""
        await until(f"{alert} fires", lambda: self._firing(alert, True))

    async def clears(self, alert: str) -> None:
        """Wait until it does not."""
        await until(f"{alert} clears", lambda: self._firing(alert, False))

    async def _firing(self, alert: str, wanted: bool) -> bool:
        return bool(await self.query("up")) and (alert in await self.firing()) == wanted


@contextlib.asynccontextmanager
async def prometheus(folder: Path) -> AsyncIterator[Prometheus]:
    """A server that looks every second, with our rules; each alert fires after a second."""
    rules = yaml.safe_load(RULES.read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule["for"] = "1s"
    (folder / "alerts.yml").write_text(yaml.safe_dump(rules))
    scrape = {"job_name": "back-office", "file_sd_configs": [{"files": ["targets.json"]}]}
    configuration = {
        "global": {
            "scrape_interval": "1s",
            "scrape_timeout": "1s",
            "evaluation_interval": "1s",
        },
        "rule_files": ["alerts.yml"],
        "scrape_configs": [scrape],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    server = Prometheus(free_port(), folder)
    with (folder / "prometheus.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            "prometheus",
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            f"--web.listen-address=127.0.0.1:{server.port}",
            cwd=folder,
            stdout=log,
            stderr=log,
        )
    try:
        yield server
    finally:
        process.kill()
        await process.wait()


async def bill_something() -> None:
    """A priced timesheet on a document, one that is pending, one that is held, one unreadable."""
    company = command("set-billing-company", billing_company=COMPANY, name="Acme")
    assert [one["outcome"] for one in await answered(company)] == ["accepted"]
    await publish(
        [
            event("billto-changed", "office-1", node("office-1", account_name="Mercy")),
            event("requirement-changed", "REQ-1", requirement()),
            event("timesheet-approved", "T-1", timesheet("T-1")),
            event(
                "timesheet-approved",
                "T-2",
                timesheet("T-2", entries=[entry(requirement_id="REQ-none")]),
            ),
            event("timesheet-approved", "T-3", {"timesheet_id": "T-3"}),
        ]
    )


async def bill(observer: Observer) -> None:
    """The batch of what was priced, and one more timesheet that stays pending."""
    await observer.settled()
    asked = command("generate-batch", billing_company=COMPANY, cut_off_date="2026-10-31")
    (result,) = await answered(asked)
    assert result["outcome"] == "accepted", result
    await publish([event("timesheet-approved", "T-4", timesheet("T-4"))])


@needs_prometheus
async def test_every_panel_has_a_series_and_alerts_fire_and_clear(
    stack: dict[str, str], engine_of: EngineOf, tmp_path: Path
) -> None:
    """After a few events every query of every panel has a series. Then faults are made: a record
    that cannot be read, a worker that is killed and leaves discovery, an old record that waits for
    it. Each alert fires and clears when the fault is over.
    """
    async with engine_of("owner").begin() as connection:
        await RowInserter(connection).run(CONNECTION, company=COMPANY)
        await RowInserter(connection).run(MAPPING)
        await RowInserter(connection).run(MAIL_ACCOUNT, company=COMPANY)
        await RowInserter(connection).run(MAIL, company=COMPANY)
    (tmp_path / "prometheus").mkdir()
    async with (
        prometheus(tmp_path / "prometheus") as server,
        running(stack, tmp_path, *STANDARD) as workers,
    ):
        server.watch(workers)
        await bill_something()
        await bill(Observer(engine_of))
        missing = queries()
        assert len(missing) > 25

        async def all_have_series() -> bool:
            for title, expression in list(missing.items()):
                if await server.query(expression):
                    del missing[title]
            return not missing

        with contextlib.suppress(pytest.fail.Exception):
            await until("a series for each", all_have_series, within=30)
        assert missing == {}
        await server.fires("DeadLetters fee_realizer")
        await check_worker_down(server, workers, stack, tmp_path)
        await server.clears("DeadLetters fee_realizer")
        assert await server.firing() <= {"DocumentsNotDelivered"}


async def accept_old_records(topic: str) -> None:
    """From now on records of the topic have the time of their producer: the test has no hour."""
    own = {"message.timestamp.type": "CreateTime"}
    changed = ConfigResource(ConfigResourceType.TOPIC, full_name(topic), configs=own)
    await (admin := AIOKafkaAdminClient(**kafka_access().client_options())).start()
    await admin.alter_configs([changed])
    await admin.close()
    await asyncio.sleep(1)  # until the broker goes by it


async def check_worker_down(
    server: Prometheus, workers: list[Running], stack: dict[str, str], folder: Path
) -> None:
    """Kill the scheduler; it leaves discovery while a command waits for it; it comes back.

    The command discards the dead letter; the scheduler only has to read it.
    """
    waits = f"RecordsWait {settings().topic_prefix}scheduler.operator-commands"
    (scheduler,) = (one for one in workers if one.service == "scheduler")
    scheduler.process.kill()
    await scheduler.process.wait()
    await server.fires("WorkerDown scheduler")
    server.watch([one for one in workers if one is not scheduler])
    await accept_old_records("operator-commands")
    async with AIOKafkaProducer(**kafka_access().client_options()) as producer:
        at = int(time.time() * 1000) - AN_HOUR_MS
        discard = command("discard-dead-letter", service="fee_realizer", dead_letter_id=1)
        await producer.send_and_wait(
            full_name("operator-commands"),
            discard.model_dump_json().encode(),
            key_of(discard).encode(),
            partition=0,
            timestamp_ms=at,
        )
    await server.fires(waits)
    gone = 'absent(up{worker="scheduler"})'
    await until("it left discovery", lambda: server.query(gone))
    await server.fires("WorkerDown scheduler")
    workers[workers.index(scheduler)] = await start("scheduler", stack, folder)
    server.watch(workers)
    await server.clears(waits)
    await server.clears("WorkerDown scheduler")


UP = {f'up{{job="back-office", worker="{name}"}}': "1" for name in STANDARD}
LAG = 'kafka_consumergroup_lag{consumergroup="g", topic="t", partition="0"}'
WELL = UP | {LAG: "0"}
MINUTES, MADE_AT, OVER_AT = 60, 10, 40
"""A fault begins after so many minutes and ends after so many, of so many in all."""


def faults() -> list[tuple[str, str, str]]:
    """Alert, series, and its values while the fault lasts ("_" is no value)."""
    return [
        *(("WorkerDown", series, value) for series in UP for value in ("0", "_")),
        ("NoProgress", 'backoffice_last_progress_age_seconds{service="invoicer"}', "121"),
        (
            "PartitionsStopped",
            'backoffice_stopped_partitions{service="s", topic="t", code="undecodable"}',
            "1",
        ),
        ("ConsumerLagGrows", LAG, "10001+100"),
        (
            "RecordsWait",
            'kafka_consumergroup_lag_seconds{consumergroup="g", topic="t", partition="0"}',
            "601",
        ),
        ("LagUnknown", LAG, "_"),
        ("DeadLetters", 'backoffice_dead_letters{service="invoicer"}', "1"),
        ("RuleFailed", 'backoffice_held_documents{code="unexpected_error"}', "1"),
        ("DocumentsToBePriced", "backoffice_documents_to_price_age_seconds", "301"),
        ("OutboxNotEmpty", 'backoffice_outbox{service="invoicer"}', "3"),
        ("DayNotAnnounced", 'backoffice_watermark_behind_days{billing_company="c"}', "1"),
        ("DeliveriesRefused", 'backoffice_deliveries{ledger="l", state="refused"}', "1"),
        ("DocumentsNotDelivered", "backoffice_sync_oldest_unsynced_seconds", "3601"),
        ("MailsNotSent", 'backoffice_mails{billing_company="c", state="unknown"}', "1"),
        ("MailsWait", "backoffice_mail_oldest_unsent_seconds", "3601"),
    ]


def _case(alert: str, series: str, value: str) -> Mapping[str, Any]:
    well = WELL.get(series, "0")
    # A value is repeated so often after its first time, "_" just so often.
    repeated = OVER_AT - MADE_AT - (value != "_")
    values = f"{well}x{MADE_AT - 1} {value}x{repeated} {well}x{MINUTES - OVER_AT}"
    given = {one: f"{each}x{MINUTES}" for one, each in WELL.items()} | {series: values}

    def fires(minute: int, yes: bool) -> dict[str, Any]:
        samples = [{"labels": "{}", "value": 1}] if yes else []
        wanted = f'count(ALERTS{{alertname="{alert}", alertstate="firing"}})'
        return {"expr": wanted, "eval_time": f"{minute}m", "exp_samples": samples}

    others = f'count(ALERTS{{alertname!="{alert}", alertstate="firing"}})'
    return {
        "name": f"{alert} {series}",
        "interval": "1m",
        "input_series": [{"series": one, "values": each} for one, each in given.items()],
        "promql_expr_test": [
            fires(MADE_AT - 1, False),
            fires(OVER_AT - 1, True),
            fires(MINUTES - 1, False),
            {"expr": others, "eval_time": f"{OVER_AT - 1}m", "exp_samples": []},
        ],
    }


@needs_prometheus
def test_each_alert_fires_while_its_fault_lasts(tmp_path: Path) -> None:
    """Not before the fault, during it, and no more after it; and no other alert fires."""
    assert {alert for alert, _, _ in faults()} == {rule["alert"] for rule in alerts()}
    cases = [_case(*fault) for fault in faults()]
    body = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": cases}
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump(body, sort_keys=False))
    answer = subprocess.run(
        ["promtool", "test", "rules", file],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
