"""No control character and no escape sequence reaches a terminal, whatever a text holds."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import typer

from services.console.cli import step_progress
from services.console.cli.output import Column, Screen
from services.console.cli.visible import CONTROL, run, visible, visible_json

HOSTILE = (
    "a\x1b[2J\x1b]0;t\x07b\x9b31mc\rd\x08\x7fe\u202ef\u2066g\ud800\u200b\U000e0041[red]h[/red]"
)
SHOWN = r"a\x1b[2J\x1b]0;t\x07b\x9b31mc\rd\x08\x7fe\u202ef\u2066g\ud800\u200b\U000e0041[red]h[/red]"
PRINTED = {
    "say": lambda screen: screen.say(HOSTILE),
    "aside": lambda screen: screen.aside(HOSTILE),
    "cell": lambda screen: screen.table([{"x": HOSTILE}], [Column("x", most=400)]),
    "head and title": lambda screen: screen.table(
        [{HOSTILE: 1}], [Column(HOSTILE)], title=f"title {HOSTILE}"
    ),
    "empty": lambda screen: screen.table([], [], empty=HOSTILE),
    "facts": lambda screen: screen.facts({HOSTILE: {"a": [HOSTILE]}}),
    "refusal": lambda screen: screen.no(HOSTILE, HOSTILE, HOSTILE),
}


@pytest.mark.parametrize("place", PRINTED)
def test_what_people_read_has_visible_escapes(
    place: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text, cells, heads, titles, facts and refusals; on a terminal only our own colours."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "300")
    show: Callable[[Screen], object] = PRINTED[place]
    with suppress(typer.Exit):
        show(Screen(as_json=False))
    text = re.sub(r"\x1b\[[0-9;]*m", "", "".join(capsys.readouterr()))
    assert not CONTROL.search(text)
    assert SHOWN in text


def test_json_is_the_same_document(capsys: pytest.CaptureFixture[str]) -> None:
    """The escapes are those of JSON: a program reads the text as it is stored."""
    Screen(as_json=True).document({HOSTILE: [HOSTILE]})
    text = capsys.readouterr().out
    assert not CONTROL.search(text)
    assert json.loads(text) == {HOSTILE: [HOSTILE]}
    assert json.loads(visible_json(json.dumps(HOSTILE, ensure_ascii=False))) == HOSTILE


def test_progress_has_visible_escapes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of a step may hold the name of a file."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("TERM", "dumb")
    with step_progress.Steps() as steps:
        steps(HOSTILE, 1, 2)
    assert SHOWN in capsys.readouterr().err.replace("\n", "")


def test_what_the_parser_quotes_has_visible_escapes() -> None:
    """Options, commands and values that a script took from elsewhere."""
    for words in (
        ["batch", "list", "--\x1b[31m\u202ex"],
        ["x\x9bm"],
        ["batch", "show", "\x1b[2J", "b"],
    ):
        answer = subprocess.run(
            [sys.executable, "-c", "from services.console.cli import main; main()", *words],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert answer.returncode == 2
        assert not CONTROL.search(answer.stdout + answer.stderr)


def test_an_unexpected_error_has_visible_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    """Its message may quote stored text; the exit code is that of Python."""

    def program() -> None:
        raise RuntimeError(HOSTILE)

    with pytest.raises(SystemExit) as ended:
        run(program)
    assert ended.value.code == 1
    error = capsys.readouterr().err
    assert "Traceback" in error and f"RuntimeError: {SHOWN}" in error


def test_other_text_stays_as_it_is() -> None:
    """Every script, emoji with joiners, tabs and line ends."""
    text = "Ａ 株式会社 \u0645\u06cc\u200c\u062e 👨\u200d👩\u200d👧 é\tx\ny – “€”"
    assert visible(text) == text


def test_all_output_passes_one_place() -> None:
    """No other module of the command line prints, writes to a stream, or makes text of rich."""
    folder = Path(step_progress.__file__).parent
    for path in sorted(folder.glob("*.py")):
        if path.name in ("output.py", "step_progress.py", "visible.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")
            module = getattr(node, "module", None) or ""
            where = f"{path.name}:{getattr(node, 'lineno', '')}"
            assert name not in ("print", "echo", "secho", "stdout", "stderr"), where
            assert not module.startswith("rich"), where
