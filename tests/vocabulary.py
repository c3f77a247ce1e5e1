"""The words that this project does not use, each with the word to use instead.

`python -m tests.vocabulary services docs` prints what is found below these paths.

Two lists: identifiers (exact names of Python, SQL, files and keys) and phrases in prose
(docstrings, comments, messages, help, documentation). Words with several legitimate meanings are
left to the reviewer. A new entry needs the word to use; a phrase also a text that has it.
"""

import ast
import io
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLACES = ("services", "shared", "tests", "docs", "README.md", "CONTRIBUTING.md")
SUFFIXES = (".py", ".sql", ".md")
HISTORY = ("docs/reference/renames.md", "tests/vocabulary.py")
"""The table of old and new names, and this list."""

IDENTIFIERS = {
    # messaging and processing
    "Lane": "Subscription",
    "LANE": "SUBSCRIPTION",
    "LANES": "SUBSCRIPTIONS",
    "lane": "subscription",
    "lanes": "subscriptions",
    "Desk": "CommandDispatcher",
    "DESK": "DISPATCHER",
    "desk": "dispatcher",
    "Books": "UnitOfWork, or HealthSnapshot",
    "books": "unit_of_work, or snapshot",
    "books_of": "unit_of_work_for",
    "SAYS": "MESSAGE_BUILDERS",
    "SAID": "PUBLISHED",
    "HEARD": "CONSUMED",
    "HEARING": "OWNERS",
    "hear": "consume",
    "hears": "consumes",
    "heard": "consumed, or received",
    "heard_at": "received_at",
    "heard_document": "received_document",
    "hearing": "consuming",
    "told": "published, or reported",
    "Chore": "BackgroundJob",
    "chore": "job",
    "chores": "jobs",
    "Outgoing": "OutgoingMessage",
    "unsaid": "outbox",
    "Unsaid": "Outbox",
    "UNSAID": "OUTBOX",
    "UnsaidId": "OutboxId",
    "add_unsaid": "update_outbox",
    "say_left": "publish_pending",
    "parcel": "chunk",
    "parcels": "chunks",
    "world_is_away": "infrastructure_unavailable",
    "letter": "dead_letter, or character",
    "letters": "dead_letters, or characters",
    "Sentence": "MessageText",
    "sentence": "message",
    "sentences": "messages",
    "hold_sentence": "hold_message",
    "mend": "fix",
    "mended": "fixed",
    "hold_to": "require_digest",
    "held_to": "require_digest",
    "bug": "unexpected_error",
    "beside": "run_in_thread",
    # pricing and settlement
    "Worth": "QuantityAmount, or PricingResult",
    "worth_of": "value_of",
    "Known": "PriorState",
    "Priced": "PricingOutput",
    "Standing": "DocumentState",
    "Spot": "InvoicedLine",
    "spot": "invoiced_line",
    "spots": "invoiced_lines",
    "Sited": "LocatedDebtors",
    "sited": "line_location",
    "out_no": "exclusion_reason",
    "picked": "selected_line",
    "apart": "credit_split",
    "statement_no": "realization_no",
    "statement_kind": "realization_kind",
    "StatementLine": "RealizationLine",
    "NewStatement": "NewRealization",
    "statements_in_flight": "realizations_in_flight",
    "latest_statement": "latest_realization",
    "job_order": "requirement",
    "sheet_id": "source_id",
    # batches
    "Wish": "BatchRequest",
    "Narrowing": "BatchFilter",
    "narrowing": "batch_filter",
    "Decided": "DebtorDecisions",
    "Built": "BatchPlan",
    "company_card": "billing_company_settings",
    "batch_parked": "parked_debtor",
    "billed_key": "invoiced_line_key",
    # delivery
    "Port": "LedgerAdapter",
    "Plugged": "OpenAdapter",
    "plugged": "open_adapter",
    "PortBook": "AdapterPool",
    "Vault": "SecretStore",
    "vault": "secret_store",
    "Keyed": "FrozenRequest",
    "keyed": "frozen_request",
    "Taken": "ClaimedDelivery",
    "Chances": "Jitter",
    "chances": "jitter",
    "Clockwork": "Loop",
    "doubt": "outcome_unknown",
    "troubled_since": "failing_since",
    # console and tests
    "asking": "send_command",
    "telling": "demo_report",
    "Road": "InProcess",
    "road": "in_process",
    "Arena": "RaceHarness",
    "arena": "race_harness",
    "ground": "setup",
    "Poison": "BadMessage",
    "poison": "bad_message",
    "Planter": "FaultInjector",
    "planting": "fault_injection",
    "planted": "injected",
    "Toy": "Sample",
    "toy": "sample",
    "toys": "samples",
    "Playroom": "SampleService",
    "Ear": "RecordingProducer",
}
"""Python names, SQL names, names of files, and strings of one word (keys, codes), exactly."""


