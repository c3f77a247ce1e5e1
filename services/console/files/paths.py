"""Where files go: temporary folders beside their path, safe names, archives that do not depend
on the clock.
"""

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
"""The date of the members of an archive: the first that the format allows."""
READABLE = 0o100644 << 16

Progress = Callable[[int, int], None]


def _unusable(message: str, fix: str = "name another path with --out") -> Refused:
    return Refused("path_unusable", message, fix)


def absolute_path(path: Path) -> Path:
    """The absolute path; its folder is created."""
    absolute = path.expanduser().absolute()
    try:
        absolute.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise _unusable(f"{absolute.parent} cannot be created: {reason}") from error
    return absolute


def file_path(path: Path, name: str, file_format: str) -> Path:
    """The absolute path of a format that is one file."""
    absolute = absolute_path(path)
    if absolute.is_dir():
        raise _unusable(
            f"{path} is a folder; {file_format} is one file", f"use --out {path / name}"
        )
    return absolute


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """A folder on the same disk as the path, deleted at the end."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    except OSError as error:
        reason = error.strerror or error
        raise _unusable(f"nothing can be written in {path.parent}: {reason}") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def safe_name(number: str, otherwise: str, suffix: str, taken: set[str]) -> str:
    """A number as a file name that no other document has: a series such as 2026/ must not make
    folders.
    """
    stem = UNSAFE.sub("-", number).strip(".-") or otherwise
    if f"{stem}{suffix}".lower() in taken:
        stem = f"{stem}.{otherwise}"
    taken.add(f"{stem}{suffix}".lower())
    return f"{stem}{suffix}"


def archive(folder: Path, names: Sequence[str], path: Path) -> None:
    """Packs the files into one .zip; the same files give the same bytes."""
    draft = folder / "all.part"
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in names:
            member = zipfile.ZipInfo(name, ARCHIVED_ON)
            member.compress_type, member.external_attr = zipfile.ZIP_DEFLATED, READABLE
            with (folder / name).open("rb") as source, packed.open(member, "w") as target:
                shutil.copyfileobj(source, target)
    draft.replace(path)


def move_all(folder: Path, names: Sequence[str], path: Path) -> None:
    """Moves the files into the folder `path`, which is created."""
    if path.exists() and not path.is_dir():
        raise _unusable(
            f"{path} is a file, and a folder is needed for {len(names)} files",
            "name a folder or a .zip with --out",
        )
    path.mkdir(exist_ok=True)
    for name in names:
        (folder / name).replace(path / name)
