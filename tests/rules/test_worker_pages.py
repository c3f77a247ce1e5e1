"""Where the console finds the pages of workers that are not of its own stack."""

from pathlib import Path

import pytest

from services.console.addresses import WorkerPage, find_worker_pages
from services.console.queries.worker_pages import lag
from shared.errors import Refused, Unavailable
from tests.conftest import Configure


async def test_each_address_of_a_name_is_a_replica(configure: Configure) -> None:
    """An address that is no name is itself; a name that is unknown stays, so that it is shown."""
    configure(worker_pages="lag_exporter=127.0.0.1:9100, invoicer=nowhere.invalid:9101")
    assert await find_worker_pages() == [
        WorkerPage("lag_exporter", "lag_exporter", "http://127.0.0.1:9100"),
        WorkerPage("invoicer", "invoicer", "http://nowhere.invalid:9101"),
    ]


@pytest.mark.parametrize("text", ["lag_exporter", "x=host", "=host:1", "x=host:port"])
async def test_an_unreadable_setting_says_how_to_write_it(configure: Configure, text: str) -> None:
    """The part that cannot be read is named."""
    configure(worker_pages=text)
    with pytest.raises(Refused, match="is not NAME=HOST:PORT"):
        await find_worker_pages()


async def test_without_an_exporter_it_says_what_to_do(configure: Configure, tmp_path: Path) -> None:
    """No stack runs and no address is set, or the exporter does not answer."""
    configure(data=tmp_path, worker_pages="")
    assert await find_worker_pages() == []
    with pytest.raises(Unavailable, match="BACKOFFICE_WORKER_PAGES"):
        await lag(1)
    configure(worker_pages="lag_exporter=127.0.0.1:1")
    with pytest.raises(Unavailable, match=r"does not answer at http://127\.0\.0\.1:1"):
        await lag(1)