@dataclass(frozen=True)
class Phrase:
    """A phrase of prose: a pattern of whole words, what to write instead, a text that has it."""

    pattern: str
    use: str
    example: str


PHRASES = (
    Phrase(r"hears?", "consumes", "The invoicer hears invoice-closed."),
    Phrase(r"heard", "consumed, or received", "A message that was heard twice."),
    Phrase(r"unsaid", "in the outbox", "What is unsaid stays."),
    Phrase(r"say left|say_left", "publish pending messages", "Say left what remains."),
    Phrase(r"lanes?", "subscription", "Each lane has a topic."),
    Phrase(r"desks?", "command dispatcher", "The desk answers."),
    Phrase(r"chores?", "background job", "A chore runs each minute."),
    Phrase(r"parcels?", "chunk", "Ids in parcels."),
    Phrase(
        r"(?<!dead[-\s_])(?<!capital\s)letters?(?! (and|or) digits| case)",
        "dead letter, or character",
        "A letter that no one reads.",
    ),
    Phrase(r"mend(s|ed|ing)?", "fix", "How to mend it."),
    Phrase(r"sentences?", "message", "A sentence for people."),
    Phrase(
        r"worlds?",
        "the infrastructure (Kafka, PostgreSQL, a ledger)",
        "While the world is away.",
    ),
    Phrase(r"(no|a) bugs?", "unexpected error, or defect", "A bug stops the worker."),
    Phrase(r"nobody|somebody|whoever", "name who it is, or no one", "Nobody reads it."),
    Phrase(r"job orders?", "requirement", "A job order of a client."),
    Phrase(r"(?<!rate\s)(?<!accounting\s)books", "database, or tables", "It is in the books."),
    Phrase(r"roads?", "way, path or `in_process`", "The road to a document."),
    Phrase(r"house", "project, layout", "The rules of the house."),
    Phrase(r"rooms?", "package, or space", "The rooms of a service."),
    Phrase(r"corridors?", "package", "It lies in the corridor."),
    Phrase(r"arena", "race harness", "An arena for two workers."),
    Phrase(r"toys?", "sample", "The toy service."),
    Phrase(r"planted", "injected", "A planted fault."),
    Phrase(r"poison", "bad message", "A poison record."),
    Phrase(
        r"stands? (on|in|at|there|here|where|as|by|beside|above|below|behind|within|ready)",
        "is",
        "It stands in the table.",
    ),
    Phrase(r"by and by", "step by step", "It comes by and by."),
    Phrase(r"in vain", "without result", "It asked in vain."),
    Phrase(r"for good and all", "permanently", "Closed for good and all."),
    Phrase(r"by halves", "partly", "Never seen by halves."),
    Phrase(r"side by side", "at the same time", "Two run side by side."),
)
"""Compared without case, in docstrings, comments, strings of several words, and documentation."""


@dataclass(frozen=True)
class Allowed:
    """A word that is right in some files, and why."""

    files: str
    word: str
    reason: str


ALLOWED: tuple[Allowed, ...] = (
    Allowed("services/console/importing/cells.py", "letters", "letters and digits of a code"),
    Allowed("shared/sql.py", "sentence", "a sentence of prose, not a message"),
    Allowed("services/console/columns/rates.py", "books", "the column of rate books, a JSON key"),
    Allowed("tests/test_vocabulary.py", "hears", "the text of a finding, which a test compares"),
)
"""`word` is the identifier, or the text that a phrase matched in lower case."""


@dataclass(frozen=True)
class Finding:
    """A word that should not be there."""

    path: str
    line: int
    word: str
    use: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.word} -> {self.use}"


