"""The page in a browser: what its canvases and bars show against the network itself, by pointer and by keyboard."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import pytest
import torch
from tests_of_pages import AREAS, NAMES, SIDE, Open, classifier, cut, pictures, segmenter
from torch import Tensor


def image(at: int) -> Tensor:
    return torch.from_numpy(pictures()[at]).float() / 255


@torch.no_grad()
def shares(picture: Tensor) -> dict[str, float]:
    """By the module alone, in percent."""
    logits = classifier(0)((picture[None] - 0.5) / 0.25)[0]
    return dict(zip(NAMES, (100 * logits.softmax(0)).tolist(), strict=True))


def bars(studio: Open) -> dict[str, float]:
    rows = studio.page.locator("#bars [role=option]").all()
    return {
        row.locator(".name").inner_text(): float(row.locator(".share").inner_text().rstrip(" %"))
        for row in rows
    }


def hash_of(studio: Open) -> dict[str, str]:
    told = studio.page.evaluate("location.hash")  # page.url learns of it later
    return {k: v[0] for k, v in parse_qs(told.removeprefix("#")).items()}


def shown(studio: Open) -> np.ndarray:
    """The picture on the page as (3, H, W) uint8."""
    return studio.pixels("#pixels")[..., :3].transpose(2, 0, 1)


def box_of(studio: Open) -> list[int]:
    return [int(v) for v in hash_of(studio)["box"].split(",")]


SAME = "document.getElementById('answer-told').textContent.includes('full pass')"


def test_the_first_picture_its_answer_and_its_maps_are_the_networks(studio: Open) -> None:
    studio.go("picture=s3")
    studio.until("document.querySelectorAll('#bars [role=option]').length === 3")
    assert np.array_equal(shown(studio), pictures()[3])
    assert bars(studio) == pytest.approx(shares(image(3)), abs=0.051)
    studio.until("document.querySelectorAll('#maps canvas').length === 6")
    maps_are_those_of(studio, image(3))


def maps_are_those_of(studio: Open, changed: torch.Tensor) -> None:
    """The maps on the page have the signs that the module's first layer gives for a picture (3, H, W)."""
    with torch.no_grad():
        maps = classifier(0)[0]((changed[None] - 0.5) / 0.25)[0].numpy()
    for channel in (0, 5):
        seen = studio.pixels(f"#maps figure:nth-child({channel + 1}) canvas")
        # Blue below 0, orange above it, and white between: the sign stands in which of both there is more of.
        orange = seen[..., 0].astype(int) - seen[..., 2]
        clear = np.abs(maps[channel]) > 0.1 * np.abs(maps).max()
        assert np.array_equal(orange[clear] > 0, maps[channel][clear] > 0)


def test_pointing_at_a_pixel_and_at_a_value_is_the_same_relation(studio: Open) -> None:
    page = studio.go("tool=look")
    picture = page.locator("#picture").bounding_box()
    row, column = 5.5 / SIDE, 10.5 / SIDE
    page.mouse.move(
        picture["x"] + picture["width"] * column, picture["y"] + picture["height"] * row
    )
    said = page.locator("#picture-told").inner_text()
    # A window of 3 at stride 2, padded by 1: pixel 5 lies in outputs 2 and 3, pixel 10 in 5 alone.
    assert "Pixel 5, 10 can change rows 2 to 3 and columns 5 to 5" in said
    page.locator("#maps canvas").first.hover(position={"x": 1, "y": 1})
    assert "sees rows 0 to 1 and columns 0 to 1, no other pixel" in page.locator("#picture-told").inner_text()  # fmt: skip
    page.mouse.move(1, 1)
    page.locator("#maps").focus()
    page.keyboard.press("ArrowDown")
    assert "Value 1, 0" in page.locator("#picture-told").inner_text()
    page.locator("#picture").focus()
    page.keyboard.press("ArrowDown")
    assert "Pixel " in page.locator("#picture-told").inner_text()


