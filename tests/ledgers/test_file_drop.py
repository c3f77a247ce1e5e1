"""File drops: the suite of all adapters on a real SFTP server and on a folder, logins, host keys,
and that a file is put once whatever is cut in between.
"""

import contextlib
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import asyncssh
import pytest

from services.arg_sync.ledgers import drop_box
from services.arg_sync.ledgers.adapter import FrozenRequest, LedgerAdapter
from services.arg_sync.ledgers.drop_box import WORK, DropBox, RecordedDocument
from services.arg_sync.ledgers.failures import Failure
from services.arg_sync.ledgers.file_drop import LEDGER
from services.arg_sync.ledgers.folders import LocalFolder
from tests.conftest import Configure
from tests.ledgers.drop_server import LACKS, PASSWORD, USER, DropServer, DropVendor, serving
from tests.ledgers.fake import Fault
from tests.ledgers.suite import LedgerSuite, Stage, create, document, host, key, outcome_of

Result = TypeVar("Result")
CODES = {"account": "4000", "tax": "T10"}
ALL_FAULTS = LACKS | {"silence", "reset", "cut", "slow", "late", "page-503", "refuse"}


def drop(base_url: str, seconds: float = 30.0, **settings: str) -> LedgerAdapter:
    """An adapter that puts a file for each document."""
    secrets = {name: settings.pop(name) for name in ("password", "private_key") if name in settings}
    can = replace(LEDGER.capabilities, request_seconds=seconds)
    given = {"base_url": base_url, "per": "document"} | settings
    return LEDGER.make(host(can, given, secrets, LEDGER.settings))


def login(server: DropServer, **changes: str) -> dict[str, str]:
    """The settings with which the server is used."""
    return {"user": USER, "password": PASSWORD, "host_key": server.public_key} | changes


class TestSftp(LedgerSuite):
    """A file for each document on an SFTP server."""

    @pytest.fixture
    async def stage(self, tmp_path: Path) -> AsyncIterator[Stage]:
        """A server, with a patient and an impatient adapter."""
        async with serving(tmp_path / "inbox") as server:
            ports = [drop(server.url, seconds, **login(server)) for seconds in (30.0, 2.0)]
            yield Stage(
                *ports,
                server,  # type: ignore[arg-type]
                (PASSWORD,),
                CODES,
                patience=1.25,
                lacks=LACKS,
                balances=False,
            )
            for port in ports:
                await port.close()


