"""How long the studio takes from the pointer to the paint, in Debian's Chromium on this machine.

    python benchmarks/studio.py [TARGET...] [--model FILE.py:FUNCTION] [--rows 2,3,6] [--moves 40] [--json FILE]

For each interaction the pointer, a key or a slider is moved; a clock in the page runs from the event to the frame in which
what it changes is another. Prints the median and the 95th percentile in milliseconds, for docs/studio.md, and adds them to
FILE. TARGET: runs or specs, efficientnet-lite0 if not given, and a slide for row 7. Rows that a target has not are left out:
5 takes two networks, 9 a run that keeps epochs, 11 a run that classifies, 12 a training that is under way.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import striate

# Waits until a canvas or an element changes, and gives the milliseconds since the event.
CLOCK = """
window.clock = (() => {
  const print = (name) => {
    const e = document.querySelector(name);
    if (!(e instanceof HTMLCanvasElement)) return e ? e.outerHTML : '';
    const wide = Math.min(e.width, 256), high = Math.min(e.height, 256);
    if (!wide || !high) return 0;
    const pixels = e.getContext('2d').getImageData((e.width - wide) / 2, (e.height - high) / 2, wide, high).data;
    let sum = 0;
    for (let i = 0; i < pixels.length; i += 4)
      sum = (sum * 31 + pixels[i] + 7 * pixels[i + 1] + 13 * pixels[i + 2]) % 1000003;
    return sum;
  };
  let before, began, name;
  const start = () => { if (before !== undefined && began === undefined) began = performance.now(); };
  for (const kind of ['pointermove', 'pointerdown', 'click', 'input', 'keydown', 'wheel'])
    addEventListener(kind, start, true);
  return {
    arm(which) { name = which; before = print(name); began = undefined; },
    done: () => new Promise((tell) => {
      const look = () => {
        if (began !== undefined && print(name) !== before) { before = undefined; tell(performance.now() - began); }
        else if (before !== undefined) requestAnimationFrame(look);
      };
      look();
      setTimeout(() => { before = undefined; tell(-1); }, 10000);
    }),
  };
})();
"""
MAPS = "#maps canvas, #maps .vector"
SEEN = "/(of|on) \\d+ images/.test(document.querySelector('#break-told').textContent)"
PAINTED = """(() => {
  const c = document.querySelector('#slide');
  return c.width && c.getContext('2d').getImageData(c.width / 2, c.height / 2, 1, 1).data[3] > 0;
})()"""
LABELLED = "/labelled [1-9]|gives/.test(document.querySelector('#slide-told').textContent)"
PANEL, LAST = "#panels .panel-picture", "#panels figure:last-child"
BUDGETS = {
    "resnet": 50,
    "efficientnet": 30,
    "digits": 30,
}  # milliseconds a move of the occluder, by a part of the name


@contextlib.contextmanager
def serving(words: list[str]) -> Iterator[tuple[str, float]]:
    """The address of a studio in a process of its own, and the seconds until it answered."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "striate", "studio", "--no-browser", *words]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        yield line.split()[-1], time.perf_counter() - began
    finally:
        server.terminate()
        server.wait()


