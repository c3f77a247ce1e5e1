"""A working day as a script: it types commands of `backoffice`, shows them, and checks values.

    python examples/rpo_day/run.py [--out DIR] [--keep]

A day starts a stack of its own in .backoffice, with 2026-06-30 as today, and stops it at the end.
With --keep it stays, to look around in. DAY_MAIL=HOST:PORT names a mail server (SMTP without TLS)
that gets the invoices.
"""

import json
import os
import shlex
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

TODAY = "2026-06-30"
PATIENCE_SECONDS = 60.0
ROOT = Path(__file__).parents[1]

Type = Callable[[list[str], bool], str]
"""Runs `backoffice` with these words. True: its output is kept and returned, else it is shown."""


def type_command(words: list[str], kept: bool) -> str:
    """Run the command in a process of its own. A command that fails ends the day."""
    done = subprocess.run(
        ["backoffice", *words], stdout=subprocess.PIPE if kept else None, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{done.stdout or ''}exit {done.returncode} of: backoffice {shlex.join(words)}")
    return done.stdout or ""


class Day:
    """The commands of a day in the order in which they are typed, and the values expected.

    `out` is the folder of the files that it writes; `mail` is HOST:PORT of a mail server, or empty.
    """

    def __init__(self, out: Path, mail: str = "", type_it: Type = type_command) -> None:
        self.out, self.mail, self._type = out, mail, type_it
        out.mkdir(parents=True, exist_ok=True)

    def title(self, text: str) -> None:
        """Begin a part of the day."""
        print(f"\n== {text}", flush=True)

    def show(self, command: str) -> None:
        """Run a command and show what it prints for people."""
        print(f"\n$ backoffice {command}", flush=True)
        print(self._type(shlex.split(command), False), end="", flush=True)

    def read(self, command: str) -> Any:
        """Run a command with --json, show its message if it has one, and return the document."""
        print(f"\n$ backoffice {command} --json", flush=True)
        document = json.loads(self._type([*shlex.split(command), "--json"], True))
        if isinstance(document, dict) and document.get("message"):
            print(document["message"], flush=True)
        return document

    def check(self, rule: str, found: object, expected: object) -> None:
        """Compare a value with the expected one; a difference ends the day."""
        if found != expected:
            sys.exit(f"  WRONG {rule}\n  expected {expected}\n  found    {found}")
        print(f"  right: {rule}", flush=True)

    def until(self, rule: str, look: Callable[[], object], expected: object) -> None:
        """Check a value that becomes the expected one when the services have done their work."""
        last = time.monotonic() + PATIENCE_SECONDS
        while (found := look()) != expected and time.monotonic() < last:
            time.sleep(0.5)
        self.check(rule, found, expected)

    def templates(self, files: dict[str, str]) -> None:
        """Check that the files have the columns of the templates with these names."""
        for name, file in files.items():
            columns = set(Path(file).read_text().splitlines()[0].split(","))
            template = set(self.read(f"template {name}")["columns"])
            self.check(f"{file} is a filled-in template {name}", columns - template, set())

    def lines(self, company: str) -> dict[str, list[tuple[str, str, str]]]:
        """Open lines by document, each with its status, effective date and amount."""
        listing = f"pay-lines list --billing-company {company} --limit 200"
        found: dict[str, list[tuple[str, str, str]]] = {}
        for line in self.read(listing)["pay_lines"]:
            fields = (line["status"], line["effective_date"], line["amount"])
            found.setdefault(line["document_id"], []).append(fields)
        return {document: sorted(each, key=lambda one: one[1:]) for document, each in found.items()}

    def close(self, company: str, cut_off: str, options: str) -> str:
        """Close the batch of a preview and return its id. Both have the same documents."""
        about = f"--billing-company {company} --cut-off {cut_off}"
        self.show(f"batch preview {about}")
        preview = self.read(f"batch preview {about}")["details"]
        digest = preview["digest"]
        made = self.read(f"batch generate {about} --digest {digest} {options}")["details"]
        shown = ("documents", "lines", "totals", "left_out")
        self.check(
            "the batch is its preview: documents, lines and totals",
            [made[name] for name in shown] + _without_numbers(made["listed"]),
            [preview[name] for name in shown] + _without_numbers(preview["listed"]),
        )
        return str(made["batch_id"])

    def download(self, batch: str, name: str) -> None:
        """Write PDF and CSV of a batch; their totals are those of the batch."""
        expected = self.read(f"batch show {batch}")["totals"]
        for file_format, path in (("pdf", self.out / name), ("csv", self.out / f"{name}.csv")):
            saved = self.read(f"batch download {batch} --format {file_format} --out {path}")
            (totals,) = ({key: row[key] for key in expected[0]} for row in saved["totals"])
            self.check(f"{path.name} adds up to the batch", [totals], expected)

    def send(self, company: str, sender: str, batches: Iterable[str], expected: int) -> None:
        """Send the batches by e-mail, if there is a mail server; each document goes once."""
        if not self.mail:
            print("\n(no e-mail: DAY_MAIL names no mail server)", flush=True)
            return
        host, port = self.mail.rsplit(":", 1)
        server = f"--host {host} --port {port} --tls none"
        self.show(f"send set-account --billing-company {company} --sender {sender} {server}")
        for batch in batches:
            self.show(f"send batch {batch} --wait")
        sent = self.read(f"send list --billing-company {company} --state sent")["mails"]
        self.check("every document went to its debtor", len(sent), expected)


def _without_numbers(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Documents without what only a closed one has."""
    new = ("invoice_number", "due_date")
    return [{key: one[key] for key in one if key not in new} for one in documents]


def run(folder: Path, play: Callable[[Day], None]) -> None:
    """Play a day on a stack of its own."""
    name = folder.name
    parser = ArgumentParser(description=f"Play {name}; see {name}/README.md.")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / name, help="for its files")
    parser.add_argument("--keep", action="store_true", help="leave the stack running")
    given = parser.parse_args()
    mail, out = os.environ.get("DAY_MAIL", ""), given.out.resolve()
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    os.environ["BACKOFFICE_DATA"] = str(ROOT / ".backoffice" / name)
    os.environ |= {"BACKOFFICE_TODAY": TODAY, "BACKOFFICE_MAIL_HOSTS": mail.rsplit(":", 1)[0]}
    os.chdir(folder)
    day = Day(out, mail)
    day.show("up --detach --fresh")
    try:
        play(day)
        print(f"\nThe files are in {out}.")
    finally:
        if given.keep:
            print(f"Look around with: export BACKOFFICE_DATA={os.environ['BACKOFFICE_DATA']}")
        else:
            day.show("down")
