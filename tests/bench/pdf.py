"""PDFs: many documents of a few lines on all cores, and one document of very many lines.

Issue 14, 3.7: 40 a second on two cores; 9,727 lines in 5 s and 400 MB. Each is set in a process of
its own, because memory is measured at its highest.
"""

import json
import os
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from shared.render import pdf_document
from shared.terms import ClosedDocument, ClosedLine, Names
from tests.rules.test_render import a_document, a_line

LINES_OF_A_DOCUMENT = 5


@dataclass(frozen=True)
class Set:
    """Documents that were set: seconds, seconds of processor time, MB at the highest."""

    documents: int
    lines: int
    seconds: float
    computed: float
    megabytes: int
    same_bytes: bool


def measure(documents: int, lines: int) -> Set:
    """Set so many documents of so many lines in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.pdf", str(documents), str(lines)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Set(*json.loads(done.stdout))


def _document(number: int, count: int) -> tuple[ClosedDocument, list[ClosedLine]]:
    """A document as a batch makes it: each line with worker, week and requirement in its text."""
    lines = [
        replace(
            line,
            worker_id=f"W-{line.line_no}",
            description=f"Registered Nurse · W-{line.line_no} · REG · week ending"
            f" {line.week_ending}",
        )
        for line in (a_line(at + 1) for at in range(count))
    ]
    names = Names({f"W-{at}": f"Maya Torres {at}" for at in range(0, count, 2)})
    return a_document(lines, invoice_number=f"INV-{number:06}", names=names), lines


def main(documents: int, count: int) -> None:
    """Set the documents, and the first one again; print what it took."""
    made = [_document(number, count) for number in range(documents)]
    began, computed = time.monotonic(), time.process_time()
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        files = list(threads.map(lambda one: pdf_document(*one), made))
    seconds, computed = time.monotonic() - began, time.process_time() - computed
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    same = pdf_document(*made[0]) == files[0]
    print(json.dumps([documents, count, seconds, computed, memory, same]))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