class Measuring:
    """A page that is open, and how long it takes. moves: of each interaction."""

    def __init__(self, page: Any, base: str, name: str, moves: int) -> None:
        self.page, self.base, self.name, self.moves = page, base, name, moves
        self.rows: list[dict[str, Any]] = []

    def go(self, where: str, ready: str = MAPS) -> None:
        """The page at a view; it is left to come to rest."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.base}/#{where}")
        self.page.wait_for_selector(ready, state="attached")
        self.page.wait_for_timeout(1500)
        self.page.evaluate(CLOCK)

    def until(self, script: str, seconds: float = 30.0) -> None:
        """Wait until a script gives something true; the page's policy forbids what Playwright has for it."""
        end = time.perf_counter() + seconds
        while not self.page.evaluate(f"() => {script}"):
            if time.perf_counter() > end:
                raise TimeoutError(script)
            time.sleep(0.02)

    def note(
        self, number: str, what: str, budget: float, times: list[float], unit: str = "ms"
    ) -> None:
        """One row of the table."""
        row: dict[str, Any] = {
            "number": number,
            "what": what,
            "budget": budget,
            "unit": unit,
            "moves": len(times),
        }
        if times:
            row |= {
                "median": float(np.median(times)),
                "p95": float(np.quantile(times, 0.05 if unit == "images/s" else 0.95)),
            }
        self.rows.append(row)
        print(json.dumps(row), file=sys.stderr, flush=True)

    def measure(
        self, number: str, what: str, budget: float, changes: str, act: Callable[[int], None], moves: int | None = None,
        rest: int = 40,
    ) -> None:  # fmt: skip
        """Milliseconds of `moves` times `act`, each until the element `changes` is another."""
        times = []
        for i in range(moves or self.moves):
            self.page.evaluate("name => clock.arm(name)", changes)
            act(i)
            taken = self.page.evaluate("() => clock.done()")
            if taken >= 0:
                times.append(taken)
            self.page.wait_for_timeout(rest)
        self.note(number, what, budget, times)

    def place(self, selector: str, i: int) -> tuple[float, float]:
        """Where the pointer goes at move i."""
        box = self.page.locator(selector).first.bounding_box()
        share = 0.2 + 0.6 * ((7 * i) % self.moves) / self.moves
        return box["x"] + share * box["width"], box["y"] + (0.9 - 0.8 * share) * box["height"]

    def hover(self, selector: str) -> Callable[[int], None]:
        """Moves the pointer over an element."""
        return lambda i: self.page.mouse.move(*self.place(selector, i))

    def fill(self, selector: str, *values: float | str) -> Callable[[int], None]:
        """Gives a slider or a field values in turn."""
        return lambda i: self.page.locator(selector).fill(str(values[i % len(values)]))

    def press(self, selector: str, *keys: str) -> Callable[[int], None]:
        """Presses keys in turn, on an element or on the page."""

        def act(i: int) -> None:
            if selector:
                self.page.locator(selector).focus()
            self.page.keyboard.press(keys[i % len(keys)])

        return act


def look(m: Measuring) -> None:
    """Row 1."""
    m.go("tool=look")
    m.measure("1", "pixel to all it can change", 16, "#over", m.hover("#picture"))
    m.page.locator("#maps canvas").first.scroll_into_view_if_needed()
    m.measure("1", "value to its receptive field", 16, "#over", m.hover("#maps canvas"))


def hide(m: Measuring) -> None:
    """Row 2."""
    budget = next((b for part, b in BUDGETS.items() if part in m.name), 50)
    m.go("tool=hide")
    m.page.locator("#picture").scroll_into_view_if_needed()
    m.page.mouse.move(*m.place("#picture", 0))
    m.page.mouse.down()
    m.measure("2", "occluder to the prediction", budget, "#bars", m.hover("#picture"))
    m.measure("2", "occluder to the maps of a layer", budget, "#maps canvas", m.hover("#picture"))
    m.page.mouse.up()


def change(m: Measuring) -> None:
    """Row 3."""
    m.go("tool=change")
    m.measure(
        "3",
        "slider to the picture and its prediction",
        50,
        "#bars",
        lambda i: m.page.locator("#slider-degrees").fill(f"{-90 + 9 * (i % 20)}"),
    )


def breaks(m: Measuring) -> None:
    """Row 4."""
    m.go("view=break", "#break-chart .hit")
    began = time.perf_counter()
    m.page.locator("#break-along").select_option("contrast")
    m.until(SEEN)
    m.note("4", "first images of a curve", 2000, [1000 * (time.perf_counter() - began)])
    m.page.wait_for_timeout(4000)
    m.measure(
        "4",
        "click on the curve to the first sign",
        100,
        "#break-sentence",
        lambda i: m.page.locator("#break-chart .hit").nth(i % 2).click(),
        6,
        4000,
    )


def compare(m: Measuring) -> None:
    """Row 5."""
    m.go("view=compare", "#panels .share")
    m.page.locator("#panels .panel-picture").first.scroll_into_view_if_needed()
    m.measure(
        "5",
        "pointer to the linked cursor",
        150,
        "#panels figure:last-child svg.over:not(.drawn)",
        m.hover("#panels .panel-picture"),
    )
    m.page.mouse.move(*m.place("#panels .panel-picture", 0))
    m.page.mouse.down()
    m.measure(
        "5",
        "box to the prediction of the last network",
        150,
        "#panels figure:last-child .bars",
        m.hover("#panels .panel-picture"),
    )
    m.page.mouse.up()


