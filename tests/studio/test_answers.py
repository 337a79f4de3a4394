"""What the page is told is what the network gives: each answer against a plain run of the module."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

import striate
from striate.errors import StriateError
from striate.runs.wrapping import save
from striate.studio.answers import Answers
from striate.studio.describing import axis
from striate.studio.desk import PAUSE
from striate.studio.scores import of_drawing
from striate.studio.shelf import Network, Picture, Shelf
from striate.tasks.detect.objects import Objects, Region
from striate.tasks.detect.prediction import DetectionPrediction
from striate.tasks.instances.prediction import InstancePrediction

SIDE = 24
NAMES = ("ant", "bee", "cat")
BOX = [[5, 12], [3, 9]]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3),
    ).eval()  # fmt: skip


@pytest.fixture(scope="module")
def shelf() -> Shelf:
    shelf = Shelf(["efficientnet-lite0"])  # never opened: another network takes its place
    one = shelf.networks["n0"]
    one.__dict__["trained"] = striate.wrap(
        network(), classes=NAMES, preprocessing=(SIDE, 0.5, 0.25)
    )
    pixels = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE), dtype=np.uint8)
    one.__dict__["samples"] = {"s0": Picture("noise", pixels, "bee")}
    return shelf


@pytest.fixture
def ask(shelf: Shelf) -> Any:
    answers = Answers(shelf)
    return lambda kind, **q: list(answers({"kind": kind, "network": "n0", "picture": "s0", **q}))


def image_of(shelf: Shelf) -> Tensor:
    return torch.from_numpy(shelf.networks["n0"].samples["s0"].pixels).float() / 255


@torch.no_grad()
def shares(image: Tensor) -> dict[str, float]:
    """By the module alone."""
    logits = network()((image[None] - 0.5) / 0.25)[0]
    return dict(zip(NAMES, logits.softmax(0).tolist(), strict=True))


def told(header: Mapping[str, Any]) -> dict[str, float]:
    return {s["name"]: s["share"] for s in header["top"]}


def test_a_picture_has_the_networks_own_answer(ask: Any, shelf: Shelf) -> None:
    ((header, arrays),) = ask("picture")
    assert told(header) == pytest.approx(shares(image_of(shelf)), abs=1e-6)
    assert header["truth"] == "bee"
    assert np.array_equal(
        arrays["pixels"], shelf.networks["n0"].samples["s0"].pixels.transpose(1, 2, 0)
    )


@pytest.mark.parametrize(("fill", "value"), [("grey", 0.5), ("black", 0.0), ("white", 1.0)])
def test_a_hidden_box_gives_what_a_full_pass_gives(ask: Any, shelf: Shelf, fill: str, value: float) -> None:  # fmt: skip
    changed = image_of(shelf).clone()
    changed[:, 5:12, 3:9] = value
    first, pause, rest = ask("occlude", box=BOX, fill=fill)
    assert told(first[0]) == pytest.approx(shares(changed), abs=1e-6) and pause is PAUSE
    assert told(rest[0]) == pytest.approx(shares(changed), abs=1e-6) and rest[0]["apart"] < 1e-4


def test_hidden_everywhere_is_the_loop_over_places_coarse_to_fine(ask: Any, shelf: Shelf) -> None:
    parts = ask("occlusion", box=[[0, 8], [0, 6]], fill="black", target=1)
    header, arrays = parts[-1]
    stride = header["stride"]
    assert parts[0][0]["stride"][0] > stride[0]  # it began coarser
    module, image = network(), image_of(shelf)
    for i in range(arrays["drops"].shape[0]):
        for j in range(0, arrays["drops"].shape[1], 3):
            changed = image.clone()
            r, c = i * stride[0], j * stride[1]
            changed[:, r : r + 8, c : c + 6] = 0
            with torch.no_grad():
                clean, hidden = ((module((x[None] - 0.5) / 0.25))[0, 1] for x in (image, changed))
            assert arrays["drops"][i, j] == pytest.approx(float(clean - hidden), abs=1e-5)


def test_sliders_that_stand_still_change_nothing_and_shifts_are_shifts(ask: Any, shelf: Shelf) -> None:  # fmt: skip
    image = image_of(shelf)
    ((header, arrays),) = ask("change", amounts={})
    assert told(header) == pytest.approx(shares(image), abs=1e-6)
    ((header, arrays),) = ask("change", amounts={"right": 3 / SIDE, "down": -2 / SIDE})
    r, c = (torch.arange(SIDE) + 2).clamp(0, SIDE - 1), (torch.arange(SIDE) - 3).clamp(0, SIDE - 1)
    moved = image[:, r][:, :, c]
    assert np.array_equal(arrays["pixels"], (moved * 255).round().numpy().astype(np.uint8).transpose(1, 2, 0))  # fmt: skip
    assert told(header) == pytest.approx(shares(moved), abs=1e-6)


def test_a_curve_is_drawn_from_few_points_to_many_and_goes_through_the_answer(ask: Any, shelf: Shelf) -> None:  # fmt: skip
    parts = ask("curve", amounts={}, along="brightness", target=0)
    counts = [len(arrays["points"]) for _, arrays in parts[1:]]
    assert counts == list(range(1, 34))
    points = dict(map(tuple, parts[-1][1]["points"].round(4).tolist()))
    assert points[1.0] == pytest.approx(shares(image_of(shelf))["ant"], abs=1e-4)


def test_maps_are_those_that_the_layer_gives(ask: Any, shelf: Shelf) -> None:
    ((described, _),) = ask("network")
    assert described["layers"][0]["name"] == "0"
    kept: dict[str, Tensor] = {}
    module = network()
    module[4].register_forward_hook(lambda m, a, out: kept.update(out=out[0]))
    changed = image_of(shelf).clone()
    changed[:, 5:12, 3:9] = 0.5
    with torch.no_grad():
        module((changed[None] - 0.5) / 0.25)
    ((header, arrays),) = ask("maps", layer="4", box=BOX, fill="grey")
    assert arrays["maps"] == pytest.approx(
        kept["out"].numpy(), rel=2e-3, abs=1e-3
    )  # half precision
    assert header["low"] == pytest.approx(float(kept["out"].min()), abs=1e-5)


@pytest.mark.parametrize("layer", ["0", "2", "4"])
def test_a_move_sends_the_part_of_the_maps_that_it_changed(ask: Any, layer: str) -> None:
    ((whole, clean),) = ask("maps", layer=layer)
    for box in (BOX, [[0, 3], [20, 24]], BOX):
        ((_, full),) = ask("maps", layer=layer, box=box, fill="grey")
        header, arrays = ask("occlude", box=box, fill="grey", layer=layer)[0]
        (top, bottom), (left, right) = header["maps"]["at"]
        together = clean["maps"].copy()
        together[:, top:bottom, left:right] = arrays["maps"]
        assert together == pytest.approx(full["maps"], rel=2e-3, abs=1e-3)
        assert (bottom - top) * (right - left) < together[0].size
        assert header["maps"]["of"] == whole["of"]


def test_the_fields_that_the_page_reckons_with_are_where_gradients_are() -> None:
    """An axis as the page is given it: all pixels with a gradient lie inside, and the ends have one."""
    torch.manual_seed(1)
    module = nn.Sequential(
        nn.Conv2d(1, 3, 3, 2, 1), nn.Tanh(), nn.ConvTranspose2d(3, 2, 4, 2, 1), nn.Conv2d(2, 1, 3, padding=1)
    ).double()  # fmt: skip
    side = 16
    geometry = striate.trace(module, (1, 1, side, side))
    field = axis(geometry.layers[-1].receptive_field[0])
    assert field is not None
    image = torch.rand(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    for at in range(side):
        phase = field["phases"][at % len(field["phases"])]
        moved = at // len(field["phases"]) * field["step"]
        first, last = max(0, int(phase[0] + moved)), min(side - 1, int(phase[1] + moved))
        (gradient,) = torch.autograd.grad(module(image)[0, 0, at].sum(), image)
        reached = gradient[0, 0].abs().sum(1).nonzero().flatten().tolist()
        assert (min(reached), max(reached)) == (first, last), at


@pytest.mark.parametrize("method", ["saliency", "grad-cam"])
def test_an_explanation_comes_first_and_its_trust_after(ask: Any, method: str) -> None:
    (first, _), _, (second, arrays) = ask("explain", method=method, target=2)
    assert "faithfulness" not in first and -1 <= second["faithfulness"] <= 1
    assert arrays["map"].shape == (SIDE, SIDE)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("n0") | st.just("s0"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=3), max_leaves=6,
)  # fmt: skip
KINDS = [
    "networks",
    "network",
    "picture",
    "occlude",
    "occlusion",
    "change",
    "curve",
    "maps",
    "explain",
    "compare",
    "presets",
    "window",
    "pattern",
    "broken",
    "located",
    "dossier",
    "history",
    "steer",
    "confusion",
    "filters",
    "review",
    "decide",
    "x",
    None,
]


FIELDS = [
    "box", "fill", "target", "amounts", "along", "layer", "first", "method", "networks", "preset", "op", "size", "kernel",
    "stride", "image", "weights", "spec", "side", "channels", "amount", "random", "unit", "rate", "split", "action", "to",
    "other",
]  # fmt: skip


@settings(max_examples=90)
@given(
    kind=st.sampled_from(KINDS), network=anything, picture=anything,
    rest=st.dictionaries(st.sampled_from(FIELDS), anything),
)  # fmt: skip
def test_whatever_is_asked_is_answered_or_refused(kind: Any, network: Any, picture: Any, rest: Any) -> None:  # fmt: skip
    shelf = Shelf(["efficientnet-lite0"])
    one = shelf.networks["n0"]
    one.__dict__["trained"] = TRAINED
    one.__dict__["samples"] = {"s0": Picture("noise", np.zeros((3, SIDE, SIDE), np.uint8))}
    question = {"kind": kind, "network": network, "picture": picture, **rest}
    for known in ({}, {"network": "n0", "picture": "s0"}):
        with contextlib.suppress(StriateError):  # a sentence; anything else fails
            next(Answers(shelf)({**question, **known}), None)


TRAINED = striate.wrap(network(), classes=NAMES, preprocessing=(SIDE, 0.5, 0.25))


def test_a_dropped_picture_is_read_as_a_file_and_no_image_is_refused(shelf: Shelf, tmp_path: Any) -> None:  # fmt: skip
    pixels = np.random.default_rng(1).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    one: Network = shelf.networks["n0"]
    found = one.drop((tmp_path / "x.png").read_bytes(), "mine", "d1")
    assert np.array_equal(found.pixels, one.trained.read(tmp_path / "x.png"))
    assert one.picture("d1") is found
    for bad in (b"", b"no image", (tmp_path / "x.png").read_bytes()[:60]):
        with pytest.raises(StriateError) as error:
            one.drop(bad, "mine", "d2")
        assert "/" not in str(error.value).replace("and/or", ""), (
            error.value
        )  # no path of this machine
    with pytest.raises(StriateError, match="no longer there"):
        one.picture("d2")


def test_a_pattern_is_no_folder_and_an_epoch_is_of_a_run(
    ask: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page names no path, also where a folder has the name of what it may ask for."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").mkdir()
    for spec in ("secret", str(tmp_path), "../secret", "timm/resnet18", "python:x"):
        with pytest.raises(StriateError):
            ask("pattern", spec=spec, side=8)
    for number in ("n0@1", "n0@", "n9@1", "n0@../../x", "n0@1@2", "n0@99999999999"):
        with pytest.raises(StriateError):
            ask("picture", network=number)


def test_odd_pictures_are_dropped_as_they_are_seen(shelf: Shelf) -> None:
    """Colours of print, a picture that lies on its side (gradio-app/gradio#6617), several frames, one pixel, 16 bits."""
    one = shelf.network("n0")
    red = Image.new("RGB", (40, 40), (200, 30, 30))
    half = Image.new("RGB", (40, 40))
    half.paste((200, 30, 30), (0, 0, 40, 20))

    def dropped(image: Image.Image, kind: str, **settings: Any) -> np.ndarray:
        file = io.BytesIO()
        image.save(file, kind, **settings)
        return one.drop(file.getvalue(), "odd", "d1").pixels.astype(int)

    colour = np.array([200, 30, 30]).reshape(3, 1, 1)
    frames = {"save_all": True, "append_images": [Image.new("RGB", (40, 40), "blue")]}
    for pixels in (
        dropped(red.convert("CMYK"), "JPEG", quality=95), dropped(red, "GIF", **frames),
        dropped(red, "WEBP", lossless=True, **frames), dropped(Image.new("RGB", (1, 1), (200, 30, 30)), "PNG"),
    ):  # fmt: skip
        assert pixels.shape == (3, SIDE, SIDE) and np.abs(pixels - colour).max() <= 3
    turned = Image.Exif()
    turned[0x112] = 3
    pixels = dropped(half, "JPEG", quality=95, exif=turned)
    assert np.abs(pixels[:, -1] - colour[:, 0]).max() <= 3 and pixels[:, 0].max() <= 3
    deep = Image.fromarray(np.full((40, 40), 30_000, np.uint16))
    assert np.abs(dropped(deep, "PNG") - 30_000 / 257).max() <= 1
    with pytest.raises(StriateError, match="the file: it is 30000 x 30000"):
        dropped(Image.new("1", (30_000, 30_000)), "PNG")
    with pytest.raises(StriateError, match="transparent"):
        dropped(Image.new("RGBA", (40, 40)), "PNG")


def test_a_wrapped_run_takes_what_makes_its_network(tmp_path: Any) -> None:
    path = tmp_path / "mine"
    save(striate.wrap(network(), classes=NAMES, preprocessing=(SIDE, 0.5, 0.25)), path)
    with pytest.raises(StriateError, match=r"--model FILE\.py:FUNCTION"):
        Shelf([str(path)])
    with pytest.raises(StriateError, match="none of these is one"):
        Shelf(["efficientnet-lite0"], network)
    one = Shelf([str(path)], lambda: network()).network("n0")
    image = torch.rand(1, 3, SIDE, SIDE)
    assert torch.allclose(one.module(image), network()((image - 0.5) / 0.25), atol=1e-6)


def test_a_network_of_places_answers_with_a_drawing() -> None:
    """A mask and its parts, and of objects their boxes, in the header and the arrays of an answer."""
    objects = Objects.of([[1, 2, 9, 8]], [1], scores=[0.9])
    one = DetectionPrediction(path="0", size=(10, 12), objects=objects, classes=NAMES, sure=0.5)
    header, arrays = of_drawing(one.drawing(NAMES))
    assert header["objects"][0]["name"] == "bee" and header["objects"][0]["box"] == [1, 2, 9, 8]
    assert arrays == {} and header["parts"] == []
    region = Region.of(np.ones((3, 4), bool), top=2, left=1)
    several = Objects.of([[1, 2, 5, 5]], [0], scores=[0.8], regions=[region])
    two = InstancePrediction(path="0", size=(10, 12), objects=several, classes=NAMES, sure=0.5)
    header, arrays = of_drawing(two.drawing(NAMES))
    assert header["parts"][0]["pixels"] == 12 and arrays["mask"].sum() == 12
    assert arrays["mask"][2:5, 1:5].all()
