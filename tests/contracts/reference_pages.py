"""Writes the pages of `docs/reference` from the code that they describe: commands, settings,
topics, metrics.

`python -m tests.contracts.reference_pages` writes them; `test_reference_pages.py` compares.
"""

import textwrap
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from prometheus_client.metrics import MetricWrapperBase
from typer.main import get_command

from services.console.cli import application
from shared import telemetry
from shared.broker.acls import ADMIN, PRINCIPALS, Acl, Kind, Operation, Pattern, declared
from shared.broker.topics import CONSUMED, FLOW, all_topics
from shared.events.commands.permissions import PERMISSIONS, ROLES
from shared.settings import Settings
from tests.contracts import personal_data, screens
from tests.contracts.limits import LIMITS

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "reference"
MADE = "Made by `python -m tests.contracts.reference_pages` from the code. Do not edit."
DAY_MS = 86_400_000
COLUMNS = 100


def settings_page() -> str:
    """One row a setting: environment variable, default, meaning."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for each in fields(Settings):
        default = "" if each.default in ("", None) else f"`{each.default}`"
        (meaning,) = each.type.__metadata__  # type: ignore[union-attr]
        rows.append(f"| `BACKOFFICE_{each.name.upper()}` | {default} | {meaning} |")
    return _page("Settings", "\n".join(rows))


def topics_page() -> str:
    """One row a topic: its content, its key, how long it is kept, who consumes it."""
    rows = ["| topic | content | key | kept | consumed by |", "|---|---|---|---|---|"]
    for topic in FLOW:
        kept = (
            "the newest of each key" if topic.compacted else f"{topic.retention_ms // DAY_MS} days"
        )
        of = [service for service, topics in CONSUMED.items() if topic in topics]
        consumers = ", ".join(of) or "anyone"
        rows.append(
            f"| `{topic.name}` | {topic.description} | {topic.key} | {kept} | {consumers} |"
        )
    return _page("Topics", "\n".join(rows))


def acls_page() -> str:
    """A table of topics × principals with what each may do, and one of everything else."""
    intro = (
        "`python -m shared.broker.topics --acl` applies these ACLs. Names get the prefix\n"
        "`BACKOFFICE_TOPIC_PREFIX`, principals the form of `BACKOFFICE_KAFKA_PRINCIPAL`. What is\n"
        "not listed is denied. Read and write include describe."
    )
    acls = declared()
    users = [service for service in PRINCIPALS if service != ADMIN]
    head = ["| topic | " + " | ".join(users) + " |", "|---" * (len(users) + 1) + "|"]
    topics = [
        f"| `{topic.name}` | "
        + " | ".join(_operations(acls, service, topic.name) for service in users)
        + " |"
        for topic in all_topics()
    ]
    others = [
        f"| {one.service} | {_words(one.kind)} | `{_pattern(one)}` | {_words(one.operation)} |"
        for one in acls
        if one.kind is not Kind.TOPIC
    ]
    of_admin = _operations(acls, ADMIN, all_topics()[0].name)
    others.append(f"| {ADMIN} | topic | each of the above | {of_admin} |")
    rest = ["| principal | of | name | operation |", "|---|---|---|---|", *others]
    return _page("ACLs of Kafka", "\n".join([intro, "", *head, *topics, "", *rest]))


def _operations(acls: list[Acl], service: str, topic: str) -> str:
    found = [one for one in acls if (one.service, one.kind) == (service, Kind.TOPIC)]
    return ", ".join(_words(one.operation) for one in found if one.name == topic)


def _words(code: Kind | Operation) -> str:
    return code.name.lower().replace("_", " ")


def _pattern(acl: Acl) -> str:
    return f"{acl.name}*" if acl.pattern is Pattern.PREFIXED else acl.name


def metrics_page() -> str:
    """One row a metric: name, kind, labels, meaning."""
    rows = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for metric in vars(telemetry).values():
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = ", ".join(f"`{label}`" for label in metric._labelnames)
            rows.append(f"| `{name}` | {family.type} | {labels} | {family.documentation} |")
    return _page("Metrics", "\n".join(rows))


def limits_page() -> str:
    """One row a limit: what comes in, what is limited, what happens beyond it, and its test."""
    intro = textwrap.fill(
        "Limits of everything that comes in. Files of payments and acknowledgements come only from"
        " file drops; no XLSX files are read. The readers are fuzzed: `make fuzz SECONDS=300`.",
        COLUMNS,
    )
    rows = ["| input | limit | value | beyond it | test |", "|---|---|---|---|---|"]
    for one in LIMITS:
        rows.append(f"| {one.of} | {one.what} | {one.value} | {one.beyond} | `{one.test}` |")
    return _page("Limits", "\n".join([intro, "", *rows]))


def personal_data_page() -> str:
    """One row a field of personal data: of whom, what, how long, and where."""
    intro = textwrap.fill(
        "Fields that hold data about a person, or may hold it. Kafka keeps messages of"
        " workers for 90 days; `requirement-changed` and `billto-changed`, which are kept forever,"
        " are not about workers. Logs and metrics hold none of these fields, dead-letter topics"
        " hold ids and reasons only. `backoffice forget worker ID --reason TEXT` removes what is"
        " kept of a worker beyond the id; see docs/security.md.",
        COLUMNS,
    )
    return _page("Personal data", "\n".join([intro, "", *personal_data.page()]))


def permissions_page() -> str:
    """One row a command: a column for each role, what limits it, and the rule of four eyes."""
    intro = textwrap.fill(
        "Who may send which command where commands are signed. A role holds for all billing"
        " companies, or for those that its grant names. `looked up`: the service finds the billing"
        " company of the ids that the command has. `all`: the command is not about one company, so"
        " it takes a role that is not limited.",
        COLUMNS,
        break_on_hyphens=False,
    )
    rows = [
        f"| command | {' | '.join(ROLES)} | billing companies | four eyes |",
        f"|---|{'---|' * len(ROLES)}---|---|",
    ]
    for model, permission in PERMISSIONS.items():
        marks = " | ".join("yes" if role in permission.roles else "" for role in ROLES)
        companies = permission.companies.replace("-", " ")
        name = model.model_fields["command"].default
        eyes = "yes" if permission.four_eyes else ""
        rows.append(f"| `{name}` | {marks} | {companies} | {eyes} |")
    return _page("Permissions", "\n".join([intro, "", *rows]))


def cli_page() -> str:
    """A section a command: what it does, its arguments and options."""
    intro = (
        "Every command exits 0 (done), 1 (the business says no: code, message, what to do) or\n"
        "2 (wrong use). `backoffice COMMAND --help` shows the same on the terminal."
    )
    sections = [_section(name, command) for name, command in _commands(get_command(application()))]
    return _page("Commands", "\n\n".join([intro, *sections]))


def _commands(command: Any, path: str = "backoffice") -> Iterator[tuple[str, Any]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name in sorted(children):
        yield from _commands(children[name], f"{path} {name}")


def _section(name: str, command: Any) -> str:
    words = textwrap.fill(_one_line(command.help or ""), COLUMNS, break_on_hyphens=False)
    lines = [f"## {name}", "", words]
    rows = [_row(parameter) for parameter in command.params if parameter.name != "help"]
    if rows:
        lines += ["", "| argument or option | value | meaning |", "|---|---|---|", *rows]
    return "\n".join(lines)


def _row(parameter: Any) -> str:
    option = parameter.param_type_name == "option"
    names = [*parameter.opts, *parameter.secondary_opts] if option else [parameter.name.upper()]
    value = "" if getattr(parameter, "is_flag", False) else (parameter.metavar or "")
    words = [_one_line(getattr(parameter, "help", "") or "")]
    words += ["Required."] if parameter.required else []
    cells = (
        ", ".join(f"`{one}`" for one in names),
        f"`{value}`" if value else "",
        " ".join(filter(None, words)),
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _page(title: str, body: str) -> str:
    return f"# {title}\n\n{MADE}\n\n{body}\n"


def screens_page() -> str:
    """One row a command: the screens of the web console that send it, and its own form."""
    intro = (
        "What of the web console sends a command: screens that are made for it, and a form of its\n"
        "own, unless it says why there is none. *Set-up, All commands* lists the forms. A page or\n"
        "a form shows only to those whose roles may send the command\n"
        "([permissions](permissions.md))."
    )
    table = [f"| `{command}` | {named} | {form} |" for command, named, form in screens.rows()]
    head = ["| command | screens | form |", "|---|---|---|"]
    return _page("Screens of commands", "\n".join([intro, "", *head, *table]))


PAGES = {
    "settings.md": settings_page,
    "topics.md": topics_page,
    "acls.md": acls_page,
    "metrics.md": metrics_page,
    "limits.md": limits_page,
    "personal-data.md": personal_data_page,
    "cli.md": cli_page,
    "permissions.md": permissions_page,
    "screens.md": screens_page,
}


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for file, page in PAGES.items():
        (FOLDER / file).write_text(page(), encoding="utf-8")