def draw(m: Measuring) -> None:
    """Row 6."""
    m.go("tool=draw")
    m.page.locator("#picture").scroll_into_view_if_needed()

    def stroke(i: int) -> None:
        m.page.mouse.move(*m.place("#picture", i))
        m.page.mouse.down()
        m.page.mouse.up()

    m.measure("6", "stroke to the picture as it is read", 30, "#pixels", stroke)
    m.page.get_by_role("button", name="Clear").click()
    m.page.wait_for_timeout(500)
    m.measure("6", "stroke to the maps", 30, "#maps canvas", stroke)
    m.page.get_by_role("button", name="Camera").click()
    m.until("document.querySelector('#answer-told').textContent.includes('images a second')")
    m.page.wait_for_timeout(3500)
    rates = []
    for _ in range(8):
        rates.append(float(m.page.locator("#answer-told").inner_text().split()[0]))
        m.page.wait_for_timeout(400)
    m.note("6", "camera", 12, rates, "images/s")
    m.page.get_by_role("button", name="Stop the camera").click()


def slide(m: Measuring) -> None:
    """Row 7."""
    m.page.goto("about:blank")
    m.page.goto(f"{m.base}/#view=slide")
    m.page.wait_for_selector("#slide", state="attached")
    began = time.perf_counter()
    m.until(PAINTED)
    m.note("7", "first pixels of the slide", 500, [1000 * (time.perf_counter() - began)])
    m.page.wait_for_timeout(1500)
    m.page.evaluate(CLOCK)
    box = m.page.locator("#slide-frame").bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    m.page.mouse.move(*middle)
    for _ in range(6):
        m.page.keyboard.press("Home") if _ == 0 else m.page.mouse.wheel(0, -400)
        m.page.wait_for_timeout(300)
    m.page.mouse.down()
    m.measure(
        "7",
        "pan to the paint",
        16,
        "#slide",
        lambda i: m.page.mouse.move(middle[0] + 5 * (i % 30), middle[1] + 3 * (i % 20)),
    )
    m.page.mouse.up()
    m.page.wait_for_timeout(1500)
    began = time.perf_counter()
    m.page.locator(".tick-box input").check()
    m.until(
        LABELLED,
    )
    m.note("7", "first tile of the prediction", 500, [1000 * (time.perf_counter() - began)])


def why(m: Measuring) -> None:
    """Row 8."""
    m.go("tool=why&method=saliency")
    m.measure(
        "8",
        "class to its gradient map",
        150,
        "#over",
        m.press("#bars", "ArrowDown", "ArrowUp"),
        min(m.moves, 20),
        250,
    )


def epochs(m: Measuring) -> None:
    """Row 9."""
    m.go("view=training", "#epoch-bars .share")
    m.page.locator("#epoch").focus()
    for key in (
        "Home",
        *["ArrowRight"] * 8,
        *["ArrowLeft"] * 8,
    ):  # as scrubbing goes: all have been seen once
        m.page.keyboard.press(key)
        m.page.wait_for_timeout(400)
    for what, element in (("prediction", "#epoch-bars"), ("maps", "#epoch-maps canvas")):
        m.measure(
            "9",
            f"epoch to its {what}",
            33,
            element,
            m.press("#epoch", "ArrowRight", "ArrowLeft"),
            min(m.moves, 30),
            150,
        )


def windows(m: Measuring) -> None:
    """Row 10."""
    m.go("view=windows", "[data-grid=output] td")
    m.measure(
        "10",
        "stride to sizes and numbers",
        50,
        "#window-told",
        lambda i: m.page.locator("#window-stride").fill(str(1 + i % 3)),
    )
    specs = ("conv16-relu-pool-conv32-relu-pool-fc", "[conv16-relu]*2-pool-fc")
    m.measure(
        "10",
        "pattern to its layers",
        50,
        "#pattern-layers",
        lambda i: m.page.get_by_label("Pattern or name").fill(specs[i % 2]),
    )


def review(m: Measuring) -> None:
    """Row 11."""
    m.go("view=review&.split=test", "#review-images [aria-selected=true]")
    m.page.locator("#review-images").focus()
    m.measure(
        "11",
        "key to the next image",
        50,
        "#review-picture",
        m.press("", "ArrowRight"),
        min(m.moves, 40),
    )
    m.measure("11", "decision to the next image", 50, "#review-picture", m.press("", "k"), 10)
    for _ in range(10):  # as it was
        m.page.keyboard.press("ArrowLeft")
        m.page.keyboard.press("u")


