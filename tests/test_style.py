"""The house is kept: every file obeys the style rules of `tests/style.py`, every rule can fail, and the layout is the one everybody knows."""

import ast
from pathlib import Path
from typing import Any

import pytest

from tests import style
from tests.style import RULES, Source

ROOT = Path(__file__).parents[1]
SERVICES = ("fee_realizer", "scheduler", "invoicer", "arg_sync", "console")
ROOMS = {"rules", "store", "handlers", "app"}
OWN_ROOMS = {
    "arg_sync": {
        "app",
        "subscriptions",
        "connections",
        "deliveries",
        "payments",
        "reconciliation",
        "ledgers",
    },
    "fee_realizer": {"app", "facts", "companies", "catalog", "requirements", "sources", "rates"},
    "scheduler": {"app", "due_lines"},
}
CONSOLE_ROOMS = {
    "actions", "addresses", "cli", "files", "importing", "queries", "sample", "web"
}  # fmt: skip
SHARED = {
    "money", "calendar", "clock", "errors", "terms", "events", "settings", "telemetry", "faults", "database", "consumer", "broker", "render",
    "verify", "migrations", "stack", "dashboards", "sealing", "sql", "stored",
}  # fmt: skip
ONLY_IN_PRODUCT = {style.public_without_docstring, style.float_of_money, style.swallowed_error}


def _sources(*folders: str) -> list[Source]:
    paths = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return [Source(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")) for path in paths]


PRODUCT = _sources("services", "shared")
TESTS = _sources("tests")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_file_obeys(rule: Any) -> None:
    """Each failure names file and line and says what to do about it."""
    sources = PRODUCT if rule in ONLY_IN_PRODUCT else [*PRODUCT, *TESTS]
    found = [f"{source.path}:{line}: {words}" for source in sources for line, words in rule(source)]
    assert not found, f"{rule.__doc__}\n" + "\n".join(found)


BROKEN = {
    style.too_long: ("services/a/app.py", "def f() -> None:\n" + "    g()\n" * 71),
    style.module_without_card: ("services/a/app.py", "x = 1\n"),
    style.public_without_docstring: (
        "shared/a.py",
        "class A:\n    '''a'''\n    def f(self) -> None: ...\n",
    ),
    style.test_without_rule: ("tests/test_a.py", "def test_a() -> None:\n    assert 1\n"),
    style.float_of_money: ("shared/a.py", "x = float(line.amount)\n"),
    style.clock_read: ("services/a/handlers.py", "import datetime\nx = datetime.date.today()\n"),
    style.impure_rule: ("services/a/rules/b.py", "from shared import clock\n"),
    style.sql_in_the_wrong_room: ("services/a/handlers.py", "x = 'SELECT a FROM b'\n"),
    style.vague_name: ("services/a/rules.py", "class InvoiceManager: ...\n"),
    style.left_for_later: ("services/a/rules.py", "# TO" + "DO: later\n"),
    style.swallowed_error: ("services/a/app.py", "try:\n    f()\nexcept Exception:\n    pass\n"),
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_rule_can_fail(rule: Any) -> None:
    """A rule that finds nothing in a file made to break it proves nothing."""
    path, text = BROKEN[rule]
    assert list(rule(Source(path, text))), f"{rule.__name__} does not find what breaks it"


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (
            style.float_of_money,
            "shared/a.py",
            "x = float(seconds)\nGAUGE.labels('a').set(float(line.amount))\n",
        ),
        (style.sql_in_the_wrong_room, "services/a/store.py", "x = 'SELECT a FROM b'\n"),
        (
            style.sql_in_the_wrong_room,
            "services/a/app.py",
            "def f() -> None:\n    '''SELECT a FROM b'''\n",
        ),
        (style.clock_read, "shared/clock.py", "x = datetime.now(UTC)\n"),
        (style.too_long, "shared/a.py", "x = 1\n" * style.LINES_OF_A_FILE),
    ],
)
def test_what_a_rule_lets_pass(rule: Any, path: str, text: str) -> None:
    """What is right is left alone."""
    assert not list(rule(Source(path, text)))


@pytest.mark.parametrize("service", SERVICES)
def test_who_has_read_one_service_has_read_four(service: str) -> None:
    """A card (owns, does not own, hears, says, invariants) and the same four rooms; nothing lies in the corridor."""
    folder = ROOT / "services" / service
    card = (ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or "").lower()
    rooms = {
        path.stem
        for path in folder.iterdir()
        if path.name not in ("__init__.py", "__main__.py", "__pycache__")
    }
    allowed = CONSOLE_ROOMS if service == "console" else OWN_ROOMS.get(service, ROOMS)
    assert rooms <= allowed, (
        f"services/{service} has {sorted(rooms - allowed)}: the rooms are {sorted(allowed)}"
    )
    words = (
        ("own",)
        if service == "console"
        else ("owns", "does not own", "consumes", "publishes", "invariants")
    )
    missing = [word for word in words if word not in card]
    assert not missing, (
        f"the card in services/{service}/__init__.py does not say what it {missing}: owns, does not own, hears, says, invariants"
    )
    assert service == "console" or rooms == allowed, (
        f"services/{service} lacks {sorted(allowed - rooms)}"
    )


def test_shared_has_no_corner_for_leftovers() -> None:
    """A package enters shared only if two services need it or it serves people, and it is on the list of the layout."""
    found = {
        path.stem
        for path in (ROOT / "shared").iterdir()
        if path.name not in ("__init__.py", "__pycache__")
    }
    assert found == SHARED, (
        f"shared and the layout differ in {sorted(found ^ SHARED)}: name it here and in the README, or move it"
    )
