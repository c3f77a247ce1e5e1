"""The documentation shows what the program prints, its links lead somewhere, its lines are
short.
"""

import json
import re
import shutil
import time
from pathlib import Path

import pytest

from tests.docs.examples import (
    ANY,
    README,
    ROOT,
    DemoStack,
    demo_stack,
    examples_of,
    matches,
    pages_with_examples,
)
from tests.docs.refresh import refreshed

README_BYTES = 8_000
LINE = 100
LEAST_EXAMPLES = 10
KCAT_SECONDS = 60.0
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "services").rglob("*.md"),
    ]
)
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)(?:#[^)]*)?\)")
GENERATED = re.compile(r"<!-- made by .*?-->.*?<!-- end -->", re.DOTALL)


def _prose(text: str) -> list[tuple[int, str]]:
    """Line numbers and lines that are neither in a fence nor in a table nor generated."""
    text = GENERATED.sub(lambda found: "\n" * found[0].count("\n"), text)
    found, fenced = [], False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced and not line.lstrip().startswith("|"):
            found.append((number, line))
    return found


def test_kcat_chooses_the_partitions_that_other_clients_choose() -> None:
    """Without the option its commands of a company would lie on another partition than ours."""
    text = " ".join((ROOT / "docs/formats.md").read_text().replace("\\\n", "").splitlines())
    commands = re.findall(r"kcat -F [^|`]*? -P\b", text)
    assert commands
    assert all("-X topic.partitioner=murmur2_random" in command for command in commands)


def check_kcat(stack: DemoStack) -> None:
    """The example with kcat sends a command and reads its result, with the file of the page.

    With the file of an ATS the same command is denied.
    """
    text = (ROOT / "docs/formats.md").read_text()
    (block,) = [one for one in re.findall(r"```\n(.*?)```", text, re.DOTALL) if "kcat" in one]
    files = json.loads(stack.run("backoffice status --json"))["kafka_clients"]
    page = ".backoffice/kafka-clients/console.conf"
    send, read = block.replace(page, files["console"]).rsplit("\n", 2)[:2]
    assert "failed" in stack.run(send.replace(files["console"], files["ats"])).lower()
    stack.run(send)
    until = time.monotonic() + KCAT_SECONDS
    while "2026-10-acme-1 {" not in (output := stack.run(read)):
        assert time.monotonic() < until, output


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_example_prints_what_its_page_shows() -> None:
    """A command copied from a page gives, on the sample month, the output that the page shows."""
    examples = [one for page in pages_with_examples() for one in examples_of(page)]
    assert len(examples) >= LEAST_EXAMPLES
    vague = [one.name for one in examples if {line.strip() for line in one.expected} == {ANY}]
    assert not vague, f"these outputs say nothing, show at least one line of each: {vague}"
    wrong = []
    with demo_stack() as stack:
        for one in examples:
            output = stack.run(one.command)
            if not matches(one.expected, output):
                shown = "\n".join(one.expected)
                wrong.append(f"{one.name}\nthe page shows\n{shown}\nit prints\n{output}")
        if with_kcat := shutil.which("kcat") is not None:
            check_kcat(stack)
    assert not wrong, "\n\n".join([*wrong, "To rewrite them: python -m tests.docs.refresh"])
    if not with_kcat:
        pytest.skip("all examples are right but that of kcat, which is not installed here")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_that_exist(page: Path) -> None:
    """A relative link names a file or a folder of the repository."""
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing, f"{page.relative_to(ROOT)} links to {missing}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_lines_of_prose_are_short(page: Path) -> None:
    """Prose has at most 100 columns; tables, code and a link that fills a line may have more."""
    long = [
        f"{page.relative_to(ROOT)}:{number} has {len(line)} columns"
        for number, line in _prose(page.read_text(encoding="utf-8"))
        if len(line) > LINE and " " in line.strip()
    ]
    assert not long, "\n".join(long)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_stand_by_themselves(page: Path) -> None:
    """A reader elsewhere has only this repository: no path of a machine, no number of a ticket."""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        at = f"{page.relative_to(ROOT)}:{number}"
        path = re.search(r"/work/|/home/\w|/root/|/tmp/|\.\./shared/\w+\.md", line)
        assert not path, f"{at} names a path outside the repository: {line}"
        ticket = re.search(r"\bissues?\s+#?\d", line, re.IGNORECASE)
        assert not ticket, f"{at} names the number of a ticket: {line}"


def test_the_readme_is_short() -> None:
    """A newcomer reads the README in five minutes: at most 8 kB."""
    assert len(README.read_bytes()) <= README_BYTES


@pytest.mark.parametrize(
    ("expected", "output", "equal"),
    [
        (["a b"], "a b  \n", True),
        (["batch B...: 1 document"], "batch B20261122-9f: 1 document\n", True),
        (["first", "...", "last"], "first\n2\n3\nlast\n", True),
        (["first", "..."], "first\n", True),
        ([], "", True),
        (["a"], "a\nb\n", False),
        (["a"], "", False),
        (["total ... USD"], "total 5 EUR\n", False),
        (["1.5"], "1x5\n", False),
    ],
)
def test_outputs_are_compared_exactly_but_for_the_wildcard(
    expected: list[str], output: str, equal: bool
) -> None:
    """Only `...` stands for something else; every other character must be there."""
    assert matches(expected, output) is equal


@pytest.mark.parametrize(
    ("expected", "output", "new"),
    [
        (["batch B...: 1 document"], "batch B7: 1 document\n", ["batch B...: 1 document"]),
        (["...", "2 lines left"], "a\nb\n3 lines left\n", ["...", "3 lines left"]),
        (["total 5", "..."], "something else\nat all\n", ["something else", "at all"]),
        (["one", "two"], "one\n", ["one"]),
    ],
)
def test_a_refresh_replaces_only_what_no_longer_matches(
    expected: list[str], output: str, new: list[str]
) -> None:
    """Wildcards stay where they still match, and what is written matches what was printed."""
    assert refreshed(expected, output) == new
    assert matches(new, output)
