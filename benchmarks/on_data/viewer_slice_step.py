"""How long a slice step and a window step take in the viewer of the page, in Chromium without a graphics card::

    python benchmarks/on_data/viewer_slice_step.py "http://127.0.0.1:8501/?study=ID" [--rounds 40]

The page and the service must run (``metseg up``), and the study be done. Printed are medians: of the script's own work,
and from the key to the second frame of the screen after it.
"""

from __future__ import annotations

import argparse
import shutil
from typing import Any

from metseg.runtime.system_info import machine_facts, machine_line

MEASURE = """
async (root, [keys, rounds]) => {
  const own = [], whole = [];
  for (let round = 0; round < rounds; round++) {
    const begin = performance.now();
    root.dispatchEvent(new KeyboardEvent("keydown", { key: keys[round % keys.length], bubbles: true }));
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    whole.push(performance.now() - begin);
    own.push(Number(root.dataset.drawMs));
  }
  const median = (values) => values.sort((first, second) => first - second)[values.length >> 1];
  return [median(own), median(whole)];
}
"""
#: What is measured, to the keys that are pressed in turn.
STEPS = {"slice": ["ArrowUp", "ArrowDown"], "window": ["w", "s"], "next lesion": ["n"]}
PATIENCE_MS = 300_000.0


def measure(page: Any, rounds: int) -> dict[str, tuple[float, float]]:
    """Return the milliseconds of each kind of step: of drawing, and until it is on the screen."""
    frame = page.frame_locator("iframe[title*=volumes]")
    frame.locator("canvas").first.wait_for()
    page.wait_for_timeout(5000)  # the other sequences come
    root = frame.locator("#viewer")
    return {name: tuple(root.evaluate(MEASURE, [keys, rounds])) for name, keys in STEPS.items()}


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="address of a finished study on the page")
    parser.add_argument("--rounds", type=int, default=40, help="steps of each kind")
    given = parser.parse_args()
    print(machine_line(machine_facts()))
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = chromium.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(PATIENCE_MS)
        page.goto(given.url)
        print("| step | drawing, ms | on the screen, ms |\n|---|---|---|")
        for name, (own, whole) in measure(page, given.rounds).items():
            print(f"| {name} | {own:.1f} | {whole:.1f} |")
        chromium.close()


if __name__ == "__main__":
    main()
