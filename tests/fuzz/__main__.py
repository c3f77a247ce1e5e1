"""`python -m tests.fuzz [TARGET ...] --seconds N`: fuzz each target for N s of CPU time, in turn.

atheris (libFuzzer) looks for inputs that reach new code in `services` and `shared`. An input that
raises, takes more than 10 seconds or 1 GB is written to `out/fuzz`, and the exit code is 1.
"""

import argparse
import importlib
import importlib.util
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.fuzz import TARGETS, hostile

FOLDER = Path(__file__).parent
FOUND = Path("out/fuzz")
INPUT_SECONDS = 10
INPUT_MB = 1_024
INPUT_BYTES = 4_096


def fuzz(target: str, seconds: float) -> None:
    """Fuzz one target in this process; ends the process."""
    import atheris
    import structlog

    os.environ["BACKOFFICE_DATA"] = str(hostile.folder("data"))
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with atheris.instrument_imports(include=["services", "shared"], enable_loader_override=False):
        run = importlib.import_module(f"tests.fuzz.{target}").run
    (FOUND / target).mkdir(parents=True, exist_ok=True)
    options = [
        "-len_control=0",
        f"-timeout={INPUT_SECONDS}",
        f"-rss_limit_mb={INPUT_MB}",
        f"-max_len={INPUT_BYTES}",
        f"-artifact_prefix={FOUND / target}/found-",
        str(FOUND / target),
        str(FOLDER / "corpus" / target),
    ]
    inputs = 0

    def run_until_over(data: bytes) -> None:
        nonlocal inputs
        run(data)
        inputs += 1
        if time.process_time() > seconds:
            print(f"{target}: {inputs:,} inputs in {time.process_time():.0f} s of CPU time")
            sys.stdout.flush()
            hostile.delete_folders()
            os._exit(0)

    atheris.Setup([sys.argv[0], *options], run_until_over)
    atheris.Fuzz()


def main() -> int:
    """Fuzz the named targets, else all; return 1 if one of them found something."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=float, default=60.0, help="CPU time for each target")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed: it has wheels for Linux on x86_64 only.", file=sys.stderr)
        return 2
    if given.here:
        fuzz(given.targets[0], given.seconds)
        return 0
    failed = []
    for target in given.targets or TARGETS:
        command = [sys.executable, "-m", "tests.fuzz", target, "--here"]
        command += ["--seconds", str(given.seconds)]
        code = subprocess.run(command, env=os.environ | {"PYTHONHASHSEED": "0"}, check=False)
        if code.returncode:
            failed.append(target)
    if failed:
        print(f"found something in {', '.join(failed)}: see {FOUND}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
