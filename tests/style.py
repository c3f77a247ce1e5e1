"""The rules of style that a program can check: each maps one source file to its violations.

What ruff, mypy and import-linter check (lint, types, imports) is not repeated here.
"""

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

LINES_OF_A_FILE = (
    (re.compile(r"services/arg_sync/ledgers/\w+\.py"), 600),
    (re.compile(r"tests/"), 550),
    (re.compile(r""), 400),
)
"""The first pattern that matches a path sets its limit.

An adapter holds one conversation with one vendor, which is easier to read in one file. A module of
tests is a list of independent cases.
"""
LINES_OF_A_FUNCTION = 70
COLUMNS_OF_SQL = 100
NO_IO = (
    "sqlalchemy",
    "asyncpg",
    "faststream",
    "aiokafka",
    "httpx",
    "socket",
    "asyncio",
    "shared.clock",
    "shared.database",
    "shared.settings",
)
RULE_FILES = re.compile(
    r"services/\w+/(\w+/)?(\w+_)?rules(\.py|/)|shared/(money|calendar|errors|terms)\.py"
)
SQL_FILES = re.compile(
    r"services/\w+/(\w+/)?store(\.py|/)|services/console/queries/|tests/"
    r"|shared/(database\.py|verify/|migrations/|stack/)"
    r"|shared/consumer/(tables|stopped_partitions|unit_of_work|forgetting)\.py"
)
SQL = re.compile(
    r"\b(SELECT\s.+\sFROM|INSERT\s+INTO|UPDATE\s+\w+(\.\w+)?\s+SET|DELETE\s+FROM|TRUNCATE\s+\w|SET\s+TRANSACTION|SELECT\s+pg_\w+)\b",
    re.DOTALL,
)
WRITES = re.compile(r"\b(INSERT\s+INTO|UPDATE\s+\w+(\.\w+)?\s+SET|DELETE\s+FROM)\b")
CONSOLE_READS = re.compile(r"services/console/(?!sessions/)")
"""The console writes its sessions, and nothing else."""
VAGUE = re.compile(r"manager|helper|util|processor", re.IGNORECASE)
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
CLOCK = {"date.today", "datetime.now", "datetime.utcnow", "datetime.today"}
CLOCK_FILES = re.compile(r"shared/(clock\.py|broker/producer\.py|stack/)|tests/")
MONEY = re.compile(r"amount|price|\bnet\b|tax|total|hours|quantity|salary|percent", re.IGNORECASE)

Violations = Iterator[tuple[int, str]]


@dataclass(frozen=True)
class Source:
    """One file: its path from the root, its text, and parts of its syntax tree."""

    path: str
    text: str

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Every node of the tree."""
        return list(ast.walk(ast.parse(self.text)))

    @cached_property
    def functions(self) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Every function."""
        return [
            node for node in self.nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]

    @cached_property
    def strings(self) -> list[ast.Constant]:
        """Every string that is not a docstring."""
        holders = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        words = {
            id(node.body[0].value)
            for node in self.nodes
            if isinstance(node, holders) and node.body and isinstance(node.body[0], ast.Expr)
        }
        return [
            node
            for node in self.nodes
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in words
        ]


def too_long(source: Source) -> Violations:
    """A file can be read in one sitting, and a function fits on one screen."""
    lines = source.text.count("\n")
    most = next(limit for pattern, limit in LINES_OF_A_FILE if pattern.match(source.path))
    if lines > most:
        yield 1, f"{lines} lines, over {most}: split it by what each part owns"
    for function in source.functions:
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        if lines > LINES_OF_A_FUNCTION:
            yield (
                function.lineno,
                f"{function.name} has {lines} lines, over {LINES_OF_A_FUNCTION}: name its steps",
            )


def module_without_docstring(source: Source) -> Violations:
    """A module opens with what it owns and why."""
    if source.text.strip() and not ast.get_docstring(ast.parse(source.text)):
        yield 1, "no docstring: state what the module owns and why"


def public_without_docstring(source: Source) -> Violations:
    """What others use is described: functions and classes of a module, methods of a base class."""
    body = ast.parse(source.text).body
    methods = [
        node
        for holder in body
        if isinstance(holder, ast.ClassDef) and not holder.bases and not holder.name.startswith("_")
        for node in holder.body
    ]
    for node in [*body, *methods]:
        public = isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        ) and not node.name.startswith("_")
        if public and not ast.get_docstring(node):  # type: ignore[arg-type]
            name = node.name  # type: ignore[attr-defined]
            yield node.lineno, f"{name} has no docstring: state what it gives and when it refuses"


def test_without_rule(source: Source) -> Violations:
    """A test's docstring states the rule that the test proves."""
    for function in source.functions:
        if function.name.startswith("test_") and not ast.get_docstring(function):
            yield (
                function.lineno,
                f"{function.name} has no docstring: state the rule that it proves",
            )


