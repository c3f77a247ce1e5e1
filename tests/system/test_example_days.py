"""The days of `examples/`: an RPO firm and a staffing firm, from templates to sent invoices.

Each day checks its values itself: every example of domain-rules 2, and the three-step flow. Both
run on one stack; commands are run in this process, because starting one takes half a second.
"""

import importlib.util
import re
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from types import ModuleType

import pytest
from pypdf import PdfReader
from typer.testing import CliRunner

from services.console.cli import application
from shared.settings import settings
from shared.stack import running_stack
from shared.stack.workers import STANDARD
from tests.handlers.mailing import HOST, MailServer
from tests.running import ROOT

EXAMPLES = ROOT / "examples"
MONTH_END = "2026-06-30"
SENT = {"ap@apex.example": 4, "finance@beacon.example": 2}
SENT_WEEKLY = {"hull@mercer.example": 1, "finance@mercer.example": 4, "ap@oakfield.example": 2}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data folder of a stack with all its workers, on the day of the examples."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("KAFKA", "DATABASE_URL", "WORKERS", "TOPIC_PREFIX"):
            patch.delenv(f"BACKOFFICE_{name}", raising=False)
        given = {"TODAY": MONTH_END, "SWEEP_SECONDS": "0.5", "MAIL_HOSTS": HOST}
        for name, value in given.items():
            patch.setenv(f"BACKOFFICE_{name}", value)
        settings.cache_clear()
        with running_stack(tmp_path_factory.mktemp("days") / "data", STANDARD) as stack:
            yield stack.data


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    """A mail server that takes everything."""
    with MailServer().in_thread() as server:
        yield server


def loaded(folder: str, patch: pytest.MonkeyPatch) -> ModuleType:
    """The script of a day as a module."""
    patch.syspath_prepend(EXAMPLES)
    spec = importlib.util.spec_from_file_location(folder, EXAMPLES / folder / "run.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def play(
    folder: str, data: Path, out: Path, mail_server: MailServer, patch: pytest.MonkeyPatch
) -> None:
    """Play a day from its folder, on the stack, with the mail server."""
    patch.delenv("BACKOFFICE_TODAY", raising=False)
    patch.setenv("BACKOFFICE_DATA", str(data))
    patch.chdir(EXAMPLES / folder)
    settings.cache_clear()
    script = loaded(folder, patch)

    def type_it(words: list[str], kept: bool) -> str:
        result = CliRunner().invoke(application(), words)
        assert result.exit_code == 0, f"{words}: {result.output}\n{result.exception!r}"
        return str(result.stdout)

    script.play(sys.modules["scripted_day"].Day(out, f"{HOST}:{mail_server.port}", type_it))


def attached(mail_server: MailServer) -> dict[str, str]:
    """The text of each PDF that was sent, by file name."""
    found: dict[str, str] = {}
    for message in mail_server.messages():
        for part in message.iter_attachments():
            pages = PdfReader(BytesIO(part.get_content())).pages
            found[str(part.get_filename())] = "\n".join(page.extract_text() for page in pages)
    return found


def test_a_day_of_an_rpo_firm(
    data: Path, tmp_path: Path, mail_server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Companies on top: fees, retainers, guarantees and assignments of domain-rules 2, and the
    three steps, to six documents that their debtors have as PDF.
    """
    play("rpo_day", data, tmp_path, mail_server, monkeypatch)
    assert dict(mail_server.recipients()) == SENT
    files = {path.stem: path for path in tmp_path.glob("*/*.pdf")}
    assert sorted(files) == [f"NTP-00100{number}" for number in range(1, 7)]
    texts = attached(mail_server)
    assert set(texts) == {f"{name}.pdf" for name in files}
    assert "46,942.54" in texts["NTP-001001.pdf"]
    assert "Joy Adams" in texts["NTP-001001.pdf"], "a document prints the name of placements.csv"
    assert re.search(r"Credit note.*10,000\.00", texts["NTP-001004.pdf"], re.DOTALL)


def test_a_day_of_a_staffing_firm(
    data: Path, tmp_path: Path, mail_server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients on top: timesheets, statuses, snoozes and holds of domain-rules 2, and the three
    steps, to seven documents that their debtors have as PDF.
    """
    play("staffing_day", data, tmp_path, mail_server, monkeypatch)
    assert dict(mail_server.recipients()) == SENT_WEEKLY
    texts = attached(mail_server)
    assert "1,862.06" in texts["HLS-05001.pdf"]
    assert "Ida Moss" in texts["HLS-05005.pdf"], "a document prints the name that the ATS sent"


def test_a_wrong_value_ends_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A day does not go on behind a value that differs: the test above can fail."""
    loaded("rpo_day", monkeypatch)
    day = sys.modules["scripted_day"].Day(tmp_path)
    day.check("equal", 1, 1)
    with pytest.raises(SystemExit, match="expected 2"):
        day.check("not equal", 1, 2)
    assert capsys.readouterr().out == "  right: equal\n"
