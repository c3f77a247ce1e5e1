"""Make the pictures of the README: `python -m tests.docs.images`.

Plays the demonstration in a temporary folder, and draws its last screen and the first page of one
of its invoices into `docs/images`.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pypdfium2
import typst

IMAGES = Path(__file__).parents[2] / "docs" / "images"
SHOWN_LINES = 42
"""Lines of the demonstration's output in the picture: its last screen."""
INVOICE = "NL26-0003.pdf"
TERMINAL = """
#set page(width: auto, height: auto, margin: 14pt, fill: rgb("#1d2733"))
#set text(font: "DejaVu Sans Mono", size: 8pt, fill: rgb("#e8edf2"))
#raw(read("screen.txt"))
"""


def play(folder: Path) -> str:
    """Play the demonstration with its data and files in a folder; return what it prints."""
    backoffice = Path(sys.executable).with_name("backoffice")
    command = [backoffice, "demo", "--data", folder / "data", "--out", folder / "out"]
    result = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | {"COLUMNS": "120"}
    )
    return result.stdout.replace(str(folder), ".")


def draw_screen(text: str, folder: Path) -> None:
    """Draw the last lines of a terminal's output."""
    (folder / "screen.txt").write_text("\n".join(text.splitlines()[-SHOWN_LINES:]))
    source = folder / "screen.typ"
    source.write_text(TERMINAL)
    typst.compile(source, output=IMAGES / "demo.png", format="png", ppi=144)


def draw_invoice(pdf: Path) -> None:
    """Draw the first page of an invoice."""
    with pypdfium2.PdfDocument(pdf) as document:
        document[0].render(scale=1.6).to_pil().save(IMAGES / "invoice.png", optimize=True)


def main() -> None:
    """Entry point."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw_screen(play(folder), folder)
        (pdf,) = (folder / "out").rglob(INVOICE)
        draw_invoice(pdf)


if __name__ == "__main__":
    main()
