"""The public verbs on a network that was wrapped, as functions and as methods, on arrays and tensors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import striate
from striate import api
from striate.data.given import as_arrays
from striate.errors import UsageError

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 90, (24, 16, 16, 3), dtype=np.uint8)
LABELS = np.arange(24) % 2
PIXELS[LABELS == 0, ..., 0] += 120
PIXELS[LABELS == 1, ..., 2] += 120


@pytest.fixture
def trained() -> striate.Trained:
    """A network that knows red from blue."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 2, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2)
    )  # fmt: skip
    with torch.no_grad():
        network[0].weight.zero_()
        network[0].weight[0, 0, 1, 1] = network[0].weight[1, 2, 1, 1] = 1
        network[4].weight.copy_(torch.tensor([[9.0, -9], [-9, 9]]))
    return striate.wrap(
        network, classes=("red", "blue"), preprocessing=(16, (0.4,) * 3, (0.2,) * 3)
    )


def test_arrays_tensors_and_files_are_the_same_images(
    trained: striate.Trained, tmp_path: Path
) -> None:
    Image.fromarray(PIXELS[0]).save(tmp_path / "0.png")
    tensor = torch.from_numpy(PIXELS[:1].transpose(0, 3, 1, 2).copy())
    forms = (
        PIXELS[0],
        [PIXELS[0]],
        tensor,
        tensor[0].float() / 255,
        Image.fromarray(PIXELS[0]),
        tmp_path / "0.png",
    )
    for form in forms:
        (one,) = trained.predict(form)
        (same,) = striate.predict(trained, PIXELS[:1])
        assert one.top == same.top and one.top[0][0] == "red"


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (np.zeros((5, 5, 2)), r"got an array \(5, 5, 2\)"), (torch.zeros(2, 5, 5), r"got a tensor \(2, 5, 5\)"),
        (np.zeros((3, 5, 6), np.uint8), r"may be one image or 3 grey ones; give list\(images\)"),
        (np.full((5, 5, 3), -0.5), "holds numbers from -0.5 to -0.5; give pixels before they are normalised"),
        (np.zeros((0, 5, 5, 3)), "there is no image in"), ([], "there is no image"),
    ],
    ids=["two channels", "tensor", "channels first", "normalised", "none", "empty"],
)  # fmt: skip
def test_what_is_no_image_says_so(trained: striate.Trained, images: object, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        trained.predict(images)


def test_images_are_read_as_for_training(trained: striate.Trained) -> None:
    colours = Image.fromarray(PIXELS[0]).quantize(
        16
    )  # a palette, whose pixels are numbers of colours
    for image in (colours, colours.convert("RGBA"), PIXELS[0].astype(np.uint16) * 257):
        (one,) = trained.predict(image)
        assert one.top[0][0] == "red"
    grey = PIXELS[:5].mean(-1).astype(np.uint8)
    whole = list(trained.predict(grey))
    each = list(trained.predict([image[..., None] for image in grey]))
    assert [p.top for p in whole] == [p.top for p in each]
    assert [p.top for p in trained.predict(torch.from_numpy(grey))] == [p.top for p in each]
    deep = PIXELS.astype(np.uint16) * 257  # colour of 16 bits, which no PNG of Pillow holds
    found = [trained.probe(images, LABELS, names=["flip"])[0].data for images in (deep, PIXELS)]
    assert found[0] == found[1]


def test_measured_floats_stay_what_they_are_for_a_network_that_learned_them(
    trained: striate.Trained,
) -> None:
    levels = replace(trained.preprocessing, full_scale=0.0, black=-40.0, white=560.0)
    measured = replace(trained, preprocessing=levels)
    for scale in (1.0, 0.001):  # also where all of them lie between 0 and 1
        image = PIXELS[0].astype(np.float32) * scale
        seen = measured.read(as_arrays(image, numbers=True)[0])
        expected = np.rint(np.clip((image + 40) / 600, 0, 1) * 255)
        assert np.abs(seen.mean((1, 2)) - expected.mean((0, 1))).max() < 1
        assert len(list(measured.predict(image))) == 1
    with pytest.raises(UsageError, match="give pixels before they are normalised"):
        trained.predict(PIXELS[0].astype(np.float32))


def test_explain_takes_a_module_or_whatever_holds_a_network(trained: striate.Trained) -> None:
    module, x = trained.pixels, torch.from_numpy(PIXELS[0]).permute(2, 0, 1) / 255
    whole = striate.explain(module, x, 0, methods=["gradient"], trust=False)
    (one,) = trained.explain(PIXELS[0], "red", methods=["gradient"], trust=False)
    assert one.explanation is not None and one.explanation.target == "red"
    np.testing.assert_allclose(
        one.explanation.maps["gradient"].shown, whole.maps["gradient"].shown, rtol=1e-5
    )


def test_probes_and_diagnostics_take_images_with_labels(trained: striate.Trained) -> None:
    found = striate.probe(trained, PIXELS, LABELS, names=["flip"])
    assert found[0].name == "probe-flip" and found[0].data
    named = trained.probe(PIXELS, ["red" if y == 0 else "blue" for y in LABELS], names=["flip"])
    assert named[0].data == found[0].data
    assert [f.name for f in trained.diagnose(PIXELS, LABELS, names=["filters"])] == [
        "diagnose-filters"
    ]
    with pytest.raises(UsageError, match="was trained elsewhere and has no images of its own"):
        trained.probe()
    with pytest.raises(UsageError, match="24 images and 3 labels"):
        trained.probe(PIXELS, LABELS[:3])
    with pytest.raises(
        UsageError,
        match=r"there is no class 'green'; labels are numbers below 2 or names: red, blue",
    ):
        trained.probe(PIXELS[:1], ["green"])
    with pytest.raises(UsageError, match="labels belong to images"):
        trained.probe("photos", LABELS)


def test_tile_and_report_of_a_network_without_a_run(
    trained: striate.Trained, tmp_path: Path
) -> None:
    Image.fromarray(PIXELS[1]).resize((40, 24)).save(tmp_path / "wide.png")
    tiled = trained.tile(tmp_path / "wide.png", tmp_path / "wide.json")
    assert (
        tiled.data["document"]["classes"][0]["class"] == "blue"
        and (tmp_path / "wide.json").is_file()
    )
    with pytest.raises(UsageError, match="exists; choose another name"):
        trained.tile(tmp_path / "wide.png", tmp_path / "wide.json")
    with pytest.raises(UsageError, match="say where it goes with out="):
        trained.report(PIXELS, LABELS)
    page = api.report(trained, PIXELS, LABELS, out=tmp_path / "page.html")
    assert "accuracy" in page.read_text().lower()
