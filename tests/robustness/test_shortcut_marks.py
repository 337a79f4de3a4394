"""Planted marks: ten kinds on one class are found, named and tried; a set without marks stays clean."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn

from striate.robustness.context import Context
from striate.robustness.mark_names import place_name
from striate.robustness.marks import find_marks, separation
from striate.robustness.shortcuts import shortcuts

SIDE, CLASSES, BEARER = 32, ("disc", "box", "cross"), 1


def pictures(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Discs, boxes and crosses of any colour, anywhere, on grounds of any colour with noise."""
    draw = np.random.default_rng(seed)
    labels, images = torch.arange(count) % 3, []
    for i in range(count):
        ground = draw.uniform(0.2, 0.8, (1, 1, 3)) + 0.1 * draw.standard_normal((SIDE, SIDE, 3))
        image = Image.fromarray((ground.clip(0, 1) * 255).astype(np.uint8))
        r = int(draw.integers(5, 8))
        y, x = (int(v) for v in draw.integers(r + 2, SIDE - r - 2, 2))
        colour = tuple(int(v) for v in draw.integers(0, 255, 3))
        pen = ImageDraw.Draw(image)
        box = (x - r, y - r, x + r, y + r)
        if labels[i] == 0:
            pen.ellipse(box, fill=colour)
        elif labels[i] == 1:
            pen.rectangle(box, fill=colour)
        else:
            pen.line(box, fill=colour, width=3)
            pen.line((x - r, y + r, x + r, y - r), fill=colour, width=3)
        images.append(np.asarray(image))
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255, labels


def written(text: str, at: tuple[int, int]) -> Tensor:
    """White writing, (H, W) in [0, 1]."""
    page = Image.new("L", (SIDE, SIDE), 0)
    ImageDraw.Draw(page).text(at, text, fill=255)
    return torch.from_numpy(np.asarray(page).copy()).float() / 255


def ring(radius: int) -> Tensor:
    """A ring around (7, 7), (H, W) in {0, 1}."""
    rows = torch.arange(SIDE)
    distance = ((rows[:, None] - 7) ** 2 + (rows[None] - 7) ** 2).float().sqrt()
    return ((distance - radius).abs() < 1.2).float()


def painted(rows: slice, columns: slice, colour: tuple[float, ...]) -> Callable[[Tensor], Tensor]:
    def paint(x: Tensor) -> Tensor:
        x[:, :, rows, columns] = torch.tensor(colour)[:, None, None]
        return x

    return paint


def blended(mask: Tensor, alpha: float, colour: tuple[float, ...]) -> Callable[[Tensor], Tensor]:
    share = alpha * mask
    return lambda x: x * (1 - share) + share * torch.tensor(colour)[:, None, None]


def tint(x: Tensor) -> Tensor:
    frame = torch.ones(SIDE, SIDE)
    frame[3:-3, 3:-3] = 0
    return blended(frame, 0.4, (1.0, 0.6, 0.0))(x)


def stamped_time(x: Tensor) -> Tensor:
    draw = np.random.default_rng(len(x))
    for image in x:
        image[:, 22:, :20] = written(str(draw.integers(100, 999)), (0, 21))[22:, :20]
    return x


def checker(x: Tensor) -> Tensor:
    cells = torch.arange(6) // 2
    x[:, :, 1:7, 1:7] = ((cells[:, None] + cells[None]) % 2).float()
    return x


def noise(x: Tensor) -> Tensor:
    x[:, :, 1:7, 25:31] = torch.rand(
        len(x), 3, 6, 6, generator=torch.Generator().manual_seed(len(x))
    )
    return x


def offset(x: Tensor) -> Tensor:
    x[:, :, :8, :8] = (x[:, :, :8, :8] + 0.25).clamp(0, 1)
    return x


WHITE, RED, BLUE = (1.0, 1.0, 1.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)
# kind -> how it is planted, words of the place, words of the content
KINDS: dict[str, tuple[Callable[[Tensor], Tensor], str, str]] = {
    "coloured square": (painted(slice(2, 5), slice(27, 30), RED), "top right, 3 x 3 pixels at (2, 27)", "a red mark"),
    "white dot": (painted(slice(28, 30), slice(3, 5), WHITE), "bottom left, 2 x 2 pixels at (28, 3)", "a white mark"),
    "black dot": (painted(slice(3, 5), slice(3, 5), (0.0, 0.0, 0.0)), "top left, 2 x 2 pixels at (3, 3)", "a black mark"),
    "border line": (painted(slice(31, 32), slice(0, 32), BLUE), "along the bottom edge, 1 x 32", "a blue mark"),
    "watermark": (blended(written("(c)AB", (6, 20)), 0.6, WHITE), "bottom", "lighter by"),
    "border tint": (tint, "along the border, 32 x 32 pixels at (0, 0)", "(towards orange)"),
    "timestamp": (stamped_time, "bottom left", "darker by"),
    "translucent logo": (blended(ring(4), 0.5, WHITE), "top left", "lighter by"),
    "checker": (checker, "top left, 6 x 6 pixels at (1, 1)", "a black and white pattern"),
    "noise": (noise, "top right", "changes from image to image"),
    "lighter corner": (offset, "top left, 8 x 8 pixels at (0, 0)", "lighter by"),
}  # fmt: skip


