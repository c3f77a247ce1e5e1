"""The style rules of the house that a program can check, each a function from one source file to what breaks it there.

What ruff, mypy and import-linter check (lint, types, who imports whom) is not repeated here. Generated and foreign files are none of ours.
"""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

LINES_OF_A_FILE = 400
LINES_OF_A_FUNCTION = 70
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
RULE_ROOM = re.compile(
    r"services/\w+/(\w+/)?rules(\.py|/)|shared/(money|calendar|errors|terms)\.py"
)
SQL_ROOM = re.compile(
    r"services/\w+/(\w+/)?store(\.py|/)|services/console/queries/|shared/(database\.py|verify/|migrations/|stack/|consumer/(tables|unit_of_work)\.py)|tests/"
)
SQL = re.compile(
    r"\b(SELECT\s.+\sFROM|INSERT\s+INTO|UPDATE\s+\w+(\.\w+)?\s+SET|DELETE\s+FROM|TRUNCATE\s+\w|SET\s+TRANSACTION|SELECT\s+pg_\w+)\b",
    re.DOTALL,
)
WRITES = re.compile(r"\b(INSERT\s+INTO|UPDATE\s+\w+(\.\w+)?\s+SET|DELETE\s+FROM)\b")
VAGUE = re.compile(r"manager|helper|util|processor", re.IGNORECASE)
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
CLOCK = {"date.today", "datetime.now", "datetime.utcnow", "datetime.today"}
CLOCK_ROOM = re.compile(r"shared/(clock\.py|broker/producer\.py|stack/)|tests/")
MONEY = re.compile(r"amount|price|\bnet\b|tax|total|hours|quantity|salary|percent", re.IGNORECASE)

Found = Iterator[tuple[int, str]]


@dataclass(frozen=True)
class Source:
    """One file: its path from the root, its text, its syntax tree with the tree of its functions and classes."""

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


def too_long(source: Source) -> Found:
    """A file is read in one sitting, a function is one screen."""
    lines = source.text.count("\n")
    if lines > LINES_OF_A_FILE:
        yield (
            1,
            f"{lines} lines, over {LINES_OF_A_FILE}: make it a folder of nouns, each file with one thing to own",
        )
    for function in source.functions:
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        if lines > LINES_OF_A_FUNCTION:
            yield (
                function.lineno,
                f"{function.name} has {lines} lines, over {LINES_OF_A_FUNCTION}: give its steps names",
            )


def module_without_card(source: Source) -> Found:
    """A module opens with what it owns and why."""
    if source.text.strip() and not ast.get_docstring(ast.parse(source.text)):
        yield 1, "no docstring: say what the module owns and why"


def public_without_docstring(source: Source) -> Found:
    """What others may use says what it does: functions and classes of a module, and methods of a class that extends no other."""
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
            yield (
                node.lineno,
                f"{node.name} has no docstring: one message, what it gives and when it refuses",
            )  # type: ignore[attr-defined]


def test_without_rule(source: Source) -> Found:
    """A test's docstring states the rule in the field's words."""
    for function in source.functions:
        if function.name.startswith("test_") and not ast.get_docstring(function):
            yield function.lineno, f"{function.name} has no docstring: state the rule that it holds"


def float_of_money(source: Source) -> Found:
    """Money and hours are Decimal: a float loses cents. A gauge knows no decimals, so `.labels(...)` of a metric may take one."""
    lines = source.text.splitlines()
    for node in source.nodes:
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args):
            continue
        if (
            node.func.id == "float"
            and MONEY.search(ast.unparse(node.args[0]))
            and ".labels(" not in lines[node.lineno - 1]
        ):
            yield (
                node.lineno,
                f"makes a float of {ast.unparse(node.args[0])}: money and hours are Decimal",
            )
        if (
            node.func.id == "Decimal"
            and isinstance(node.args[0], ast.Constant)
            and isinstance(node.args[0].value, float)
        ):
            yield node.lineno, "makes a Decimal of a float: write the digits as a string"


def clock_read(source: Source) -> Found:
    """Today is an argument: only shared/clock.py reads it (the time stamp of a message is for people, no rule reads it)."""
    if CLOCK_ROOM.match(source.path):
        return
    for node in source.nodes:
        if isinstance(node, ast.Attribute) and ".".join(ast.unparse(node).split(".")[-2:]) in CLOCK:
            yield (
                node.lineno,
                f"reads {ast.unparse(node)}: take today as an argument, from shared.clock in a handler or app",
            )


def impure_rule(source: Source) -> Found:
    """Rules import no I/O, no clock, no SQLAlchemy, no FastStream, and wait for nothing."""
    if not RULE_ROOM.match(source.path):
        return
    for node in source.nodes:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            if any(name == banned or name.startswith(banned + ".") for banned in NO_IO):
                yield node.lineno, f"imports {name}: a rule takes values"  # type: ignore[attr-defined]
        if isinstance(node, ast.AsyncFunctionDef):
            yield node.lineno, f"{node.name} is async: a rule waits for nothing"


def sql_in_the_wrong_room(source: Source) -> Found:
    """SQL only in store, shared/database, shared/verify, migrations, the protocol, and console/queries, which selects."""
    for node in source.strings:
        text = str(node.value)
        if SQL.search(text) and not SQL_ROOM.match(source.path):
            yield (
                node.lineno,
                f"holds SQL ({text.strip()[:40]!r}): put it into the store and give it a name",
            )
        if WRITES.search(text) and source.path.startswith("services/console/"):
            yield node.lineno, "the console writes a table: send a command instead"


def vague_name(source: Source) -> Found:
    """No manager, helper, util, processor: a name says what a thing is."""
    if VAGUE.search(source.path):
        yield 1, "a vague name of a file: name it after what it owns"
    for node in source.nodes:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and VAGUE.search(
            node.name
        ):
            yield node.lineno, f"{node.name}: name it after what it is or does in the field's words"


def left_for_later(source: Source) -> Found:
    """What is to be done is planned where work is planned, not in a comment that nobody reads."""
    for at, line in enumerate(source.text.splitlines(), 1):
        if UNFINISHED.search(line):
            yield at, "leaves something for later: do it, or plan it"


def swallowed_error(source: Source) -> Found:
    """An `except` that swallows everything without a word hides bugs."""
    for node in source.nodes:
        if isinstance(node, ast.ExceptHandler):
            everything = node.type is None or (
                isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")
            )
            if everything and all(
                isinstance(statement, ast.Pass | ast.Continue) for statement in node.body
            ):
                yield node.lineno, "swallows every error: name those that may be, or say them"


RULES: tuple[Callable[[Source], Found], ...] = (
    too_long,
    module_without_card,
    public_without_docstring,
    test_without_rule,
    float_of_money,
    clock_read,
    impure_rule,
    sql_in_the_wrong_room,
    vague_name,
    left_for_later,
    swallowed_error,
)
