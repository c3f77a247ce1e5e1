"""One word for each thing: no file uses a word of `tests/vocabulary.py`, and each entry can fail.

`python -m tests.vocabulary services` lists what is found below a path.
"""

from fnmatch import fnmatch

import pytest

from tests.vocabulary import (
    ALLOWED,
    IDENTIFIERS,
    PHRASES,
    PLACES,
    Finding,
    Phrase,
    files,
    findings,
    is_allowed,
)


@pytest.fixture(scope="module")
def found() -> list[Finding]:
    """Everything that is on a list, allowed or not."""
    return [one for path, text in files(*PLACES) for one in findings(path, text)]


def test_no_file_uses_a_banned_word(found: list[Finding]) -> None:
    """Each failure names file, line, word and the word to use instead."""
    wrong = [one for one in found if not is_allowed(one)]
    assert not wrong, f"{len(wrong)} words to replace:\n" + "\n".join(map(str, wrong))


def test_each_exception_is_still_needed(found: list[Finding]) -> None:
    """Each exception has a reason, and one that no file needs any more is removed."""
    needed = {
        entry
        for entry in ALLOWED
        if any(one.word == entry.word and fnmatch(one.path, entry.files) for one in found)
    }
    assert set(ALLOWED) == needed
    assert all(entry.reason for entry in ALLOWED)


@pytest.mark.parametrize("word", IDENTIFIERS)
def test_each_banned_identifier_is_found(word: str) -> None:
    """A name is found wherever Python or SQL can have it, in a key, and as the name of a file."""
    texts = {
        "a.py": [
            f"{word} = 1\n",
            f"class {word}: ...\n",
            f"async def f({word}: int) -> None: ...\n",
            f"import a as {word}\n",
            f"f({word}=a.b)\n",
            f"f(a.{word}.b)\n",
            f'a["{word}"] = 1\n',
            f'q = "SELECT a.{word} FROM a"\n',
            f'q = f"{{a.{word}}} b"\n',
        ],
        "a.sql": [f"CREATE TABLE {word} (a int);\n"],
        f"{word}.py": [""],
    }
    missed = [
        text
        for path, several in texts.items()
        for text in several
        if (path, word) not in {(one.path, one.word) for one in findings(path, text)}
    ]
    assert not missed


@pytest.mark.parametrize("phrase", PHRASES, ids=lambda phrase: phrase.pattern)
def test_each_banned_phrase_is_found(phrase: Phrase) -> None:
    """A phrase is found in docstrings, comments, messages and documents, also over a line break."""
    example = phrase.example
    broken = example.replace(" ", "\n")
    texts = [
        ("a.py", f'"""{example}"""\n'),
        ("a.py", f'"""{broken}"""\n'),
        ("a.py", f"# {example}\n"),
        ("a.py", "".join(f"# {word}\n" for word in example.split())),
        ("a.py", f'f(f"{{x}} {example}")\n'),
        ("a.sql", f"SELECT 1 -- {example}\n"),
        ("a.md", example),
        ("a.md", broken),
    ]
    missed = [
        text for path, text in texts if phrase.use not in {one.use for one in findings(path, text)}
    ]
    assert not missed


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.py", '"""Settle a realization that was consumed twice; QuickBooks is a ledger."""\n'),
        ("a.py", "# Dead letters keep the rate books; three capital letters name a currency.\n"),
        ("a.py", 'heard_by = {"x-heard": 1}\n'),
        ("a.sql", "SELECT unsaid_count FROM outbox\n"),
        ("a.md", "The warehouse has a storeroom; a broad understanding; what it stands for."),
    ],
)
def test_what_is_let_pass(path: str, text: str) -> None:
    """Only whole words count, and a word that has a right use in its context is left alone."""
    assert not findings(path, text)


def test_a_finding_says_where_and_what_to_write() -> None:
    """The line is that of the word, not that of the block of text in which it is."""
    (one,) = findings("services/a.py", 'x = 1\n"""A document.\n\nIt hears.\n"""\n')
    assert str(one) == "services/a.py:4: hears -> consumes"
