"""Where files go, and how they get there: drafts in a folder beside the place, moved in one step, names that are safe, archives without a clock."""

import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from shared.errors import Refused

UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
ARCHIVED_ON = (1980, 1, 1, 0, 0, 0)
"""The date of the members of an archive: the first that the format knows."""
READABLE = 0o100644 << 16

Progress = Callable[[int, int], None]


def place_of(path: Path) -> Path:
    """The place as an absolute path whose folder is there."""
    place = path.expanduser().absolute()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(
            "path_unusable",
            f"{place.parent} cannot be made: {error.strerror or error}",
            "name another place with --out",
        ) from error
    return place


def file_place(path: Path, named: str, file_format: str) -> Path:
    """The place of a format that is one file."""
    place = place_of(path)
    if place.is_dir():
        raise Refused(
            "path_unusable",
            f"{path} is a folder; {file_format} is one file",
            f"say --out {path / named}",
        )
    return place


@contextmanager
def drafts_beside(place: Path) -> Iterator[Path]:
    """A folder for drafts on the same disk as the place, gone at the end whatever happens."""
    try:
        drafts = Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".part", dir=place.parent))
    except OSError as error:
        raise Refused(
            "path_unusable",
            f"nothing can be written in {place.parent}: {error.strerror or error}",
            "name another place with --out",
        ) from error
    try:
        yield drafts
    finally:
        shutil.rmtree(drafts, ignore_errors=True)


def safe_name(number: str, otherwise: str, suffix: str, taken: set[str]) -> str:
    """A number as a file name that no other document has: a series such as 2026/ must not make folders."""
    stem = UNSAFE.sub("-", number).strip(".-") or otherwise
    name = (
        f"{stem}{suffix}"
        if f"{stem}{suffix}".lower() not in taken
        else f"{stem}.{otherwise}{suffix}"
    )
    taken.add(name.lower())
    return name


def archive(folder: Path, names: Sequence[str], place: Path) -> None:
    """The files as one .zip; the same files give the same bytes."""
    draft = folder / "all.part"
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as whole:
        for name in names:
            member = zipfile.ZipInfo(name, ARCHIVED_ON)
            member.compress_type, member.external_attr = zipfile.ZIP_DEFLATED, READABLE
            with (folder / name).open("rb") as source, whole.open(member, "w") as target:
                shutil.copyfileobj(source, target)
    draft.replace(place)


def move_all(folder: Path, names: Sequence[str], place: Path) -> None:
    """The files into a folder, which is made if it is not there."""
    if place.exists() and not place.is_dir():
        raise Refused(
            "path_unusable",
            f"{place} is a file, and a folder is needed for {len(names)} files",
            "name a folder or a .zip with --out",
        )
    place.mkdir(exist_ok=True)
    for name in names:
        (folder / name).replace(place / name)
