"""The process that a detached `up` leaves running: the stack as in the foreground, with a log."""

import sys
from argparse import ArgumentParser
from pathlib import Path

from shared.errors import Refused, Unavailable
from shared.stack.supervisor import up
from shared.stack.workers import parse_numbers


def main() -> int:
    """Start the stack and keep it running until it is asked to stop."""
    parser = ArgumentParser(prog="python -m shared.stack")
    parser.add_argument("data", type=Path)
    parser.add_argument("--workers", default="")
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--no-provision", action="store_true")
    asked = parser.parse_args()

    def say(message: str) -> None:
        print(message, flush=True)

    try:
        up(
            asked.data,
            fresh=asked.fresh,
            workers=parse_numbers(asked.workers, "--workers"),
            say=say,
            provision=not asked.no_provision,
            to_stop=f"to stop it: backoffice down --data {asked.data}",
        )
    except (Refused, Unavailable) as error:
        say(error.message)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