def test_a_box_is_dragged_resized_and_moved_by_keys_and_the_answer_is_a_full_pass(studio: Open) -> None:  # fmt: skip
    page = studio.go("picture=s1&tool=hide&fill=black&box=4,12,4,12")
    studio.until(SAME)

    def holds() -> None:
        top, bottom, left, right = box_of(studio)
        hidden = image(1).clone()
        hidden[:, top:bottom, left:right] = 0
        studio.until(SAME)
        assert np.array_equal(shown(studio), (hidden * 255).round().byte().numpy())
        assert bars(studio) == pytest.approx(shares(hidden), abs=0.051)
        maps_are_those_of(studio, hidden)

    holds()
    studio.pull("#picture", (8 / SIDE, 8 / SIDE), (18.5 / SIDE, 14.5 / SIDE))
    assert box_of(studio) == [14, 22, 10, 18]
    holds()
    studio.pull("#picture", (22 / SIDE, 18 / SIDE), (26.5 / SIDE, 28.5 / SIDE))
    assert box_of(studio)[1] > 22 and box_of(studio)[3] > 18 and box_of(studio)[::2] == [14, 10]
    page.locator("#picture").focus()
    before = box_of(studio)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowUp")
    assert box_of(studio) == [before[0], before[1] - 1, before[2] - 1, before[3] - 1]
    holds()


def test_a_part_of_another_picture_hides(studio: Open) -> None:
    studio.go("picture=s1&tool=hide&fill=picture&other=s2&box=4,20,6,30")
    hidden = image(1).clone()
    hidden[:, 4:20, 6:30] = image(2)[:, 4:20, 6:30]
    studio.until(SAME)
    assert np.array_equal(shown(studio), (hidden * 255).round().byte().numpy())
    assert bars(studio) == pytest.approx(shares(hidden), abs=0.051)


def test_hiding_everywhere_draws_the_map_over_the_picture(studio: Open) -> None:
    page = studio.go("picture=s1&tool=hide&fill=grey&box=0,16,0,16")
    studio.until(SAME)
    page.get_by_role("button", name="Hide everywhere").click()
    studio.until("document.querySelector('#over image')?.getAttribute('href')?.startsWith('blob:')")
    studio.until("/at \\d+ places/.test(document.getElementById('picture-told').textContent)")


def test_sliders_change_the_picture_the_bars_and_the_curve(studio: Open) -> None:
    page = studio.go("picture=s0&tool=change&contrast=1")
    slider = page.get_by_role("slider", name="Contrast")
    slider.fill("0.5")
    studio.until(
        "location.hash.includes('contrast=0.5') && document.querySelectorAll('#chart circle').length === 33"
    )
    mean = image(0).mean()
    changed = (mean + (image(0) - mean) * 0.5).clamp(0, 1)
    assert np.abs(shown(studio).astype(int) - (changed * 255).round().numpy()).max() <= 1
    assert bars(studio) == pytest.approx(shares(changed), abs=0.051)
    # The curve in words, for who does not see it: the present picture's own answer stands in it.
    said = page.locator("#chart svg").get_attribute("aria-label")
    best = max(shares(image(0)), key=lambda name: shares(image(0))[name])
    assert f"Probability of {best} along contrast" in said
    assert f"100 %: {shares(image(0))[best]:.0f} %" in said
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert float(hash_of(studio)["contrast"]) == pytest.approx(0.51)


def test_an_explanation_is_drawn_and_its_trust_follows(studio: Open) -> None:
    page = studio.go("picture=s0&tool=why&method=saliency")
    studio.until("document.querySelector('#over image')?.getAttribute('href')?.startsWith('blob:')")
    studio.until(
        "document.getElementById('answer-told').textContent.includes('for an edge detector')"
    )
    page.locator("#bars").focus()
    page.keyboard.press("ArrowDown")
    second = page.locator("#bars [aria-selected=true] .name").inner_text()
    studio.until(f"document.getElementById('answer-told').textContent.startsWith('{second}')")