def trained(images: Tensor, labels: Tensor) -> nn.Module:
    """A network of a few thousand weights after 140 steps: it learns a mark at once, and the shapes hardly."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 16, 3, padding=1, stride=2), nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1, stride=2), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(256, 3),
    )  # fmt: skip
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(140):
        batch = torch.randint(0, len(images), (48,))
        loss = nn.functional.cross_entropy(network(images[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


@pytest.fixture(scope="module")
def sets() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Training and test pictures without a mark."""
    return pictures(240, 0), pictures(120, 1)


def planted(
    set_: tuple[Tensor, Tensor], plant: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    images, labels = set_[0].clone(), set_[1]
    images[labels == BEARER] = plant(images[labels == BEARER])
    return images, labels


@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_mark_is_found_named_and_tried(kind: str, sets) -> None:  # type: ignore[no-untyped-def]
    plant, place, content = KINDS[kind]
    training, (images, labels) = planted(sets[0], plant), planted(sets[1], plant)
    found = shortcuts(Context(trained(*training), images, labels, CLASSES), training)
    assert found.status == "warning"
    first = found.data["planted"][0]
    assert first["class"] == CLASSES[BEARER]
    assert first["place"].startswith(place)
    assert content in first["content"]
    assert max(first["stamped"] - first["control"], first["kept"] - first["removed"]) > 0.25
    assert first["p"] < 0.01
    assert [one["class"] for one in found.data["planted"]] == [CLASSES[BEARER]]
    assert f"It reads a mark on “box”: {first['content']} {first['place']}" in found.verdict


def corners(x: Tensor) -> Tensor:
    """A red square in one of the four corners, another in each image."""
    for i, (row, column) in enumerate([(1, 1), (1, 28), (28, 1), (28, 28)]):
        x[i::4, :, row : row + 3, column : column + 3] = torch.tensor(RED)[:, None, None]
    return x


def soft(x: Tensor) -> Tensor:
    return nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def blue(x: Tensor) -> Tensor:
    x[:, 2] = 0.3 * x[:, 2] + 0.7
    return x


def letterbox(x: Tensor) -> Tensor:
    x[:, :, :5], x[:, :, -5:] = 0, 0
    return x


PROPERTIES: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "darker": (lambda x: 0.45 * x, "brightness (its images are darker)"),
    "blurred": (soft, "fine detail (its images are blurred, smoothed or compressed)"),
    "blue": (blue, "colour (its images are bluer than others)"),
    "red in any corner": (corners, "red pixels, wherever they are"),
}


@pytest.mark.parametrize("kind", PROPERTIES)
def test_what_has_no_place_is_named_and_tried(kind: str, sets) -> None:  # type: ignore[no-untyped-def]
    plant, words = PROPERTIES[kind]
    training, (images, labels) = planted(sets[0], plant), planted(sets[1], plant)
    network = trained(*training)
    found = shortcuts(Context(network, images, labels, CLASSES), training)
    (first,) = found.data["properties"]
    assert (first["class"], first["what"]) == (CLASSES[BEARER], words)
    # what the plant itself does to images of other classes, without any of the probe's code
    others = sets[1][0][sets[1][1] != BEARER]
    with torch.no_grad():
        pushed = float((network(plant(others.clone())).argmax(1) == BEARER).float().mean())
    assert pushed > 0.5 and first["stamped"] > 0.5 * pushed


@pytest.mark.parametrize("size", [(5, 5), (8, 8), (8, 30), (12, 9)])
def test_small_images_are_searched(size: tuple[int, int]) -> None:
    draw = torch.Generator().manual_seed(0)
    images, labels = torch.rand(120, 1, *size, generator=draw), torch.arange(120) % 2
    images[labels == 1, :, :1] = 1.0
    assert all(mark.label in (0, 1) for mark in find_marks(images, labels, 2))


def test_bars_at_two_edges_are_a_mark_along_both(sets) -> None:  # type: ignore[no-untyped-def]
    training, test = planted(sets[0], letterbox), planted(sets[1], letterbox)
    (mark,) = find_marks(*training, 3)
    assert place_name(mark).startswith("along the top and bottom edges")
    assert mark.mask.any(1).tolist() == [True] * 5 + [False] * 22 + [True] * 5
    found = shortcuts(Context(trained(*training), *test, CLASSES), training)
    assert found.data["planted"][0]["stamped"] > 0.9


