"""`examples/folder_watcher.py` on a real Kafka and PostgreSQL: folders that are complete, once."""

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.handlers.test_import_command import BILLTO, COMPANY, add_company, published
from tests.running import ROOT, free_port

WATCHER = ROOT / "examples" / "folder_watcher.py"


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """A folder that is complete by its marker, one with a wrong cell, and one in the making."""
    inbox = tmp_path / "inbox"
    for name, text in (("right", BILLTO), ("wrong", BILLTO.replace("office", "flat"))):
        (inbox / name).mkdir(parents=True)
        (inbox / name / "billto.csv").write_text(text)
        (inbox / name / "complete").touch()
    (inbox / "unfinished").mkdir()
    (inbox / "unfinished" / "billto.csv").write_text("level,id\ncli")
    (inbox / "unfinished" / "rates.part").symlink_to("renamed meanwhile")
    return inbox


def watch(inbox: Path, stack: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    """One look at the inbox, by a process that finds our `backoffice`."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{stack['PATH']}"
    command = [sys.executable, str(WATCHER), str(inbox), "--billing-company", COMPANY, "--once"]
    own = stack | {"PATH": path, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [*command, *options], env=own, capture_output=True, text=True, timeout=120, check=False
    )


def names(folder: Path) -> list[str]:
    """What is in a folder, without hidden files."""
    return sorted(each.name for each in folder.iterdir() if not each.name.startswith("."))


def test_a_complete_folder_is_imported_once(
    inbox: Path, stack: dict[str, str], database: str, topics: str
) -> None:
    """The right one goes to done, the wrong one with the cell's error to failed, the unfinished one
    stays until it is old enough, what was in work when a watcher was killed is imported, and a
    folder that waits for the database is neither done nor failed.
    """
    add_company(database)
    no_server = urlsplit(database)._replace(netloc=f"{{login}}@127.0.0.1:{free_port()}")
    away = stack | {"BACKOFFICE_DATABASE_URL": no_server.geturl()}
    assert watch(inbox, away).returncode == 1
    assert names(inbox / "done") == []
    assert "right" in {each.name for each in (inbox / ".working").iterdir()}
    assert watch(inbox, stack).returncode == 0
    assert names(inbox) == ["done", "failed", "unfinished"]
    assert names(inbox / "done") == ["right", "right.txt"]
    assert names(inbox / "failed") == ["wrong", "wrong.txt"]
    assert "billto.csv, line 3" in (inbox / "failed" / "wrong.txt").read_text()
    sent = published(topics)["billto-changed"]
    assert sorted(key for key, _ in sent) == ["cl-1", "of-1"]
    (inbox / "unfinished" / "billto.csv").write_text(BILLTO.replace("cl-1", "cl-2"))
    (inbox / "unfinished" / "rates.part").unlink()
    (inbox / "unfinished").rename(inbox / "right")
    assert watch(inbox, stack).returncode == 0
    assert len(published(topics)["billto-changed"]) == len(sent)
    assert watch(inbox, stack, "--settle", "0").returncode == 0
    assert names(inbox / "done") == ["right", "right-2", "right-2.txt", "right.txt"]
    assert len(published(topics)["billto-changed"]) == len(sent) + 2
