"""The keys with which the command line and the web console sign commands."""

from pathlib import Path
from typing import TYPE_CHECKING

from services.console.addresses import data_folder
from shared.errors import Refused
from shared.settings import CONSOLE_KEY_FILE, SIGNING_KEY_FILE, settings

if TYPE_CHECKING:
    from shared.signing import Signer


def find_signer(data: Path | None = None) -> "Signer | None":
    """The key of BACKOFFICE_KEY_FILE, else that in the data folder; None if there is none.

    Raises `Refused` for a file that is named and missing, or that is no private key of ours.
    """
    return _read(settings().key_file, data_folder(data) / SIGNING_KEY_FILE)


def find_console_signer(data: Path | None = None) -> "Signer | None":
    """The key of BACKOFFICE_CONSOLE_KEY_FILE, else that of the web console in the data folder.

    None if there is none. Raises `Refused` as `find_signer`, and for a key that may not assert the
    people who signed in.
    """
    signer = _read(settings().console_key_file, data_folder(data) / CONSOLE_KEY_FILE)
    if signer is not None and not signer.asserts_actors:
        raise Refused(
            "own_actor_only",
            f"the key of {signer.program} may not name people, so the web console cannot use it",
            "make one with `backoffice keys add NAME --asserts-actors`",
        )
    return signer


def _read(named: Path | None, usual: Path) -> "Signer | None":
    path = named.expanduser() if named else usual
    if not named and not path.exists():
        return None
    from shared.signing import read_signer  # slow to import, and not needed without a key

    return read_signer(path)