NAME_FIELDS = ("id", "attr", "name", "arg", "asname", "module", "rest")
SQL_WORD = re.compile(r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE|WITH|JOIN|FROM)\b")


def _strings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def _sql_names(first: int, text: str) -> Iterator[tuple[int, str]]:
    for at, line in enumerate(text.splitlines(), first):
        for word in re.findall(r"\w+", line.split("--")[0]):
            yield at, word


def names(path: str, text: str) -> Iterator[tuple[int, str]]:
    """Every identifier of a Python or SQL file with its line, and the name of the file itself."""
    yield 1, Path(path).stem
    if path.endswith(".sql"):
        yield from _sql_names(1, text)
    if not path.endswith(".py"):
        return
    tree = ast.parse(text)
    for node in ast.walk(tree):
        for name in (getattr(node, field, None) for field in NAME_FIELDS):
            if isinstance(name, str):
                line = getattr(node, "end_lineno" if isinstance(node, ast.Attribute) else "lineno")
                yield from ((line, part) for part in name.split("."))
    for line, value in _strings(tree):
        if SQL_WORD.search(value):
            yield from _sql_names(line, value)
        elif value.isidentifier():
            yield line, value


def _comments(path: str, text: str) -> Iterator[tuple[int, str]]:
    if path.endswith(".py"):
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string[1:]
    else:
        for at, line in enumerate(text.splitlines(), 1):
            if "--" in line:
                yield at, line.partition("--")[2]


def prose(path: str, text: str) -> Iterator[tuple[int, str]]:
    """The prose of a file in blocks, each with its first line; comments of adjacent lines are one.

    Of Markdown that is all, of SQL the comments, of Python comments, docstrings and strings.
    """
    if path.endswith(".md"):
        yield 1, text
        return
    numbered = enumerate(_comments(path, text))
    for _, adjacent in groupby(numbered, key=lambda found: found[1][0] - found[0]):
        block = [comment for _, comment in adjacent]
        yield block[0][0], "\n".join(words for _, words in block)
    if path.endswith(".py"):
        yield from (
            (line, value) for line, value in _strings(ast.parse(text)) if len(value.split()) > 1
        )


ONE_PATTERN = re.compile(
    r"(?<![\w-])(?:"
    + "|".join(f"(?P<p{at}>{phrase.pattern})" for at, phrase in enumerate(PHRASES)).replace(
        " ", r"\s+"
    )
    + r")(?![\w-])",
    re.IGNORECASE,
)


def findings(path: str, text: str) -> list[Finding]:
    """Everything in one file that is on a list, in the order of its lines, but what is allowed."""
    found = {
        Finding(path, line, name, IDENTIFIERS[name])
        for line, name in names(path, text)
        if name in IDENTIFIERS
    }
    for first, words in prose(path, text):
        for match in ONE_PATTERN.finditer(words):
            phrase = next(
                phrase for at, phrase in enumerate(PHRASES) if match[f"p{at}"] is not None
            )
            line = first + words.count("\n", 0, match.start())
            found.add(Finding(path, line, " ".join(match[0].lower().split()), phrase.use))
    return sorted(found, key=lambda one: (one.line, one.word))


def is_allowed(one: Finding) -> bool:
    """Whether the allow list names this word for this file."""
    return any(one.word == entry.word and fnmatch(one.path, entry.files) for entry in ALLOWED)


def files(*places: str) -> Iterator[tuple[str, str]]:
    """Path and text of every file below these places that is read for words."""
    for place in map(ROOT.joinpath, places):
        for path in [place] if place.is_file() else sorted(place.rglob("*")):
            name = str(path.relative_to(ROOT))
            if path.suffix in SUFFIXES and path.is_file() and name not in HISTORY:
                yield name, path.read_text(encoding="utf-8")


def main(places: list[str]) -> int:
    """Print the findings below each path, and how many each folder has."""
    found = [
        one
        for path, text in files(*(places or PLACES))
        for one in findings(path, text)
        if not is_allowed(one)
    ]
    print(*found, sep="\n")
    for folder, count in sorted(Counter(str(Path(one.path).parent) for one in found).items()):
        print(f"{count:6} {folder}")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main([place.rstrip("/") for place in sys.argv[1:]]))
