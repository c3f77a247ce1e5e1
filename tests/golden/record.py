"""Records the golden files: `python -m tests.golden.record [source ...]`.

Run it only when values are meant to change: a golden file is what the code is compared with. The
input of the histories is made anew, too, so a recording replaces all of a file.
"""

import asyncio
import os
import sys
import time
from collections.abc import Iterator

from tests.golden import inputs, tables
from tests.golden.files import (
    AGENCY,
    DATA,
    HISTORIES,
    SAMPLE,
    SOURCES,
    databases,
    replay_documents,
    replay_histories,
    write,
)
from tests.golden.replay import Replay, Step
from tests.histories.office import Office


async def _sample_steps(url: str) -> list[Step]:
    """The steps of the sample month; the disputed pay lines are found by running the first part."""
    office = Office(url)
    await office.connect()
    try:
        arrivals = inputs.sample_arrivals()
        await Replay(office).run(arrivals)
        rows = await office.select(tables.OVERTIME_OF, id=inputs.disputed_timesheet())
        return [*arrivals, *inputs.sample_billing([list(row) for row in rows])]
    finally:
        await office.close()


def record_sample(urls: Iterator[str]) -> None:
    """The sample month."""
    steps = asyncio.run(_sample_steps(next(urls)))
    found, files = asyncio.run(replay_documents(next(urls), steps))
    write(SAMPLE, [{"steps": steps}, {"tables": found}, {"texts": files}])


def record_agency(urls: Iterator[str]) -> None:
    """The agency's hours: a digest of the input, and the output."""
    steps = inputs.agency_steps(inputs.AGENCY_DATA)
    found, files = asyncio.run(replay_documents(next(urls), steps))
    write(AGENCY, [{"input": inputs.digest_of(steps)}, {"tables": found}, {"texts": files}])


def record_histories(urls: Iterator[str]) -> None:
    """Random histories."""
    setup, histories = inputs.random_histories(next(urls))
    found = asyncio.run(replay_histories(next(urls), setup, histories))
    rows = [{"steps": steps, "tables": one} for steps, one in zip(histories, found, strict=True)]
    write(HISTORIES, [{"steps": setup}, *rows])


RECORDERS = {SAMPLE: record_sample, AGENCY: record_agency, HISTORIES: record_histories}


def main() -> None:
    """Records the named sources, or all. Their commands are not signed."""
    os.environ["BACKOFFICE_COMMANDS"] = "open"
    with databases() as urls:
        for source in sys.argv[1:] or SOURCES:
            began = time.monotonic()
            RECORDERS[source](urls)
            size = (DATA / f"{source}.jsonl.gz").stat().st_size
            print(f"{source}: {size:,} bytes, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
