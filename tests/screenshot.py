"""Makes docs/review.png, the picture of the review page, from drawn pictures: `python -m tests.screenshot`."""

import io
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.conftest import ROOT, chromium
from tests.tiny import tiny_bundle, tiny_jpeg
from tests.web import House, commented, open_house

TARGET = ROOT / "docs/review.png"


OTHERS = [("dots", 17), ("stripes", 71), ("dots", 76), ("stripes", 30), ("dots", 35), ("stripes", 64), ("dots", 41),
          ("dots", 63), ("dots", 23), ("noise", 3), ("dots", 37), ("noise", 7)]  # fmt: skip


def fill(house: House) -> None:
    """Bring some pictures into review, four of them alike."""
    for number in range(4):
        house.installation.drop(f"RMA-{2060 + number}.jpg", commented(tiny_jpeg("stripes", 2), f"{number}"))
    for number, (category, seed) in enumerate(OTHERS):
        house.installation.drop(f"RMA-{2040 + number}.jpg", tiny_jpeg(category, seed))
    house.installation.work()


def main() -> None:
    """Draw, open the page, and take its picture."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        here = Path(folder)
        bundle = tiny_bundle(here)
        (here / "house").mkdir()
        with open_house(here / "house", bundle, threshold=1.0) as house:
            fill(house)
            browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
            page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
            page.goto(str(house.client.base_url))
            page.wait_for_selector(".card")
            page.fill("#by", "Anna")
            page.focus(".card.here")
            page.wait_for_load_state("networkidle")
            page.wait_for_timeout(500)
            shot = page.screenshot()
            browser.close()
    small = Image.open(io.BytesIO(shot)).convert("RGB").quantize(200, dither=Image.Dither.NONE)
    small.save(TARGET, optimize=True)
    print(f"{TARGET}: {TARGET.stat().st_size / 1024:.0f} KB")


if __name__ == "__main__":
    main()