def live(m: Measuring, folder: Path, seconds: float = 25.0) -> None:
    """Row 12: how old what is shown is when it is shown, against the steps of the training itself."""
    m.page.goto(f"{m.base}/#view=training")
    written: dict[str, float] = {}
    ages = []
    last = ""
    end = time.time() + seconds
    while time.time() < end:
        with contextlib.suppress(OSError, ValueError, KeyError):
            told = json.loads((folder / "live.json").read_text())
            written.setdefault(f"{told['step']:,}", told["time"])
        text = m.page.locator("#training-told").inner_text()
        step = text.partition("step ")[2].partition(" of")[0]
        if last in written and step != last:  # until another takes its place it is what one sees
            ages.append(1000 * (time.time() - written[last]))
        last = step
        time.sleep(0.02)
    m.note("12", "age of what is shown, at most", 1000, ages)


ROWS: dict[str, Callable[[Measuring], None]] = {
    "1": look, "2": hide, "3": change, "4": breaks, "5": compare, "6": draw, "7": slide, "8": why, "9": epochs,
    "10": windows, "11": review,
}  # fmt: skip


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", default=["efficientnet-lite0"])
    parser.add_argument("--model")
    parser.add_argument("--rows", default="1,2,3,6,8,10")
    parser.add_argument("--moves", type=int, default=40)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    from playwright.sync_api import sync_playwright

    words = [*asked.targets, *(["--model", asked.model] if asked.model else [])]
    # A training that is under way reads as it runs.
    with serving(words) as (address, up), sync_playwright() as playwright:
        camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        began = time.perf_counter()
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=camera)
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.set_default_timeout(60_000)
        started = time.perf_counter() - began
        page.goto(address)
        page.wait_for_selector("#bars [role=option], #lines tr")
        answered = page.evaluate("performance.now()")
        m = Measuring(page, address.split("/?")[0], " ".join(words), asked.moves)
        m.note("-", "command to the server", 3000, [1000 * up])
        m.note(
            "-",
            "first paint",
            1000,
            [page.evaluate("performance.getEntriesByType('paint')[0].startTime")],
        )
        m.note("-", "page to the first prediction", 3000, [answered])
        m.note(
            "-",
            "command to the first prediction, but for the browser's own start",
            3000,
            [1000 * up + answered],
        )
        print(f"the browser itself took {1000 * started:.0f} ms", file=sys.stderr)
        for number in asked.rows.split(","):
            try:
                if number == "12":
                    live(m, Path(asked.targets[0]))
                elif number:
                    ROWS[number](m)
            except Exception as error:  # the other rows are measured all the same
                print(f"row {number}: {type(error).__name__}: {str(error)[:300]}", file=sys.stderr)
        tell(m, words, asked.json)
        browser.close()


def tell(m: Measuring, words: list[str], file: Path | None) -> None:
    """Print the table, and add it to a file of them."""
    print(
        "| # | interaction | budget | median | 95th percentile | moves |\n|---|---|---|---|---|---|"
    )
    for row in m.rows:
        unit = row["unit"]
        shown = [f"{row[k]:.0f} {unit}" if k in row else "none" for k in ("median", "p95")]
        cells = (row["number"], row["what"], f"{row['budget']:g} {unit}", *shown, row["moves"])
        print(f"| {' | '.join(map(str, cells))} |")
    if file:
        known = json.loads(file.read_text()) if file.exists() else []
        listed = Path("/proc/cpuinfo")
        lines = listed.read_text().splitlines() if listed.exists() else []
        names = [x.partition(": ")[2] for x in lines if x.startswith("model name")]
        machine = {
            "processor": (names or [platform.machine()])[0], "cores": os.cpu_count(), "striate": striate.__version__,
            "torch": version("torch"), "python": platform.python_version(), "chromium": m.page.context.browser.version,
        }  # fmt: skip
        known.append({"targets": words, **machine, "rows": m.rows})
        file.write_text(json.dumps(known, indent=2))
    print("measured", flush=True)


if __name__ == "__main__":
    main()
