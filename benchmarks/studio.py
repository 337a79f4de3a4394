"""How long the studio takes from the pointer to the paint, in Debian's Chromium on this machine.

    python benchmarks/studio.py [TARGET...] [--moves 60] [--json FILE]

For each interaction the pointer, or a slider, is moved; a clock in the page runs from the event to the frame in which the
canvas that it changes is another. Prints the median and the 95th percentile in milliseconds, for docs/studio.md.
TARGET: runs or specs, efficientnet-lite0 if not given.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

# Waits until a canvas or an element changes, and gives the milliseconds since the event.
CLOCK = """
window.clock = (() => {
  const print = (name) => {
    const e = document.querySelector(name);
    if (!(e instanceof HTMLCanvasElement)) return e ? e.outerHTML : '';
    const pixels = e.getContext('2d').getImageData(0, 0, e.width, e.height).data;
    let sum = 0;
    for (let i = 0; i < pixels.length; i += 4)
      sum = (sum * 31 + pixels[i] + 7 * pixels[i + 1] + 13 * pixels[i + 2]) % 1000003;
    return sum;
  };
  let before, began, name;
  const start = () => { if (before !== undefined && began === undefined) began = performance.now(); };
  for (const kind of ['pointermove', 'pointerdown', 'input', 'keydown']) addEventListener(kind, start, true);
  return {
    arm(which) { name = which; before = print(name); began = undefined; },
    done: () => new Promise((tell) => {
      const look = () => {
        if (began !== undefined && print(name) !== before) { before = undefined; tell(performance.now() - began); }
        else requestAnimationFrame(look);
      };
      look();
      setTimeout(() => tell(-1), 20000);
    }),
  };
})();
"""


@contextlib.contextmanager
def serving(targets: list[str]) -> Iterator[str]:
    """The address of a studio in a process of its own."""
    words = [sys.executable, "-m", "striate", "studio", "--no-browser", *targets]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        yield line.split()[-1]
    finally:
        server.terminate()
        server.wait()


def measure(page: Any, what: str, changes: str, act: Callable[[int], None], moves: int) -> dict[str, Any]:  # fmt: skip
    """Milliseconds of `moves` times `act`, each until the element `changes` is another."""
    times = []
    for i in range(moves):
        page.evaluate("name => clock.arm(name)", changes)
        act(i)
        taken = page.evaluate("() => clock.done()")
        if taken >= 0:
            times.append(taken)
        page.wait_for_timeout(30)
    found = {"what": what, "moves": len(times)}
    if times:
        found |= {"median": float(np.median(times)), "p95": float(np.quantile(times, 0.95))}
    return found


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", default=["efficientnet-lite0"])
    parser.add_argument("--moves", type=int, default=60)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    from playwright.sync_api import sync_playwright

    rows: list[dict[str, Any]] = []
    with serving(asked.targets) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.set_default_timeout(120_000)
        page.goto(address)
        page.wait_for_selector("#maps canvas, #maps .vector")
        base = address.split("/?")[0]

        def go(where: str, ready: str = "#maps canvas, #maps .vector") -> None:
            page.goto("about:blank")
            page.goto(f"{base}/#{where}")
            page.wait_for_selector(ready, state="attached")
            page.wait_for_timeout(2500)
            page.evaluate(CLOCK)

        def at(selector: str, i: int) -> tuple[float, float]:
            box = page.locator(selector).first.bounding_box()
            share = 0.2 + 0.6 * ((7 * i) % asked.moves) / asked.moves
            return box["x"] + share * box["width"], box["y"] + (0.9 - 0.8 * share) * box["height"]

        def hover(selector: str) -> Callable[[int], None]:
            return lambda i: page.mouse.move(*at(selector, i))

        go("tool=look")
        rows.append(measure(page, "1 a pixel to all it can change", "#over", hover("#picture"), asked.moves))  # fmt: skip
        rows.append(measure(page, "1 a value to its field", "#over", hover("#maps canvas"), asked.moves))  # fmt: skip
        go("tool=hide")
        page.mouse.move(*at("#picture", 0))
        page.mouse.down()
        rows.append(measure(page, "2 the occluder to the answer", "#bars", hover("#picture"), asked.moves))  # fmt: skip
        page.mouse.up()
        go("tool=change")

        def slide(i: int) -> None:
            page.locator("#slider-contrast").fill(f"{0.5 + i % 20 / 20:.2f}")

        rows.append(measure(page, "3 a slider to the picture", "#pixels", slide, asked.moves))
        go("tool=why&method=saliency")

        def press(i: int) -> None:
            page.locator("#bars").focus()
            page.keyboard.press("ArrowDown" if i % 2 == 0 else "ArrowUp")

        rows.append(measure(page, "8 a class to its gradient map", "#over", press, min(asked.moves, 20)))  # fmt: skip
        go("tool=draw")

        def stroke(i: int) -> None:
            page.mouse.move(*at("#picture", i))
            page.mouse.down()
            page.mouse.up()

        rows.append(measure(page, "6 a stroke to the picture", "#pixels", stroke, asked.moves))
        go("view=windows", "[data-grid=output] td")

        def stride(i: int) -> None:
            page.locator("#window-stride").fill(str(1 + i % 3))

        rows.append(measure(page, "10 a slider to the numbers", "#window-told", stride, asked.moves))  # fmt: skip
        browser.close()
    print("| interaction | median | 95th percentile | moves |\n|---|---|---|---|")
    for row in rows:
        shown = [f"{row[k]:.0f} ms" if k in row else "none" for k in ("median", "p95")]
        print(f"| {row['what']} | {shown[0]} | {shown[1]} | {row['moves']} |")
    if asked.json:
        asked.json.write_text(json.dumps({"targets": asked.targets, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
