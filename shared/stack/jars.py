"""The class path of the embedded broker: the jars of `kafka-jars.txt`, each checked by sha256.

The versions are fixed because a resolver picks an older kafka-clients, with which the broker does
not start. A download enters the cache in one step after its checksum matched, so an interrupted or
falsified download can never run. Once all jars are cached, a start needs no network.
"""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from shared.errors import Refused
from shared.settings import read_settings

LIST = Path(__file__).with_name("kafka-jars.txt")
DOWNLOADS_AT_ONCE = 8
DOWNLOAD_TIMEOUT_SECONDS = 60
PROGRESS_EVERY = 10


@dataclass(frozen=True)
class Jar:
    """One archive on the class path and its checksum."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file(self) -> str:
        """Its file name."""
        return f"{self.artifact}-{self.version}.jar"

    @property
    def coordinate(self) -> str:
        """Its name on Maven Central."""
        return f"{self.group}:{self.artifact}:{self.version}"


def listed_jars(path: Path = LIST) -> list[Jar]:
    """Read the list: one jar per line as group, artifact, version, sha256."""
    lines = (line.strip() for line in path.read_text().splitlines())
    return [Jar(*line.split()) for line in lines if line and not line.startswith("#")]


def cache_folder() -> Path:
    """Return the download cache, shared by runs and data folders."""
    given = read_settings().cache
    return (
        given.expanduser().resolve() if given else Path.home() / ".cache" / "staffing-back-office"
    )


def class_path(
    say: Callable[[str], None],
    cache: Path | None = None,
    jars: Iterable[Jar] | None = None,
    repository: str | None = None,
) -> str:
    """Return the broker's class path; download what the cache lacks from a Maven repository."""
    wanted = list(jars) if jars is not None else listed_jars()
    folder = (cache or cache_folder()) / "jars"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(
                lock, fcntl.LOCK_EX
            )  # two stacks that start at once on a new machine fetch once
            missing = [jar for jar in wanted if not _is_right(folder / jar.file, jar)]
            if missing:
                _fetch_all(missing, folder, repository, say)
    except OSError as error:
        raise Refused(
            "jar-cache-unusable",
            f"The cache for Kafka's jars, {folder}, cannot be written: {error.strerror or error}.",
            "Make it writable or free some space there, or name another folder in"
            " BACKOFFICE_CACHE.",
        ) from error
    return os.pathsep.join(str(folder / jar.file) for jar in wanted)


def _is_right(path: Path, jar: Jar) -> bool:
    if not path.exists():
        return False
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == jar.sha256


def _fetch_all(
    missing: list[Jar], folder: Path, repository: str | None, say: Callable[[str], None]
) -> None:
    import truststore

    say(f"fetching {len(missing)} jars of Apache Kafka from Maven Central into {folder} (once)")
    # A company's proxy signs with an authority that only the machine's own store knows.
    truststore.inject_into_ssl()
    try:
        _fetch_beside_each_other(missing, folder, repository, say)
    finally:
        truststore.extract_from_ssl()


def _fetch_beside_each_other(
    missing: list[Jar], folder: Path, repository: str | None, say: Callable[[str], None]
) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="download-", dir=folder) as drafts,
        ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as threads,
    ):
        work = [threads.submit(_fetch, jar, Path(drafts), folder, repository) for jar in missing]
        try:
            for done, finished in enumerate(as_completed(work), start=1):
                finished.result()
                if done % PROGRESS_EVERY == 0 or done == len(work):
                    say(f"  {done} of {len(work)} jars")
        finally:
            for pending in work:  # after one failure the others are not begun
                pending.cancel()


def _fetch(jar: Jar, drafts: Path, folder: Path, repository: str | None) -> None:
    import requests
    from jgo.maven import MavenContext  # slow to import, and needed on the first start alone

    remote = {"given": repository} if repository else None
    context = MavenContext(repo_cache=drafts, remote_repos=remote, timeout=DOWNLOAD_TIMEOUT_SECONDS)
    try:
        draft = (
            context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
        )
    except (requests.RequestException, RuntimeError) as error:
        raise Refused(
            "jar-missing",
            f"The jar {jar.coordinate} of Apache Kafka could not be fetched from Maven Central:"
            f" {error}.",
            f"Check the network and start again, or put {jar.file} into {folder}, or set"
            " BACKOFFICE_KAFKA to the address of a broker that runs.",
        ) from error
    if not _is_right(draft, jar):
        raise Refused(
            "jar-wrong",
            f"The jar {jar.coordinate} that Maven Central answered with is not the one that is"
            " expected (its sha256 differs); it was thrown away.",
            "Start again; if it repeats, something between here and Maven Central changes files:"
            f" put the right {jar.file} into {folder} yourself.",
        )
    shutil.move(draft, folder / jar.file)
