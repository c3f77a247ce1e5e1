"""A stack for the length of a block, tended in a thread as `up` tends it."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from shared.stack.stack import TEND_SECONDS, Stack


@contextmanager
def running_stack(
    data_dir: Path,
    workers: Mapping[str, int] | Sequence[str] = (),
    *,
    say: Callable[[str], None] = print,
    fresh: bool = False,
    provision: bool = True,
    proxied: tuple[int, int] | None = None,
) -> Iterator[Stack]:
    """Run a stack while the block runs; restart what fails, as `up` does."""
    stack = Stack(
        data_dir, workers=workers, say=say, fresh=fresh, provision=provision, proxied=proxied
    )
    over = threading.Event()

    def tend() -> None:
        while not over.wait(TEND_SECONDS):
            stack.tend()

    stack.start()
    tending = threading.Thread(target=tend, name="stack-tending", daemon=True)
    tending.start()
    try:
        yield stack
    finally:
        over.set()
        stack.stop()
        tending.join()
