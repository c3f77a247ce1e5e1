"""Rewrite the expected output of all examples: `python -m tests.docs.refresh`.

Only an output that no longer matches is replaced, with what the command prints now. The tool
cannot know which parts vary, so it keeps a `...` only where the line around it still matches;
read the difference before you commit it, and put `...` back where it belongs.
"""

from pathlib import Path

from tests.docs.examples import (
    ANY,
    DemoStack,
    Example,
    demo_stack,
    examples_of,
    matches,
    pages_with_examples,
)


def refreshed(example: Example, output: str) -> list[str]:
    """The output to show: old lines that still match stay as they are, others are replaced."""
    if matches(example.expected, output):
        return list(example.expected)
    found = [line.rstrip() for line in output.splitlines()]
    if ANY in (line.strip() for line in example.expected):
        whole = [line for line in example.expected if line.strip() != ANY]
        kept = [line for line in whole if any(matches([line], one) for one in found)]
        return [*kept, ANY] if kept else found
    return [next((old for old in example.expected if matches([old], line)), line) for line in found]


def refresh_page(page: Path, stack: DemoStack) -> None:
    """Run the examples of a page and write it anew if one of them changed."""
    lines = page.read_text(encoding="utf-8").splitlines()
    new = [(one, refreshed(one, stack.run(one.command))) for one in examples_of(page)]
    for example, output in reversed(new):
        if list(example.expected) != output:
            print(f"changed: {example.name}")
            lines[example.first : example.end] = output
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    with demo_stack() as running:
        for each in pages_with_examples():
            refresh_page(each, running)
