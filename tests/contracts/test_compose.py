"""The files for Docker: Compose accepts the compose file, and the dashboards' metrics exist."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from faststream.prometheus.container import MetricsContainer
from prometheus_client import CollectorRegistry

from shared import telemetry
from shared.logins import LOGINS, OWNER, SERVICES
from shared.stack.containers import KAFKA_IMAGE, POSTGRES_IMAGE
from shared.stack.folder import MADE_WITH
from shared.stack.workers import LAG_EXPORTER, STANDARD, module_of

ROOT = Path(__file__).parents[2]
DASHBOARDS = ROOT / "shared" / "dashboards"
SCHEMA = Path(__file__).with_name("compose-spec") / "compose-spec.json"
# What Prometheus itself adds to a target.
OF_PROMETHEUS = {"up"}
NEEDED = re.compile(r"\$\{(\w+):\?")
METRIC = re.compile(r"\b(?:backoffice|faststream|kafka)_[a-z0-9_]+|\bup\b")


def compose_file() -> dict[str, Any]:
    """The compose file, anchors resolved."""
    read: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return read


def dashboards() -> list[dict[str, Any]]:
    """Every dashboard that Grafana loads."""
    return [
        json.loads(path.read_text()) for path in sorted((DASHBOARDS / "grafana").glob("*.json"))
    ]


def known_metrics() -> dict[str, set[str]]:
    """Every metric name that a worker can serve, with its labels, from the libraries."""
    of_faststream = CollectorRegistry()
    MetricsContainer(of_faststream, custom_label_names=())
    known: dict[str, set[str]] = {name: set() for name in OF_PROMETHEUS}
    for registry in (telemetry.REGISTRY, of_faststream):
        for collector, names in registry._collector_to_names.items():
            labels = set(getattr(collector, "_labelnames", ()))
            known.update(dict.fromkeys(names, labels))
    return known


def expressions() -> list[tuple[str, str]]:
    """Every PromQL expression of dashboards and alerts, with its place."""
    found = [
        (f"{board['title']}: {panel['title']}", target["expr"])
        for board in dashboards()
        for panel in board["panels"]
        for target in panel["targets"]
    ]
    groups = yaml.safe_load((DASHBOARDS / "alerts.yml").read_text())["groups"]
    return found + [(rule["alert"], rule["expr"]) for group in groups for rule in group["rules"]]


def test_compose_file_keeps_the_schema() -> None:
    """compose.yaml conforms to the schema of the Compose Specification."""
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(compose_file(), schema)
    broken = compose_file()
    broken["services"]["kafka"]["imagee"] = "apache/kafka"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema)


def test_compose_brings_the_same_versions_and_every_worker() -> None:
    """Containers run the versions of the embedded stack.

    The same Kafka, the same PostgreSQL, and every worker.
    """
    services = compose_file()["services"]
    assert services["kafka"]["image"] == KAFKA_IMAGE == f"apache/kafka:{MADE_WITH['kafka']}"
    assert services["postgres"]["image"] == POSTGRES_IMAGE == f"postgres:{MADE_WITH['postgres']}"
    assert set(STANDARD) <= set(services)
    for worker in STANDARD:
        assert module_of(worker) in services[worker]["command"][-1]
        needed = {"topics"} if worker == LAG_EXPORTER else {"migrate", "topics"}
        assert needed == set(services[worker]["depends_on"])


def test_files_that_compose_mounts_are_there() -> None:
    """Each mounted file exists: Docker would mount a folder."""
    mounts = [
        mount.split(":")[0]
        for service in compose_file()["services"].values()
        for mount in service.get("volumes", [])
        if mount.startswith(".")
    ]
    assert len(mounts) >= 5
    for mount in mounts:
        assert (ROOT / mount).is_file(), mount


def test_ports_are_for_this_machine_alone() -> None:
    """No port is published to the network: none has TLS."""
    ports = [
        port for service in compose_file()["services"].values() for port in service.get("ports", [])
    ]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_prometheus_asks_every_worker() -> None:
    """The targets are the workers of the compose file, on their port."""
    scrape = yaml.safe_load((DASHBOARDS / "prometheus.yml").read_text())["scrape_configs"][0][
        "dns_sd_configs"
    ][0]
    assert set(scrape["names"]) == set(STANDARD)
    assert f"BACKOFFICE_HTTP_PORT={scrape['port']}" in (ROOT / "Dockerfile").read_text()


def test_dashboards_load_with_unique_ids_and_a_data_source_to_choose() -> None:
    """Dashboards can be imported anywhere.

    Each dashboard and panel has its own id, no panels overlap, and the data source is a variable.
    """
    boards = dashboards()
    assert len({board["uid"] for board in boards}) == len(boards) >= 1
    for board in boards:
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
        cells = [
            (x, y)
            for place in (panel["gridPos"] for panel in board["panels"])
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        ]
        assert len(cells) == len(set(cells))
        assert {x for x, _ in cells} <= set(range(24))
        for panel in board["panels"]:
            for part in (panel, *panel["targets"]):
                assert part["datasource"]["uid"] == "${DS_PROMETHEUS}", panel["title"]


@pytest.mark.parametrize(
    ("place", "expression"), expressions(), ids=lambda value: value.partition(": ")[2] or value[:40]
)
def test_metrics_of_dashboards_and_alerts_exist(place: str, expression: str) -> None:
    """Each metric and label of panels and alerts is served."""
    known = known_metrics()
    names = METRIC.findall(re.sub(r"\{[^}]*\}", "", expression))
    assert names, place
    assert set(names) <= set(known), f"{place}: {sorted(set(names) - set(known))}"
    labels = set().union(*(known[name] for name in names)) | {"le"}
    for grouped in re.findall(r"by \(([^)]*)\)", expression):
        assert {label.strip() for label in grouped.split(",")} <= labels, place


def test_dashboard_shows_what_must_be_watched() -> None:
    """Panels show lag, throughput, holds, dead letters, pending money."""
    asked = " ".join(
        target["expr"]
        for board in dashboards()
        for panel in board["panels"]
        for target in panel["targets"]
    )
    for metric in (
        "kafka_consumergroup_lag",
        "kafka_consumergroup_lag_seconds",
        "faststream_received_messages_total",
        "backoffice_held_documents",
        "backoffice_dead_letters",
        "backoffice_pending_amount",
    ):
        assert metric in asked


def test_no_default_password(tmp_path: Path) -> None:
    """Compose refuses to start without any of its passwords; `make env` writes all of them, each
    another one, for this user only, and keeps those that are there.
    """
    text = (ROOT / "compose.yaml").read_text()
    passwords = set(re.findall(r"\$\{(\w*PASSWORD\w*)", text))
    assert passwords == set(re.findall(r"\$\{(\w*PASSWORD\w*):\?run make env\}", text))
    assert {f"DATABASE_PASSWORD_{login.upper()}" for login in (OWNER, *LOGINS)} < passwords
    (tmp_path / "compose.yaml").write_text(text)
    (tmp_path / ".env").write_text("GRAFANA_PASSWORD=mine")
    for added in (f"{len(passwords) - 1} passwords added", ".env has every password"):
        command = [sys.executable, ROOT / "deploy" / "make_env.py", tmp_path]
        assert added in subprocess.run(command, capture_output=True, text=True, check=True).stdout
    made = dict(line.split("=") for line in (tmp_path / ".env").read_text().splitlines())
    assert set(made) == passwords
    assert made.pop("GRAFANA_PASSWORD") == "mine"
    assert len(set(made.values())) == len(made) and min(map(len, made.values())) > 40
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600


def test_each_container_has_its_own_login() -> None:
    """A worker has its own login of PostgreSQL and its own user of Kafka, and no other password;
    only the one step that makes the logins has the superuser's.
    """
    services = compose_file()["services"]
    logins = {"migrate": OWNER, **{one: one for one in SERVICES}}
    for name, service in services.items():
        given = service.get("environment", {})
        url = given.get("BACKOFFICE_DATABASE_URL", "")
        if name in logins:
            password = f"${{DATABASE_PASSWORD_{logins[name].upper()}:?run make env}}"
            assert url.startswith(f"postgresql+asyncpg://{logins[name]}:{password}@postgres:"), name
        if name in STANDARD:
            user = given["BACKOFFICE_KAFKA_USER"]
            password = f"${{KAFKA_PASSWORD_{user.upper()}:?run make env}}"
            assert (user, given["BACKOFFICE_KAFKA_PASSWORD"]) == (name, password)
            passwords = re.findall("_PASSWORD_", json.dumps(service))
            assert len(passwords) == (1 if name == LAG_EXPORTER else 2)
        assert ("${POSTGRES_PASSWORD" in json.dumps(given)) == (name in ("postgres", "logins"))


def test_containers_are_closed() -> None:
    """None is root, writes outside its volumes and /tmp, or gains rights; Grafana asks for a
    password.
    """
    services = compose_file()["services"]
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "/tmp" in service["tmpfs"]
        assert "privileged" not in service and "cap_add" not in service
        assert service["image"] == "staffing-back-office" or int(service["user"].split(":")[0]) > 0
    assert "\nUSER 1001\n" in (ROOT / "Dockerfile").read_text()
    grafana = services["grafana"]["environment"]
    assert grafana["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    assert grafana["GF_SECURITY_ADMIN_PASSWORD"] == "${GRAFANA_PASSWORD:?run make env}"


def test_kafka_asks_every_client_for_a_password() -> None:
    """On each listener, and its authorizer denies what no ACL allows."""
    kafka = compose_file()["services"]["kafka"]["environment"]
    protocols = kafka["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")
    assert {one.partition(":")[2] for one in protocols} == {"SASL_PLAINTEXT"}
    assert kafka["KAFKA_AUTHORIZER_CLASS_NAME"].endswith(".StandardAuthorizer")
    assert "KAFKA_ALLOW_EVERYONE_IF_NO_ACL_FOUND" not in kafka
    assert kafka["KAFKA_SUPER_USERS"] == "User:admin"


def _has_compose() -> bool:
    docker = shutil.which("docker")
    return (
        docker is not None
        and subprocess.run(
            [docker, "compose", "version"], capture_output=True, timeout=20, check=False
        ).returncode
        == 0
    )


@pytest.mark.skipif(not _has_compose(), reason="needs the docker compose plugin")
def test_compose_accepts_its_file() -> None:
    """`docker compose config` reads the file without a warning."""
    answer = subprocess.run(
        ["docker", "compose", "config", "--quiet"],
        cwd=ROOT,
        env=os.environ | dict.fromkeys(NEEDED.findall((ROOT / "compose.yaml").read_text()), "x"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (answer.returncode, answer.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool")
def test_promtool_accepts_rules_and_configuration() -> None:
    """Prometheus' checker accepts alerts and configuration."""
    for check in (["check", "rules", "alerts.yml"], ["check", "config", "prometheus.yml"]):
        answer = subprocess.run(
            ["promtool", *check],
            cwd=DASHBOARDS,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert answer.returncode == 0, answer.stdout + answer.stderr


def test_arg_sync_alone_has_the_volume_of_the_ledger_key() -> None:
    """Other services share no folder with it, so a process of theirs meets no private key."""
    mounted = {
        name
        for name, service in compose_file()["services"].items()
        if any(str(volume).startswith("ledger-key:") for volume in service.get("volumes", ()))
    }
    assert mounted == {"arg_sync"}
