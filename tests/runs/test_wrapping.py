"""Networks that were trained elsewhere: wrapped, saved, opened without running code."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import striate
from striate.data.foreign import as_preprocessing
from striate.errors import AssumedWarning, DataError, RunError, UsageError, WeightsWarning
from striate.runs.factories import find_factory, read_preprocessing
from striate.runs.predicting import predict
from striate.runs.run import load
from striate.runs.wrapping import network_input, read_classes, save, wrap
from striate.tasks.table import find_task

THREE = (8, 0.5, 0.25)
NAMES = ("ant", "bee", "cat")


def network(outputs: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, outputs)
    )  # fmt: skip


class Several(nn.Module):
    """Returns its logits in one of the ways in which networks do."""

    def __init__(self, how: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.inner = network()
        self.how = how

    def forward(self, x: Tensor) -> Any:
        return self.how(self.inner(x))


@dataclass
class Output:
    logits: Tensor
    hidden: Tensor


PIXELS = np.random.default_rng(0).integers(0, 256, (2, 11, 9, 3), dtype=np.uint8)


def test_a_module_predicts_as_it_does_by_itself() -> None:
    module = network().train().requires_grad_(True)
    before = {n: t.clone() for n, t in module.state_dict().items()}
    trained = wrap(module, classes=NAMES, preprocessing=THREE)
    found = list(predict(trained, PIXELS, top=3))
    prepared = np.stack([trained.preprocessing.apply(image) for image in PIXELS])
    module.eval()
    shares = module((torch.from_numpy(prepared) / 255 - 0.5) / 0.25).softmax(1)
    for prediction, row in zip(found, shares.tolist(), strict=True):
        assert dict(prediction.top) == pytest.approx(dict(zip(NAMES, row, strict=True)), abs=1e-5)
    assert all(torch.equal(t, before[n]) for n, t in module.state_dict().items())
    assert all(p.requires_grad for p in module.parameters())


@pytest.mark.parametrize(
    "how",
    [
        lambda y: (y, y * 0), lambda y: {"out": y, "aux": y * 0}, lambda y: {"logits": y}, lambda y: Output(y, y * 0),
        lambda y: [y],
    ],
    ids=["tuple", "out", "logits", "dataclass", "list"],
)  # fmt: skip
def test_the_prediction_is_found_in_what_a_network_returns(how: Any, tmp_path: Path) -> None:
    trained = wrap(Several(how), classes=NAMES, preprocessing=THREE)
    x = torch.rand(2, 3, 8, 8)
    # Not to the last bit: the wrapped copy lies channels-last, for which some processors sum in another order.
    torch.testing.assert_close(trained.model(x), network().eval()(x).detach())
    run = save(trained, tmp_path / "mine")
    assert torch.equal(load(run.path, model=lambda: Several(how)).model(x), trained.model(x))


def test_a_saved_run_opens_with_what_makes_the_network(tmp_path: Path) -> None:
    trained = wrap(network(), classes=NAMES, preprocessing=THREE, temperature=2.0)
    save(trained, tmp_path / "mine")
    assert {f.name for f in (tmp_path / "mine").iterdir()} == {"run.toml", "model.safetensors"}

    run = load(tmp_path / "mine", model=network)
    assert (
        run.classes == NAMES
        and run.temperature == 2.0
        and run.preprocessing == trained.preprocessing
    )
    x = torch.rand(1, 3, 8, 8)
    assert torch.equal(run.model(x), trained.model(x))
    with pytest.raises(
        RunError, match=r"and not its code; give what makes it: striate\.load\(.*model=FUNCTION\)"
    ):
        load(tmp_path / "mine")
    with pytest.raises(RunError, match="do not fit the network that model= makes"):
        load(tmp_path / "mine", model=Several(lambda y: y))
    with pytest.raises(RunError, match="exists; choose another folder"):
        save(trained, tmp_path / "mine")
    with pytest.raises(UsageError, match="is the network of the run"):
        save(run.trained, tmp_path / "again")


def test_tied_weights_are_saved(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(12, 12)
            self.b = nn.Linear(12, 12)
            self.b.weight = self.a.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.a(x.flatten(1)))[:, :3]

    trained = wrap(Tied(), classes=NAMES, preprocessing=(2, (0.5,) * 3, (0.5,) * 3))
    run = load(save(trained, tmp_path / "tied").path, model=Tied)
    x = torch.rand(2, 3, 2, 2)
    assert torch.equal(run.model(x), trained.model(x))


def test_a_segmenter_labels_every_pixel_and_small_maps_grow() -> None:
    class Quarter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 4, stride=4)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"out": self.conv(x)}

    trained = wrap(Quarter(), classes=NAMES, preprocessing=THREE, task="segment")
    assert trained.model(torch.rand(1, 3, 24, 16)).shape == (1, 3, 24, 16)
    (one, _) = predict(trained, PIXELS)
    assert one.size == (11, 9) and sum(a["pixels"] for a in one.areas) == 99


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"classes": ("a", "b")}, "the network has 3 outputs, and 2 classes are named"),
        ({"classes": "cat"}, "classes is a list of names"),
        ({"classes": ("a", "b", "a")}, "has 'a' twice"),
        ({"classes": ()}, "is empty"),
        ({"preprocessing": (2, 0.5, 0.25)}, r"cannot read an image \(1, 3, 2, 2\) \(RuntimeError"),
        ({"task": "segment"}, r"gives \(1, 3\) for an image .* reads a map a class"),
        ({"task": "clasify"}, "did you mean classify"),
    ],
    ids=["fewer", "text", "twice", "none", "small", "task", "typo"],
)  # fmt: skip
def test_what_does_not_fit_together_says_so(change: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        wrap(network(), **{"classes": NAMES, "preprocessing": THREE, **change})


def test_an_output_that_no_task_knows_and_factories_that_fail() -> None:
    with pytest.raises(UsageError, match="which of it is the prediction is not known"):
        wrap(Several(lambda y: {"a": y, "b": y}), classes=NAMES, preprocessing=THREE)
    with pytest.raises(UsageError, match=r"raised KeyError: 'no'; give a function"):
        wrap(lambda: {}["no"], classes=NAMES, preprocessing=THREE)
    with pytest.raises(UsageError, match=r"gives int, not a torch\.nn\.Module"):
        wrap(lambda: 3, classes=NAMES, preprocessing=THREE)  # type: ignore[arg-type, return-value]
    with pytest.raises(UsageError, match="got str"):
        wrap("resnet18", classes=NAMES, preprocessing=THREE)  # type: ignore[arg-type]


def test_preprocessing_that_is_missing_is_assumed_and_can_be_looked_at() -> None:
    with pytest.warns(AssumedWarning, match=r"shorter side to 256 pixels.*network_input\(images\)"):
        trained = wrap(network(), classes=NAMES)
    assert trained.preprocessing.size == (224, 224)
    found = network_input(trained, PIXELS)
    assert found.name == "as-seen" and len(found.figures) == 2
    assert "assumed, because none was given" in found.advice


def test_weights_are_taken_as_trainers_save_them(tmp_path: Path) -> None:
    file = tmp_path / "last.ckpt"
    state = {f"model.{n}": t for n, t in network().state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3}, file)
    other = network()
    nn.init.zeros_(other[0].weight)  # type: ignore[arg-type]
    trained = wrap(other, classes=NAMES, preprocessing=THREE, weights=file)
    x = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(trained.model(x), network().eval()(x))
    renamed = {n.replace("4.", "head."): t for n, t in network().state_dict().items()}
    torch.save(renamed, file)
    with pytest.warns(WeightsWarning, match=r"fit in order and shape: head\.weight as 4\.weight"):
        trained = wrap(other, classes=NAMES, preprocessing=THREE, weights=file)
    torch.testing.assert_close(trained.model(x), network().eval()(x))
    torch.save({**renamed, "more.weight": torch.zeros(2)}, file)
    with pytest.raises(
        UsageError, match=r"missing: 4\.weight.*Near: 4\.weight is perhaps head\.weight"
    ):
        wrap(network(), classes=NAMES, preprocessing=THREE, weights=file)


@pytest.mark.parametrize(
    ("text", "names"),
    [("ant\nbee\n\ncat\n", NAMES), ('["ant", "bee", "cat"]', NAMES), ('{"1": "bee", "0": "ant", "2": "cat"}', NAMES),
     ('{"bee": 1, "ant": 0, "cat": 2}', NAMES)],
    ids=["lines", "list", "numbered", "class_to_idx"],
)  # fmt: skip
def test_classes_are_read_from_files(text: str, names: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "classes").write_text(text)
    assert read_classes(tmp_path / "classes") == names
    assert len(read_classes("imagenet")) == 1000
    with pytest.raises(UsageError, match="one name a line"):
        read_classes(tmp_path / "none")


FILE = "import torch\nfrom torch import nn\ndef build(width=4):\n    return nn.Conv2d(3, width, 1)\nHEAD = 3\n"


def test_a_file_and_a_package_name_what_makes_the_network(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text(FILE)
    path = list(sys.path)
    assert find_factory(f"{file}:build")().out_channels == 4  # type: ignore[union-attr]
    assert find_factory(f"{file}:build(width=7)")().out_channels == 7  # type: ignore[union-attr]
    assert isinstance(find_factory("torch.nn:Identity")(), nn.Identity)
    assert sys.path == path
    for text, said in (
        (f"{file}:biuld", "did you mean build"), (f"{file}:HEAD", "is int, not a function"), (f"{file}", "cannot tell what"),
        (f"{tmp_path}/none.py:build", "there is no file"), ("no_such_package:build", "ModuleNotFoundError"),
        (f"{file}:build(width=__import__('os'))", "cannot tell what"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=said):
            find_factory(text)
    file.write_text("raise RuntimeError('boom')")
    with pytest.raises(UsageError, match="cannot be imported: RuntimeError: boom"):
        find_factory(f"{file}:build")


def test_masks_without_names_take_the_classes_of_the_network(tmp_path: Path) -> None:
    numbers = np.zeros((9, 9), np.uint8)
    numbers[3:6, 3:6] = 1
    for folder in ("two", "three"):
        for i in range(4):
            pixels = np.full((9, 9, 3), 10 * i, np.uint8)
            pixels[3:6, 3:6] = 200
            for kind, image in (("images", pixels), ("masks", numbers)):
                (tmp_path / folder / kind).mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(tmp_path / folder / kind / f"{i}.png")
    task = find_task("segment")
    source = striate.open_source(tmp_path / "two", task="segment")
    assert source.classes == ("background", "object")
    assert task.match(source, ("ground", "square"), "two").classes == ("ground", "square")
    with pytest.raises(
        DataError, match="give data of the same classes"
    ):  # of a run on other numbers
        task.match(source, ("background", "class 5"), "two")
    source = striate.open_source(tmp_path / "three", task="segment")
    names = ("ground", "square", "circle")
    with pytest.raises(DataError, match=r"put a classes\.txt into three, with the network's names"):
        task.match(source, names, "three")
    (tmp_path / "three" / "classes.txt").write_text("\n".join(names))
    source = striate.open_source(tmp_path / "three", task="segment")
    assert task.match(source, names, "three").classes == names


def test_preprocessing_is_found_in_a_file_of_ones_own(tmp_path: Path) -> None:
    """The chain itself, or the function that makes it; one that raises is named."""
    file = tmp_path / "net.py"
    file.write_text(
        "from torchvision import transforms as T\n"
        "chain = T.Compose([T.Resize(9), T.CenterCrop(8), T.ToTensor()])\n"
        "def made():\n    return chain\n"
        "def broken():\n    raise OSError('no disk')\n"
    )
    for name in ("chain", "made"):
        found = as_preprocessing(read_preprocessing(f"{file}:{name}"))
        assert (found.size, found.resize) == ((8, 8), 9)
    with pytest.raises(UsageError, match="broken raised OSError when it was called without"):
        read_preprocessing(f"{file}:broken")
