"""Rewrite the expected output of all examples: `python -m tests.docs.refresh`.

Only what no longer matches is replaced: a line by the printed line that is most like it, or the
whole output if that is not enough. A `...` inside a replaced line is lost; read the difference
before you commit it, and put `...` back where a part varies.
"""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from tests.docs.examples import (
    ANY,
    DemoStack,
    demo_stack,
    examples_of,
    matches,
    pages_with_examples,
)

LEAST_LIKENESS = 0.5


def refreshed(expected: Sequence[str], output: str) -> list[str]:
    """The output to show: lines that still match stay as they are, others are replaced."""
    found = [line.rstrip() for line in output.splitlines()]
    new: list[str] = []
    for line in expected:
        if line.strip() == ANY or any(matches([line], one) for one in found):
            new.append(line)
        else:
            new += get_close_matches(line, found, 1, LEAST_LIKENESS)
    is_specific = any(line.strip() != ANY for line in new)
    return new if is_specific and matches(new, output) else found


def refresh_page(page: Path, stack: DemoStack) -> None:
    """Run the examples of a page and write it anew if one of them changed."""
    lines = page.read_text(encoding="utf-8").splitlines()
    new = [(one, refreshed(one.expected, stack.run(one.command))) for one in examples_of(page)]
    for example, output in reversed(new):
        if list(example.expected) != output:
            print(f"changed: {example.name}")
            lines[example.first : example.end] = output
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    with demo_stack() as running:
        for each in pages_with_examples():
            refresh_page(each, running)
