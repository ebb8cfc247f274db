"""The review page, by a scripted browser: how long after a key the next picture is shown, and whether people wait.

Single decisions first, then whole groups of alike pictures, as fast as the keys can be pressed one after the other
with a short pause; a person is slower. `python -m benchmarks.page [PICTURES]`.
"""

import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import pictures
from benchmarks.running import RunningService

PICTURES = 500
SINGLE = 30
GROUPED = 100
PAUSE_MS = 250
SHOWN_MS = 100

CONFIG = """
watch: {{settle_s: 0.1}}
model: {{bundle: {bundle}, threshold: 1.0}}
web: {{port: 0}}
log: {{level: info, format: json}}
"""

# from the key to the frame in which the next item's picture, decoded, stands in the panel
NOTE_TIMES = """
window.times = [];
addEventListener("keydown", (event) => {
  if (event.key !== "1") return;
  const began = performance.now(), image = document.getElementById("big-image"), before = image.getAttribute("src");
  const look = () => {
    if (image.getAttribute("src") !== before && image.complete && image.naturalWidth)
      requestAnimationFrame(() => window.times.push(performance.now() - began));
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}, true);
"""


@dataclass(frozen=True, slots=True)
class Found:
    """Milliseconds from key to next picture; seconds until all was recorded after the last key; decisions made."""

    single_ms: list[float]
    grouped_ms: list[float]
    recorded_s: float
    grouped: int
    took_s: float


def measure(count: int = PICTURES) -> Found:
    """Drop pictures, open the page, press keys."""
    bundle = os.environ.get("RETURNSD_BENCH_BUNDLE", "retail21")
    with (
        tempfile.TemporaryDirectory(dir=os.environ.get("RETURNSD_BENCH_DIR")) as folder,
        RunningService(Path(folder), CONFIG.format(bundle=bundle)) as service,
    ):
        for number, data in enumerate(pictures.some(count)):
            (service.inbox / f"{number:05}.jpg").write_bytes(data)
        service.start(arguments=["--web"])
        service.wait_for_rows(count)
        found = _press_keys(service.web_address())
        service.stop()
    return found


def _press_keys(address: str) -> Found:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1360, "height": 860})
        page.add_init_script(NOTE_TIMES)
        page.goto(address)
        page.wait_for_selector(".card.here")
        page.wait_for_timeout(1000)
        page.uncheck("#together")
        page.focus(".card.here")
        began = time.monotonic()
        single = _decide(page, lambda made: made < SINGLE)
        page.check("#together")
        page.focus(".card.here")
        before = int(page.inner_text("#count"))
        grouped = _decide(page, lambda _: before - int(page.inner_text("#count")) < GROUPED)
        pressed = time.monotonic()
        page.evaluate("() => window.review.sending")
        recorded_s = time.monotonic() - pressed
        decided = before - int(page.inner_text("#count"))
        browser.close()
    return Found(single, grouped, recorded_s, decided, pressed - began)


def _decide(page: Any, go_on: Any) -> list[float]:
    """Press 1 as long as wanted; return how long each next picture took."""
    page.evaluate("() => { window.times = []; }")
    made = 0
    while go_on(made) and page.query_selector(".card.here"):
        page.keyboard.press("1")
        page.wait_for_timeout(PAUSE_MS)
        made += 1
    times: list[float] = page.evaluate("() => window.times")
    return times


def _share(times: list[float], share: float) -> float:
    return sorted(times)[min(len(times) - 1, int(share * len(times)))]


def main() -> int:
    """Print the figures; 1 if they are not as promised."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else PICTURES
    found = measure(count)
    print(f"review page, {count} {pictures.source()}, next picture after a key:")
    for name, times in (("single", found.single_ms), ("groups", found.grouped_ms)):
        print(f"  {name}: median {_share(times, 0.5):.0f} ms, p95 {_share(times, 0.95):.0f} ms ({len(times)} keys)")
    print(f"  {SINGLE} single and {found.grouped} grouped decisions in {found.took_s:.1f} s,")
    print(f"  all recorded {found.recorded_s:.2f} s after the last key")
    return 0 if _share(found.single_ms + found.grouped_ms, 0.95) < SHOWN_MS else 1


if __name__ == "__main__":
    sys.exit(main())