def test_layers_and_pictures_are_chosen_by_keys_and_the_address_brings_the_view_back(studio: Open) -> None:  # fmt: skip
    page = studio.go("")
    page.locator("#layers").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.locator("#strip").focus()
    page.keyboard.press("End")
    studio.until("location.hash.includes('picture=s9')")
    kept = page.evaluate("location.hash").removeprefix("#")
    told = page.locator("#layer-told").inner_text()
    assert "relu" in told.lower()
    studio.go(kept)
    studio.until("document.querySelector('#strip [aria-selected=true]')?.dataset.id === 's9'")
    assert page.locator("#layer-told").inner_text() == told
    studio.until("document.getElementById('picture-told').textContent.includes('noise 10')")
    assert np.array_equal(shown(studio), pictures()[9])


def test_a_mask_lies_over_the_picture_and_a_place_of_it_is_explained(studio: Open) -> None:
    page = studio.go("network=n2&picture=s2")
    studio.until("!document.getElementById('mask').hidden")
    with torch.no_grad():
        mask = segmenter()((image(2)[None] - 0.5) / 0.25)[0].argmax(0).numpy()
    seen = studio.pixels("#mask")
    assert np.array_equal(seen[..., 3] == 0, mask == 0)  # what is background stays clear
    colours = [
        {tuple(c) for c in seen[mask == k][:, :3].tolist()}
        for k in range(1, 3)
        if (mask == k).any()
    ]
    assert colours and all(len(c) == 1 for c in colours)
    words = page.locator("#legend").inner_text()
    for k, name in enumerate(AREAS[1:], 1):
        if (mask == k).any():
            assert f"{name}: {(mask == k).sum():,} pixels" in words
    page.locator("label", has=page.locator("input[value=why]")).click()
    page.locator("select").last.select_option("saliency")
    studio.pull("#picture", (10.5 / SIDE, 20.5 / SIDE))
    studio.until("document.getElementById('answer-told').textContent.includes('rows 10-10, columns 20-20: f')")  # fmt: skip
    page.locator("#picture").focus()
    page.keyboard.press("ArrowDown")
    studio.until(
        "document.getElementById('answer-told').textContent.includes('rows 11-11, columns 20-20')"
    )


def test_a_picture_of_another_size_has_the_layers_and_fields_of_that_size(studio: Open) -> None:
    page = studio.go("network=n2&picture=s2&tool=look")
    page.locator("#strip").focus()
    page.keyboard.press("End")
    studio.until("document.querySelector('#layer-told').textContent.includes('6 × 44 × 52')")
    studio.until("document.getElementById('pixels').width === 52")
    studio.until("document.querySelector('#maps canvas').width === 52")
    box = page.locator("#picture").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 51.5 / 52, box["y"] + box["height"] * 43.5 / 44)
    said = page.locator("#picture-told").inner_text()
    assert "Pixel 43, 51 can change rows 42 to 43 and columns 50 to 51" in said
    assert page.locator("#status").inner_text() == ""


def test_a_dropped_picture_is_looked_at(studio: Open) -> None:
    page = studio.go("")
    drop = """async () => {
        const canvas = Object.assign(document.createElement('canvas'), {width: 40, height: 40});
        const pen = canvas.getContext('2d');
        pen.fillStyle = '#c83214'; pen.fillRect(0, 0, 40, 40);
        const blob = await new Promise(done => canvas.toBlob(done));
        const held = new DataTransfer();
        held.items.add(new File([blob], 'x.png', {type: 'image/png'}));
        document.dispatchEvent(new DragEvent('drop', {dataTransfer: held, bubbles: true, cancelable: true}));
    }"""
    page.evaluate(drop)
    studio.until("/picture=d/.test(location.hash)")
    studio.until("document.getElementById('picture-told').textContent.includes('dropped')")
    assert np.array_equal(shown(studio)[:, 5, 5], [200, 50, 20])


def said(seed: int, picture: Tensor) -> dict[str, float]:
    """Shares in percent, by a module alone."""
    with torch.no_grad():
        logits = classifier(seed)((picture[None] - 0.5) / 0.25)[0]
    return dict(zip(NAMES, (100 * logits.softmax(0)).tolist(), strict=True))