def float_of_money(source: Source) -> Violations:
    """Money and hours are Decimal, because a float loses cents.

    A Prometheus gauge holds floats, so `.labels(...)` of a metric may take one.
    """
    for_metrics = {
        id(value)
        for node in source.nodes
        if isinstance(node, ast.Call) and ".labels(" in ast.unparse(node.func)
        for value in node.args
    }
    for node in source.nodes:
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args):
            continue
        if (
            node.func.id == "float"
            and MONEY.search(ast.unparse(node.args[0]))
            and id(node) not in for_metrics
        ):
            yield (
                node.lineno,
                f"converts {ast.unparse(node.args[0])} to float: money and hours are Decimal",
            )
        if (
            node.func.id == "Decimal"
            and isinstance(node.args[0], ast.Constant)
            and isinstance(node.args[0].value, float)
        ):
            yield node.lineno, "converts a float to Decimal: write the digits as a string"


def clock_read(source: Source) -> Violations:
    """Today is an argument: only shared/clock.py reads the clock.

    The producer may, for the timestamp of a message, which no rule reads.
    """
    if CLOCK_FILES.match(source.path):
        return
    for node in source.nodes:
        if isinstance(node, ast.Attribute) and ".".join(ast.unparse(node).split(".")[-2:]) in CLOCK:
            yield (
                node.lineno,
                f"reads {ast.unparse(node)}: take today as an argument, or use shared.clock",
            )


def impure_rule(source: Source) -> Violations:
    """Rules import no I/O, no clock, no SQLAlchemy, no FastStream, and are not async."""
    if not RULE_FILES.match(source.path):
        return
    for node in source.nodes:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            if any(name == banned or name.startswith(banned + ".") for banned in NO_IO):
                yield node.lineno, f"imports {name}: a rule takes values as arguments"  # type: ignore[attr-defined]
        if isinstance(node, ast.AsyncFunctionDef):
            yield node.lineno, f"{node.name} is async: a rule is a plain function"


def sql_in_the_wrong_file(source: Source) -> Violations:
    """SQL only in stores, `shared` packages that own tables, and the queries of the console."""
    for node in source.strings:
        text = str(node.value)
        if SQL.search(text) and not SQL_FILES.match(source.path):
            yield (
                node.lineno,
                f"has SQL ({text.strip()[:40]!r}): move it to a named query in a store",
            )
        if WRITES.search(text) and CONSOLE_READS.match(source.path):
            yield node.lineno, "the console writes a table: send a command instead"


def vague_name(source: Source) -> Violations:
    """No manager, helper, util or processor: a name states what a thing is."""
    if VAGUE.search(source.path):
        yield 1, "a vague file name: name the file after what it owns"
    for node in source.nodes:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and VAGUE.search(
            node.name
        ):
            yield node.lineno, f"{node.name} is vague: name it after what it is or does"


def left_for_later(source: Source) -> Violations:
    """Work to be done is in the issue tracker, not in a comment."""
    for at, line in enumerate(source.text.splitlines(), 1):
        if UNFINISHED.search(line):
            yield at, "leaves work for later: do it, or open an issue"


def swallowed_error(source: Source) -> Violations:
    """An `except` that ignores every error without logging hides defects."""
    for node in source.nodes:
        if isinstance(node, ast.ExceptHandler):
            everything = node.type is None or (
                isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")
            )
            if everything and all(
                isinstance(statement, ast.Pass | ast.Continue) for statement in node.body
            ):
                yield node.lineno, "ignores every error: name the expected ones, or log them"


def duplicate_classes(sources: Iterable[Source]) -> Iterator[str]:
    """Within a service no two classes share a bare name: a search for it finds one definition."""
    places: dict[tuple[str, str], list[str]] = {}
    for source in sources:
        top, service, *_ = source.path.split("/")
        if top != "services":
            continue
        for node in source.nodes:
            if isinstance(node, ast.ClassDef):
                place = f"{source.path}:{node.lineno}"
                places.setdefault((service, node.name), []).append(place)
    for (_, name), several in sorted(places.items()):
        if len(several) > 1:
            yield f"{several[0]}: class {name} is also in {', '.join(several[1:])}: rename one"


def sql_file(path: str, text: str) -> Violations:
    """Lines of an SQL file are short, and each named query has a line that describes it."""
    lines = text.splitlines()
    for at, line in enumerate(lines, 1):
        if len(line) > COLUMNS_OF_SQL:
            yield at, f"{len(line)} columns, over {COLUMNS_OF_SQL}: break the line"
        if line.startswith("-- name:") and not re.match(
            r"-- (?!name:)\w", "".join(lines[at : at + 1])
        ):
            yield at, f"{line[3:]} has no description: add one comment line below it"
    if "/migrations/" not in path and "-- name:" not in text:
        yield 1, "names no query: write `-- name: ...` and a description above each"


RULES: tuple[Callable[[Source], Violations], ...] = (
    too_long,
    module_without_docstring,
    public_without_docstring,
    test_without_rule,
    float_of_money,
    clock_read,
    impure_rule,
    sql_in_the_wrong_file,
    vague_name,
    left_for_later,
    swallowed_error,
)
