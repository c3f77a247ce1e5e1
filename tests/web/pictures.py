"""Make the pictures of docs/console.md: `python -m tests.web.pictures DATA`.

DATA is the data folder of a running stack with the demonstration's month. Without `--all` the
pictures go to docs/images; with it every screen is drawn at 1280 and 390 pixels, light and dark,
into `out/console`, to look at.
"""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from tests.web.conftest import executable

ROOT = Path(__file__).parents[2]
IMAGES, OUT = ROOT / "docs" / "images", ROOT / "out" / "console"
HEIGHT = 900
COLORS = 64
"""Enough for a screen, and a third of the bytes."""


def link(data: Path) -> str:
    """A sign-in link of the stack."""
    backoffice = Path(sys.executable).with_name("backoffice")
    command = [str(backoffice), "console", "link", "--json", "--data", str(data)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return str(json.loads(printed)["url"])


def save(page: Page, path: Path, *, whole: bool = False) -> None:
    """Draw a page into a small PNG file."""
    page.wait_for_load_state("networkidle")
    picture = Image.open(io.BytesIO(page.screenshot(full_page=whole)))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.convert("RGB").quantize(COLORS).save(path, optimize=True)


def steps(page: Page, address: str) -> dict[str, str]:
    """Go through the steps on the data of the demonstration; return the address of each."""
    page.goto(f"{address}/generate?company=harbor-us&cut_off=2026-11-30")
    found = {"start": page.url}
    page.get_by_role("button", name="Check").click()
    page.get_by_role("button", name="Preview", exact=True).wait_for(timeout=120_000)
    found["check"] = page.url
    page.get_by_role("button", name="Preview", exact=True).click()
    page.get_by_role("button", name="Preview again").wait_for(timeout=120_000)
    found["preview"] = page.url
    return found


def main(data: Path, *, everything: bool) -> None:
    """Sign in, and draw each screen."""
    signed = link(data)
    address = re.sub(r"/sign-in/.*", "", signed)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable(), args=["--no-sandbox", "--hide-scrollbars"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": HEIGHT})
        page.goto(signed)
        screens = {
            "batches": f"{address}/batches",
            "invoices": f"{address}/invoices",
            "invoice": f"{address}/invoices/NL26-0003?company=linden-nl",
            "credit": f"{address}/invoices/NL26-0003/credit?company=linden-nl&line_1=yes"
            "&to=write-off&reason=a+week+too+many&check=yes",
            "setup": f"{address}/setup",
            "companies": f"{address}/setup/companies",
            "company": f"{address}/edit/set-billing-company?billing_company=harbor-us",
            "billto": f"{address}/setup/billto?node=co-stella",
            "upload": f"{address}/setup/upload/debtors",
        } | steps(page, address)
        if not everything:
            for name in ("batches", "preview", "invoice"):
                page.goto(screens[name])
                save(page, IMAGES / f"console-{name}.png")
            return
        for width in (1280, 390):
            for scheme in ("light", "dark"):
                page.set_viewport_size({"width": width, "height": HEIGHT})
                page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
                for name, place in screens.items():
                    page.goto(place)
                    save(page, OUT / f"{name}-{width}-{scheme}.png", whole=True)


if __name__ == "__main__":
    given = [each for each in sys.argv[1:] if each != "--all"]
    main(Path(given[0]), everything="--all" in sys.argv)
