"""Make the picture of an invoice in the README: `python -m tests.docs.images`.

Plays the demonstration in a temporary folder, and draws the first page of one of its invoices into
`docs/images`. `tests/web/pictures.py` makes the pictures of the web console.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import pypdfium2

IMAGES = Path(__file__).parents[2] / "docs" / "images"
INVOICE = "NL26-0003.pdf"


def play(folder: Path) -> None:
    """Play the demonstration with its data and files in a folder."""
    backoffice = Path(sys.executable).with_name("backoffice")
    command = [backoffice, "demo", "--data", folder / "data", "--out", folder / "out"]
    subprocess.run(command, capture_output=True, check=True)


def draw_invoice(pdf: Path) -> None:
    """Draw the first page of an invoice."""
    with pypdfium2.PdfDocument(pdf) as document:
        document[0].render(scale=1.6).to_pil().save(IMAGES / "invoice.png", optimize=True)


def main() -> None:
    """Entry point."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        play(folder)
        (pdf,) = (folder / "out").rglob(INVOICE)
        draw_invoice(pdf)


if __name__ == "__main__":
    main()
