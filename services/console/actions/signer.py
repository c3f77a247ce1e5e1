"""The key with which this console signs commands."""

from pathlib import Path
from typing import TYPE_CHECKING

from services.console.addresses import data_folder
from shared.settings import SIGNING_KEY_FILE, settings

if TYPE_CHECKING:
    from shared.signing import Signer


def find_signer(data: Path | None = None) -> "Signer | None":
    """The key of BACKOFFICE_KEY_FILE, else that in the data folder; None if there is none.

    Raises `Refused` for a file that is named and missing, or that is no private key of ours.
    """
    named = settings().key_file
    path = named.expanduser() if named else data_folder(data) / SIGNING_KEY_FILE
    if not named and not path.exists():
        return None
    from shared.signing import read_signer  # slow to import, and not needed without a key

    return read_signer(path)
