"""Every file obeys the rules of `tests/style.py`, each rule can fail, the layout is documented."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from tests import style
from tests.style import RULES, Source

ROOT = Path(__file__).parents[1]
PARTS = {"rules", "store", "handlers"}
"""What a feature is made of: `rules` decides, `store` remembers, `handlers` reacts."""
LAYOUT = {
    "fee_realizer": {
        "app",
        "facts",
        "companies",
        "catalog",
        "assignments",
        "requirements",
        "engagements",
        "agreements",
        "sources",
        "rates",
    },
    "scheduler": {"app", "due_lines", "schedules"},
    "invoicer": {
        "app",
        "access",
        "lines",
        "debtors",
        "options",
        "fees",
        "invoices",
        "self_billing",
        "settlement",
        "batches",
        "credits",
        "drafts",
        "approvals",
        "workflows",
        "opening",
        "disputes",
        "payments",
        "questions",
    },
    "arg_sync": {
        "app",
        "subscriptions",
        "connections",
        "deliveries",
        "mail",
        "payments",
        "reconciliation",
        "ledgers",
    },
    "console": {
        "addresses",
        "queries",
        "actions",
        "files",
        "sessions",
        "columns",
        "importing",
        "sample",
        "cli",
        "web",
    },
}
"""What a service consists of: its features, and what starts it. A small service is one feature."""
WITHOUT_PARTS = {"arg_sync/ledgers"}
"""Folders with other contents: one file for each accounting system."""
DESCRIBED = ("owns", "does not own", "consumes", "publishes", "invariants")
SHARED = {
    "money",
    "calendar",
    "cycles",
    "clock",
    "errors",
    "json_text",
    "mail_text",
    "reminders",
    "terms",
    "events",
    "settings",
    "telemetry",
    "faults",
    "database",
    "logins",
    "consumer",
    "broker",
    "lag_exporter",
    "render",
    "verify",
    "migrations",
    "stack",
    "dashboards",
    "sealing",
    "signing",
    "private_files",
    "sql",
    "stored",
}
ONLY_IN_PRODUCT = {style.public_without_docstring, style.float_of_money, style.swallowed_error}


def _sources(*folders: str) -> list[Source]:
    paths = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return [Source(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")) for path in paths]


def _names(folder: Path) -> set[str]:
    """Names of the modules and packages of a folder."""
    unnamed = ("__init__.py", "__main__.py", "__pycache__")
    return {path.stem for path in folder.iterdir() if path.name not in unnamed}


PRODUCT = _sources("services", "shared")
TESTS = _sources("tests")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_file_obeys(rule: Any) -> None:
    """Each failure names file and line and states what to do about it."""
    sources = PRODUCT if rule in ONLY_IN_PRODUCT else [*PRODUCT, *TESTS]
    found = [f"{source.path}:{line}: {text}" for source in sources for line, text in rule(source)]
    assert not found, f"{rule.__doc__}\n" + "\n".join(found)


def test_every_class_of_a_service_has_a_name_of_its_own() -> None:
    """Within a service no two classes share a bare name."""
    found = list(style.duplicate_classes(PRODUCT))
    assert not found, "\n".join(found)


def test_every_sql_file_is_readable() -> None:
    """SQL has short lines, and each named query has a description."""
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for folder in ("services", "shared")
        for path in sorted((ROOT / folder).rglob("*.sql"))
        for line, text in style.sql_file(str(path), path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


BROKEN = {
    style.too_long: ("services/a/app.py", "def f() -> None:\n" + "    g()\n" * 71),
    style.module_without_docstring: ("services/a/app.py", "x = 1\n"),
    style.public_without_docstring: (
        "shared/a.py",
        "class A:\n    '''a'''\n    def f(self) -> None: ...\n",
    ),
    style.test_without_rule: ("tests/test_a.py", "def test_a() -> None:\n    assert 1\n"),
    style.float_of_money: ("shared/a.py", "x = float(line.amount)\n"),
    style.clock_read: ("services/a/handlers.py", "import datetime\nx = datetime.date.today()\n"),
    style.impure_rule: ("services/a/b/rules/c.py", "from shared import clock\n"),
    style.sql_in_the_wrong_file: ("services/a/handlers.py", "x = 'SELECT a FROM b'\n"),
    style.vague_name: ("services/a/rules.py", "class InvoiceManager: ...\n"),
    style.left_for_later: ("services/a/rules.py", "# TO" + "DO: later\n"),
    style.swallowed_error: ("services/a/app.py", "try:\n    f()\nexcept Exception:\n    pass\n"),
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_rule_can_fail(rule: Any) -> None:
    """Each rule finds something in a file that violates it."""
    path, text = BROKEN[rule]
    assert list(rule(Source(path, text))), f"{rule.__name__} does not find its violation"


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (
            style.float_of_money,
            "shared/a.py",
            "x = float(seconds)\nGAUGE.labels('a').set(float(line.amount))\n",
        ),
        (style.sql_in_the_wrong_file, "services/a/store.py", "x = 'SELECT a FROM b'\n"),
        (
            style.sql_in_the_wrong_file,
            "services/a/app.py",
            "def f() -> None:\n    '''SELECT a FROM b'''\n",
        ),
        (style.clock_read, "shared/clock.py", "x = datetime.now(UTC)\n"),
        (style.too_long, "shared/a.py", "x = 1\n" * 400),
        (style.too_long, "services/arg_sync/ledgers/a.py", "x = 1\n" * 600),
    ],
)
def test_each_rule_lets_pass_what_is_right(rule: Any, path: str, text: str) -> None:
    """No rule reports what is right."""
    assert not list(rule(Source(path, text)))


def test_duplicate_classes_and_sql_files_can_fail() -> None:
    """Two classes of one name, a long line, and a query without a name or description are found."""
    one, two, other = (
        Source(path, "class A: ...\n")
        for path in ("services/a/b/rules.py", "services/a/c/rules.py", "services/d/rules.py")
    )
    assert len(list(style.duplicate_classes([one, two, other]))) == 1
    assert not list(style.duplicate_classes([one, other]))
    right = "-- name: a\n-- Selects one.\nSELECT 1\n"
    assert not list(style.sql_file("services/a/store/b.sql", right))
    for wrong in (
        right + "-- " + "x" * 98,
        "-- name: a\nSELECT 1\n",
        "-- name: a\n-- name: b\n-- Selects one.\nSELECT 1\n",
        "SELECT 1\n",
    ):
        assert list(style.sql_file("services/a/store/b.sql", wrong)), wrong


@pytest.mark.parametrize("service", LAYOUT)
def test_every_service_has_the_documented_layout(service: str) -> None:
    """A service is its features, and each feature consists of `rules`, `store` and `handlers`."""
    folder = ROOT / "services" / service
    found = _names(folder)
    assert found == LAYOUT[service], (
        f"services/{service} and the layout differ in {sorted(found ^ LAYOUT[service])}:"
        " move it, or change the layout here, in the import contracts and in the documentation"
    )
    if service == "console":
        return
    for feature in sorted(path for path in folder.iterdir() if (path / "__init__.py").exists()):
        name = f"{service}/{feature.name}"
        more = _names(feature) - PARTS
        assert not more or name in WITHOUT_PARTS or feature.name in PARTS, (
            f"services/{name} has {sorted(more)}: a feature consists of {sorted(PARTS)}"
        )


@pytest.mark.parametrize("service", LAYOUT)
def test_every_service_describes_itself(service: str) -> None:
    """The docstring of a service lists what it owns, consumes, publishes, and its invariants."""
    module = ROOT / "services" / service / "__init__.py"
    text = (ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or "").lower()
    missing = [word for word in DESCRIBED if word not in text]
    assert not missing, f"the docstring of services/{service}/__init__.py lacks: {missing}"


def test_shared_has_only_the_packages_of_the_layout() -> None:
    """A package is in `shared` if two services need it or people use it, and is listed here."""
    found = _names(ROOT / "shared")
    assert found == SHARED, (
        f"shared and the layout differ in {sorted(found ^ SHARED)}: list it here, or move it"
    )


def test_the_readme_is_complete_without_other_sources() -> None:
    """A reader has only this repository: no path of a machine and no number of an issue."""
    for at, line in enumerate((ROOT / "README.md").read_text(encoding="utf-8").splitlines(), 1):
        assert not re.search(r"/work/|/home/\w|/root/|\.\./shared\b", line), (
            f"README.md:{at} names a path outside the repository: {line}"
        )
        assert not re.search(r"\bissues?\s+#?\d", line, re.IGNORECASE), (
            f"README.md:{at} names the number of an issue: {line}"
        )