def test_two_networks_are_compared_and_a_box_hides_in_both(studio: Open) -> None:
    page = studio.go("view=compare&.with=n0,n1", ready="#panels canvas")
    studio.until("document.querySelectorAll('#compare-images [role=option]').length === 10")
    best = [[max(one, key=lambda k: one[k]) for one in (said(s, image(i)) for i in range(10))] for s in (0, 1)]  # fmt: skip
    marks = ["".join("+" if b[i] == NAMES[i % 3] else "-" for b in best) for i in range(10)]
    assert len(set(marks)) > 1
    told = page.locator("#compare-marks").inner_text()
    for mark, words in {"++": "All right", "--": "All wrong", "+-": "Only first right"}.items():
        if mark in marks:
            assert f"{words} ({marks.count(mark)})" in told
    first = page.locator("#compare-images [role=option]").first.get_attribute("data-id")
    assert marks[int(first[1:])] in ("+-", "-+") or not {"+-", "-+"} & set(marks)
    page.locator("#compare-images").focus()
    page.keyboard.press("End")
    chosen = page.locator("#compare-images [aria-selected=true]").get_attribute("data-id")
    at = int(chosen[1:])
    assert f"noise {at + 1}" in page.locator("#compare-image").inner_text()

    def shows(changed: Tensor) -> None:
        for k in (0, 1):
            expected = said(k, changed)
            words = " ".join(f"{v:.1f} %" for v in sorted(expected.values(), reverse=True))
            rows = f"[...document.querySelectorAll('#panel-bars-{k} .share')]"
            studio.until(f"{rows}.map(e => e.textContent).join(' ') === '{words}'")

    shows(image(at))
    studio.pull("#panels .panel-picture", (0.3, 0.3), (0.5, 0.6))
    side = round(0.22 * SIDE)
    box = page.locator("#panels rect.hidden-box").first.evaluate(
        "r => ['x', 'y', 'width', 'height'].map(n => Number(r.getAttribute(n)))"
    )
    left, top = round(box[0] * SIDE), round(box[1] * SIDE)
    assert (top, left) == (round((0.5 - 0.11) * SIDE), round((0.6 - 0.11) * SIDE))
    hidden = image(at).clone()
    hidden[:, top : round((box[1] + box[3]) * SIDE), left : round((box[0] + box[2]) * SIDE)] = 0.5
    shows(hidden)
    assert side == 7
    page.locator("#panels").focus()
    page.keyboard.press("Escape")
    shows(image(at))


VIEWS = ["tool=look", "tool=hide", "tool=change", "tool=why", "network=n2", "view=compare"]


@pytest.mark.parametrize("where", VIEWS)
def test_axe_finds_nothing(studio: Open, where: str) -> None:
    studio.go(where)
    studio.axe()


@pytest.mark.parametrize("width", [390, 3840])
def test_nothing_is_wider_than_the_window(studio: Open, width: int) -> None:
    for where in VIEWS:
        page = studio.go(where, width=width)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, where


def test_a_lost_connection_is_said_and_comes_back(studio: Open) -> None:
    page = studio.go("tool=hide")
    page.evaluate(
        """() => {
            const status = document.getElementById('status');
            window.told = [];
            new MutationObserver(() => window.told.push(status.textContent)).observe(status, { childList: true });
        }"""
    )
    box = page.locator("#picture").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 4)
    cut()
    studio.until("window.told.some((t) => t.includes('does not answer'))")
    studio.until("document.getElementById('status').textContent === ''")
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.7, steps=3)
    page.mouse.up()
    studio.until("document.getElementById('answer-told').textContent.includes('full pass')")


def test_nothing_was_asked_of_anybody_else_and_no_policy_was_broken(studio: Open) -> None:
    studio.go("")
    mine = re.compile(rf"(http|ws)://{re.escape(studio.base.split('//')[1])}(/|$)")
    others = [
        a for a in studio.asked if not mine.match(a) and not a.startswith(("about:", "blob:"))
    ]
    assert len(studio.asked) > 5 and not others
    assert not studio.wrong
    # And the policy does stop what is no file of the studio's.
    stopped: Any = studio.page.evaluate(
        "fetch('http://127.0.0.1:9/').then(() => 'let through', e => 'stopped')"
    )
    assert stopped == "stopped"
    studio.page.wait_for_timeout(100)
    assert any("Content Security Policy" in text for text in studio.wrong)
    studio.wrong.clear()