class Disk:
    """A folder of this machine in the place of a server: `stop` takes the disk away."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.vendor = folder, DropVendor(folder)

    async def stop(self) -> None:
        """Unmount it."""
        self.folder.rename(self.folder.with_name("unmounted"))


class TestFolder(LedgerSuite):
    """A file for each document in a folder of this machine."""

    @pytest.fixture
    async def stage(self, tmp_path: Path, configure: Configure, monkeypatch: Any) -> Stage:
        """A folder below the one that the settings allow."""
        configure(file_drop_folder=str(tmp_path))
        (tmp_path / "inbox").mkdir()
        disk = Disk(tmp_path / "inbox")
        moved = LocalFolder.move

        async def move(self: LocalFolder, path: str, target: str) -> bool:
            done = await moved(self, path, target)
            if done and WORK not in target and not target.endswith(".sha256"):
                disk.vendor.appeared(target)
            return done

        monkeypatch.setattr(LocalFolder, "move", move)
        port = drop("inbox")
        return Stage(
            port,
            port,
            disk,  # type: ignore[arg-type]
            (PASSWORD,),
            CODES,
            lacks=ALL_FAULTS,
            balances=False,
        )


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[DropServer]:
    """A server on an empty folder."""
    async with serving(tmp_path / "inbox") as made:
        yield made


def of_server(server: DropServer) -> Stage:
    """What `document` asks of a stage."""
    return Stage(None, None, server, (), CODES)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def opened(adapter: LedgerAdapter) -> AsyncIterator[LedgerAdapter]:
    """An adapter that is closed at the end."""
    try:
        yield adapter
    finally:
        await adapter.close()


# -- whom we talk to


async def test_the_check_shows_the_host_key_and_the_folder(server: DropServer) -> None:
    """A person sees which server and folder it is."""
    async with opened(drop(server.url, **login(server))) as adapter:
        shown = await adapter.check()
    assert server.host_key.get_fingerprint() in shown and USER in shown


async def test_another_host_key_gets_no_login(server: DropServer) -> None:
    """A server that shows another key than the known one learns neither user nor password."""
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    async with opened(drop(server.url, **login(server, host_key=other))) as adapter:
        for _ in range(3):
            with pytest.raises(Failure) as failed:
                await adapter.check()
            assert (failed.value.failure, failed.value.code) == ("auth", "host_key")
    assert server.logins == 0


@pytest.mark.parametrize("host_key", ["", "# a comment", "ssh-ed25519 nonsense"])
def test_a_server_without_a_known_host_key_is_refused(host_key: str) -> None:
    """There is no way to connect to a server whose key was not compared."""
    with pytest.raises(Failure, match="host_key"):
        drop("sftp://127.0.0.1/in", user=USER, password=PASSWORD, host_key=host_key)


async def test_a_refused_login_is_tried_once(server: DropServer) -> None:
    """A wrong password: four calls and a renewal make one try, and no text shows it."""
    async with opened(drop(server.url, **login(server, password="wrong-secret"))) as adapter:
        for call in (adapter.check, adapter.renew, lambda: adapter.payments(""), adapter.check):
            with contextlib.suppress(Failure):
                await call()  # type: ignore[operator]
        with pytest.raises(Failure) as failed:
            await adapter.check()
    assert (failed.value.failure, failed.value.code) == ("auth", "login_refused")
    assert server.logins == 1 and "wrong-secret" not in failed.value.message


async def test_a_key_logs_in(server: DropServer) -> None:
    """With a private key no password is needed."""
    pem = server.user_key.export_private_key().decode()
    settings = {"user": USER, "private_key": pem, "host_key": f"host {server.public_key}"}
    async with opened(drop(server.url, **settings)) as adapter:
        assert (await create(adapter, document(of_server(server)))).state == "posted"


def test_a_private_address_is_refused(configure: Configure, tmp_path: Path) -> None:
    """As for every kind, unless the setting for tests names the host."""
    configure(ledger_test_hosts="")
    key_line = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    for place in ("sftp://127.0.0.1/in", "sftp://10.1.2.3/in", "sftp://files.internal/in"):
        with pytest.raises(Failure, match="private network"):
            drop(place, user=USER, password="p", host_key=key_line)


def test_a_folder_outside_of_the_allowed_one_is_refused(
    configure: Configure, tmp_path: Path
) -> None:
    """A connection writes below the folder of the setting only, also through a link."""
    configure(file_drop_folder=str(tmp_path / "allowed"))
    (tmp_path / "allowed").mkdir()
    (tmp_path / "allowed" / "link").symlink_to("/etc")
    for place in ("/etc", "../elsewhere", "link"):
        with pytest.raises(Failure, match="is not below"):
            drop(place)


# -- once


async def test_a_disk_that_is_full_holds_nothing_back(server: DropServer) -> None:
    """Nothing appears while the disk is full; with space the document is there once."""
    async with opened(drop(server.url, **login(server))) as adapter:
        server.full = True
        request = adapter.render(document(of_server(server)), "Mercy Hospital")
        failed = await outcome_of(adapter, request)
        assert failed.failure == "transient" and "full disk" in failed.message, failed.message
        assert server.vendor.files == []
        server.full = False
        await create(adapter, document(of_server(server)))
        assert server.vendor.files == ["invoice-INV-000001.csv"]


async def test_what_was_not_stored_as_sent_is_not_delivered(server: DropServer) -> None:
    """Bytes that changed on the way are seen before the file appears."""
    async with opened(drop(server.url, **login(server))) as adapter:
        server.alters = True
        request = adapter.render(document(of_server(server)), "Mercy Hospital")
        failed = await outcome_of(adapter, request)
        assert (failed.failure, failed.code, server.vendor.files) == ("transient", "not_stored", [])


@pytest.mark.parametrize("takes", [False, True], ids=["stays", "taken"])
async def test_a_connection_lost_after_the_rename_delivers_once(
    tmp_path: Path, takes: bool
) -> None:
    """The file is there and the answer is lost, also when the other side has taken the file away
    before we look: a look-up finds it, and a repeat by a new process puts nothing.
    """
    async with serving(tmp_path / "inbox", takes=takes) as server:
        server.plan(Fault("reset"))
        async with opened(drop(server.url, **login(server))) as adapter:
            request = adapter.render(document(of_server(server)), "Mercy Hospital")
            assert (await outcome_of(adapter, request)).failure == "unknown"
        async with opened(drop(server.url, **login(server))) as adapter:
            assert len((await adapter.find("invoice", ["INV-000001"]))["INV-000001"]) == 1
            await create(adapter, document(of_server(server)))
        assert server.vendor.files == ["invoice-INV-000001.csv"]


async def test_a_server_killed_at_any_moment_gets_each_file_once(tmp_path: Path) -> None:
    """The connection is cut before the first, the second, ... operation of a delivery, and the
    next process tries again: in the end the document was there once, whole.
    """
    async with serving(tmp_path / "inbox", takes=True) as server:
        made = document(of_server(server))
        cut = 0
        while True:
            number = f"INV-{cut:06d}"
            server.cut_at = cut
            async with opened(drop(server.url, **login(server))) as adapter:
                with contextlib.suppress(Failure):
                    await create(adapter, document(of_server(server), number))
            whole, server.cut_at = server.cut_at is not None, None
            async with opened(drop(server.url, **login(server))) as adapter:
                await create(adapter, document(of_server(server), number))
            assert server.vendor.files.count(f"invoice-{number}.csv") == 1, number
            if whole:
                break
            cut += 1
        assert cut > 12, "the delivery has more operations than that"
        assert {one.total for one in server.vendor.journal} == {made.total}


class Interrupted(LocalFolder):
    """A folder on which we are killed before or after the n-th operation."""

    def __init__(self, path: str, kill_at: float) -> None:
        super().__init__(path)
        self.left = kill_at

    async def _run(self, path: str, call: Callable[[], Result]) -> Result:
        self.left -= 1
        if self.left == -0.5:
            await super()._run(path, call)
        if self.left < 0:
            raise Failure("transient", "killed", "killed")
        return await super()._run(path, call)


@pytest.mark.parametrize("other", [False, True], ids=["same", "other-content"])
async def test_our_kill_at_any_moment_puts_one_file(
    tmp_path: Path, configure: Configure, other: bool
) -> None:
    """Killed before and after each operation; then another process goes on, with the same
    content or, after a fix, with another one. The other side, which takes files away, saw one.
    """
    configure(file_drop_folder=str(tmp_path))
    (tmp_path / "inbox").mkdir()
    seen: list[bytes] = []

    def take() -> None:
        for each in (tmp_path / "inbox").glob("*.csv"):
            seen.append(each.read_bytes())
            each.unlink()

    for at in range(200):
        stem, one = f"invoice-{at}", recorded(str(at))
        folder = Interrupted("inbox", at / 2)
        with contextlib.suppress(Failure):
            await DropBox(folder, checksums=True).put(stem, f"{stem}.csv", b"first", [one])
        take()
        again = replace(one, key="k2") if other else one
        content = b"second" if other else b"first"
        box = DropBox(LocalFolder("inbox"), checksums=True)
        record = await box.put(stem, f"{stem}.csv", content, [again])
        take()
        assert len(seen) == at + 1, (at, seen[-2:])
        assert record.sha256 == hashlib.sha256(seen[-1]).hexdigest()
        assert await DropBox(LocalFolder("inbox"), checksums=True).record(stem) == record
        if folder.left >= 0:
            break
    assert 18 < at < 199


async def test_a_kill_while_an_older_content_is_undone_puts_one_file(
    tmp_path: Path, configure: Configure
) -> None:
    """A worker was killed just before its rename; the one that replaces the content after a fix is
    killed at any moment; a third one ends it. One file appeared, with one of the contents.
    """
    configure(file_drop_folder=str(tmp_path))
    (tmp_path / "inbox").mkdir()
    clean = Interrupted("inbox", 1_000)
    await DropBox(clean, checksums=True).put("clean", "clean.csv", b"first", [recorded("x")])
    before_rename = 1_000 - clean.left - 1
    for at in range(200):
        stem, one = f"invoice-{at}", recorded(str(at))
        first, second = Interrupted("inbox", before_rename), Interrupted("inbox", at / 2)
        with pytest.raises(Failure):
            await DropBox(first, checksums=True).put(stem, f"{stem}.csv", b"first", [one])
        assert not (tmp_path / "inbox" / f"{stem}.csv").exists()
        with contextlib.suppress(Failure):
            again = replace(one, key="k2")
            await DropBox(second, checksums=True).put(stem, f"{stem}.csv", b"second", [again])
        seen = [each.read_bytes() for each in (tmp_path / "inbox").glob(f"{stem}.csv")]
        for path in (tmp_path / "inbox").glob(f"{stem}.csv"):
            path.unlink()
        last = DropBox(LocalFolder("inbox"), checksums=True)
        await last.put(stem, f"{stem}.csv", b"third", [replace(one, key="k3")])
        seen += [each.read_bytes() for each in (tmp_path / "inbox").glob(f"{stem}.csv")]
        assert seen in ([b"second"], [b"third"]), (at, seen)
        if second.left >= 0:
            break
    assert 18 < at < 199


def recorded(number: str) -> RecordedDocument:
    """A document of a file."""
    made = document(Stage(None, None, None, (), CODES), number)  # type: ignore[arg-type]
    return RecordedDocument(
        "invoice", number, "k1", "USD", made.total, "Mercy Hospital", made.invoice_date
    )


async def test_a_file_of_ours_by_another_hand_counts_as_delivered(server: DropServer) -> None:
    """A file of that name with the same checksum is what we would put; with another content an
    operator decides, and after he moved it away the document goes.
    """
    async with opened(drop(server.url, **login(server))) as adapter:
        await create(adapter, document(of_server(server)))
    inbox = server.vendor.folder
    content = (inbox / "invoice-INV-000001.csv").read_bytes()
    for path in (inbox / WORK / "records" / "documents").iterdir():
        path.unlink()
    async with opened(drop(server.url, **login(server))) as adapter:
        assert (await create(adapter, document(of_server(server)))).problem == ""
        assert server.vendor.files == ["invoice-INV-000001.csv"]
        (inbox / "invoice-INV-000002.csv").write_text("something else")
        second = document(of_server(server), "INV-000002")
        failed = await outcome_of(adapter, adapter.render(second, "Mercy Hospital"), "INV-000002")
        assert (failed.failure, failed.code) == ("permanent", "other_file")
        assert (await adapter.find("invoice", ["INV-000002"]))["INV-000002"] == []
        (inbox / "invoice-INV-000002.csv").unlink()
        await create(adapter, second)
    assert (inbox / "invoice-INV-000001.csv").read_bytes() == content
    assert server.vendor.files[-1] == "invoice-INV-000002.csv"


async def test_a_changed_file_is_a_discrepancy(
    server: DropServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by its checksum, although number, total and customer are on record, and although its
    size and its time of change are as before.
    """
    monkeypatch.setattr(drop_box, "BELIEVED_SECONDS", 0.0)
    async with opened(drop(server.url, **login(server))) as adapter:
        await create(adapter, document(of_server(server)))
        path = server.vendor.folder / "invoice-INV-000001.csv"
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        stated = path.with_name(f"{path.name}.sha256").read_text()
        assert stated == f"{digest}  {path.name}\n"
        times = path.stat()
        path.write_bytes(path.read_bytes().replace(b"2000.00", b"2000.01"))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        (one,) = (await adapter.find("invoice", ["INV-000001"]))["INV-000001"]
        assert "was changed" in one.problem and digest[:16] in one.problem


@pytest.mark.parametrize(("stays", "state"), [("no", "posted"), ("yes", None)])
async def test_a_file_that_is_gone(server: DropServer, stays: str, state: str | None) -> None:
    """Files are taken away as a rule; where they stay, one that is gone is missing, and a repeat
    puts it again.
    """
    async with opened(drop(server.url, files_stay=stays, **login(server))) as adapter:
        made = await create(adapter, document(of_server(server)))
        (server.vendor.folder / "invoice-INV-000001.csv").unlink()
        found = (await adapter.status("invoice", [made.remote_id]))[made.remote_id]
        assert (found.state if found else None) == state
        await create(adapter, document(of_server(server)))
    assert len(server.vendor.files) == (1 if stays == "no" else 2)


async def test_a_request_of_another_key_is_a_duplicate(server: DropServer) -> None:
    """A document that is in a delivered file is not put again under another key."""
    async with opened(drop(server.url, **login(server))) as adapter:
        await create(adapter, document(of_server(server)))
        request = adapter.render(document(of_server(server)), "Mercy Hospital")
        frozen = FrozenRequest(key("another"), request, "invoice", "INV-000001")
        with pytest.raises(Failure) as failed:
            await adapter.create([frozen])
        assert failed.value.failure == "duplicate"