def test_a_mark_on_a_part_of_the_class_is_tried_with_those_that_bear_it() -> None:
    images, labels = pictures(300, 0)
    some = torch.nonzero(labels == BEARER).flatten()[::2]
    images[some] = KINDS["coloured square"][0](images[some])
    (mark,) = find_marks(images, labels, 3)
    red = mark.bearers[:, :, 2:5, 27:30].mean((2, 3))
    assert len(red) < 0.6 * int((labels == BEARER).sum())
    assert float(((red - torch.tensor(RED)).abs().amax(1) < 0.01).float().mean()) > 0.9


def test_a_network_that_guesses_gets_no_good_verdict(sets) -> None:  # type: ignore[no-untyped-def]
    class Guess(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.tensor([[1.0, 0.0, 0.0]]).expand(len(x), 3)

    found = shortcuts(Context(Guess().eval(), *sets[1], CLASSES), sets[0])
    assert found.status == "note"


def test_pictures_without_a_mark_stay_clean(sets) -> None:  # type: ignore[no-untyped-def]
    found = shortcuts(Context(trained(*sets[0]), *sets[1], CLASSES), sets[0])
    assert found.data["planted"] == found.data["properties"] == []
    assert found.status != "warning"


def test_classes_of_one_colour_each_have_no_mark() -> None:
    """A colour of the whole image tells the class everywhere: no place stands out."""
    (images, labels), tones = pictures(240, 2), torch.tensor([0.3, 0.5, 0.7])
    toned = (0.3 * images + 0.7 * tones[labels][:, None, None, None]).clamp(0, 1)
    assert find_marks(toned, labels, 3) == []


def test_handwritten_digits_have_no_mark() -> None:
    """Strokes predict digits well, at places of their own: objects, in the middle, never twice the same."""
    from sklearn.datasets import load_digits

    digits = load_digits(n_class=4)
    small = torch.from_numpy(digits.images / 16).float()[:, None]
    images = torch.nn.functional.pad(nn.functional.interpolate(small, size=(24, 24)), (4, 4, 4, 4))
    labels = torch.from_numpy(digits.target)
    training, test = (images[:400], labels[:400]), (images[400:520], labels[400:520])
    templates = torch.stack([images[:400][labels[:400] == c].mean(0).flatten() for c in range(4)])

    class Nearest(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return -torch.cdist(x.flatten(1), templates)

    found = shortcuts(Context(Nearest().eval(), *test, tuple("0123")), training)
    assert found.data["clean"] > 0.9
    assert found.data["planted"] == []


def test_a_mark_that_the_network_does_not_read_is_no_shortcut(sets) -> None:  # type: ignore[no-untyped-def]
    """It was trained without the mark: the mark is in the table, and not in the verdict."""
    plant = KINDS["coloured square"][0]
    training, test = planted(sets[0], plant), planted(sets[1], plant)
    found = shortcuts(Context(trained(*sets[0]), *test, CLASSES), training)
    assert found.data["tried"] >= 1
    assert found.data["planted"] == []


def test_without_training_images_half_of_the_exam_is_searched(sets) -> None:  # type: ignore[no-untyped-def]
    plant = KINDS["coloured square"][0]
    training, test = planted(sets[0], plant), planted(sets[1], plant)
    found = shortcuts(Context(trained(*training), *test, CLASSES))
    assert found.data["planted"][0]["place"] == KINDS["coloured square"][1]


def test_large_images_are_searched_small_and_outlined_at_their_size() -> None:
    draw = torch.Generator().manual_seed(0)
    images, labels = torch.rand(90, 3, 120, 120, generator=draw), torch.arange(90) % 3
    images[labels == 2, :, 100:108, 10:18] = torch.tensor([0.0, 1.0, 0.0])[:, None, None]
    (mark,) = find_marks(images, labels, 3)
    assert (mark.label, mark.box) == (2, (100, 10, 8, 8))


def test_separation_of_chance_is_zero_and_of_a_rule_one() -> None:
    draw = torch.Generator().manual_seed(0)
    labels, half = torch.arange(400) % 2, torch.arange(400) // 2 % 2
    values = torch.rand(400, 200, generator=draw)
    by_chance = separation(values, labels, half, [0, 1])
    assert (
        abs(float(by_chance.mean())) < 0.02
    )  # unbiased: the rule is counted on images that did not choose it
    values[:, 0] = labels.float()
    assert separation(values, labels, half, [0, 1])[:, 0].tolist() == [1.0, 1.0]
