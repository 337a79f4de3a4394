"""The sample experiment in small: matched parameters, what fits into a budget, data of one's own, true sentences."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from striate.errors import DataError, UsageError
from striate.findings import Finding
from striate.lectures.experiments.learning import Shuffled
from striate.lectures.experiments.samples.networks import matched, parameters_of, stages, windows
from striate.lectures.experiments.samples.run import GRIDS, Scale, plan, samples, steps_for
from striate.lectures.experiments.setting import Setting
from striate.lectures.experiments.table import run_experiment

TINY = Scale(
    limit=160, grids=((5, 2),), steps=12, only=("mlp", "convolution", "augmented convolution")
)


@pytest.fixture(scope="module")
def pages() -> dict[str, Finding]:
    return {f.name: f for f in samples(Setting(seed=1, budget=600.0), TINY)}


@pytest.mark.parametrize(
    ("channels", "side", "classes"), [(1, 8, 10), (1, 28, 10), (3, 32, 4), (1, 5, 2)]
)
def test_networks_have_as_many_parameters(channels: int, side: int, classes: int) -> None:
    made = {name: make() for name, make in matched(channels, side, classes).items()}
    counts = {n: sum(p.numel() for p in m.parameters()) for n, m in made.items()}
    assert max(counts.values()) <= 1.1 * min(counts.values()), counts
    x = torch.rand(2, channels, side, side)
    assert all(m(x).shape == (2, classes) for m in made.values())


def test_windows_with_and_without_sharing_are_one_function_with_the_same_kernels() -> None:
    size = {"channels": 1, "side": 8, "classes": 3}
    conv, local = (windows(2, shared=shared, **size) for shared in (True, False))
    for i in range(1, stages(8) + 1):
        layer = getattr(conv, f"windows{i}")
        getattr(local, f"windows{i}").share(layer.weight, layer.bias)
    local.fc.load_state_dict(conv.fc.state_dict())  # type: ignore[union-attr]
    x = torch.rand(3, 1, 8, 8)
    torch.testing.assert_close(conv(x), local(x))
    counts = [parameters_of(lambda w, s=s: windows(w, shared=s, **size), 2) for s in (True, False)]  # type: ignore[misc]
    assert counts[0] < counts[1]


def test_images_without_room_for_windows_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 4 x 4 pixels, got 3 x 3"):
        matched(1, 3, 2)


def test_what_does_not_fit_has_fewer_seeds_then_fewer_sizes_then_fewer_images() -> None:
    scale = Scale()
    taken = [plan(5000, 10, 0.01, seconds, scale) for seconds in (1e6, 150.0, 85.0, 8.0)]
    assert taken[0].sizes == (5, 12, 28, 67, 158, 375, 889, 2108, 5000)
    assert taken[0].seeds == 5
    assert [len(t.sizes) * t.seeds for t in taken] == sorted(
        (len(t.sizes) * t.seeds for t in taken), reverse=True
    )
    assert all(t.sizes[-1] == 5000 for t in taken[:2]) and taken[-1].sizes[-1] < 5000
    assert all(t.seconds <= s for t, s in zip(taken[:2], (1e6, 150.0), strict=True))
    assert plan(30, 40, 0.01, 1e6, scale).sizes[-1] == 30  # fewer images than classes
    assert GRIDS[-1][1] >= 2 and steps_for(5000) > steps_for(50) == steps_for(5)


@pytest.mark.parametrize(
    ("seconds", "steps", "sizes"), [(270.0, 200, 5), (150.0, 100, 5), (70.0, 50, 5), (52.0, 50, 3)]
)
def test_trainings_get_shorter_before_sizes_are_dropped(
    seconds: float, steps: int, sizes: int
) -> None:
    """A few hundred photographs: a step of all networks takes 130 ms, so that 5 sizes by 2 seeds of 200 steps take 260 s."""
    planned = plan(250, 4, 0.13, seconds, Scale())
    assert (planned.steps, len(planned.sizes), planned.seeds) == (steps, sizes, 2)
    assert planned.sizes[0] == 5 and planned.sizes[-1] >= 125
    took = 2 * sum(max(steps, round(12 * n / 32)) for n in planned.sizes) * 0.13
    assert planned.seconds == pytest.approx(took) and took <= seconds


def test_what_never_fits_is_the_fastest_there_is() -> None:
    planned = plan(250, 4, 0.13, 1.0, Scale())
    assert (planned.steps, planned.seeds, len(planned.sizes)) == (50, 2, 2)


def test_a_page_of_shorter_trainings_says_so(pages: dict[str, Finding]) -> None:
    assert "instead of" not in pages["samples-accuracy"].verdict
    assert "steps" not in pages["samples-left-out"].data["left_out"]
    scale = Scale(limit=60, grids=((2, 1),), steps=52, only=("mlp",))
    found = samples(Setting(budget=0.001), scale)
    page, left = found[0], found[-1]
    assert page.data["steps"] == 50
    assert "50 steps for a training on few images instead of 52" in page.verdict
    assert "at least 50 steps, not 52" in left.data["left_out"]["steps"]


def test_the_curves_are_there_and_rise(pages: dict[str, Finding]) -> None:
    data = pages["samples-accuracy"].data
    assert data["images"] == [5, 12, 28, 67, 160]
    for name, accuracy in data["accuracy"].items():
        assert accuracy[-1] > accuracy[0] + 0.2, name
        low, high = zip(*data["intervals"][name], strict=True)
        assert all(a <= b <= c for a, b, c in zip(low, accuracy, high, strict=True))
    assert f"{data['images'][2]:,} training images" in pages["samples-accuracy"].verdict


def test_labels_say_what_twice_the_images_give_or_that_it_is_not_known(
    pages: dict[str, Finding],
) -> None:
    page = pages["samples-labels"]
    curve = page.data["curves"][page.data["best"]]
    assert curve["twice"]["images"] == 320
    assert ("do not determine" in page.verdict) == bool(curve["undetermined"])
    assert curve["fitted_from"] >= 10  # one image a class
    left = pages["samples-left-out"].data["left_out"]["images"]
    assert "at most 160 of" in left


def test_the_same_seed_gives_the_same_curves(pages: dict[str, Finding]) -> None:
    again = samples(Setting(seed=1, budget=600.0), replace(TINY, only=("mlp",)))[0]
    assert again.data["accuracy"]["mlp"] == pages["samples-accuracy"].data["accuracy"]["mlp"]


def folder(path: Path, counts: dict[str, int], side: int = 9) -> Path:
    rng = np.random.default_rng(0)
    for c, (name, count) in enumerate(counts.items()):
        (path / name).mkdir(parents=True)
        for i in range(count):
            image = rng.integers(0, 60, (side, side, 3), np.uint8)
            image[2 * c : 2 * c + 2] += 150
            Image.fromarray(image).save(path / name / f"{i}.png")
    return path


def test_images_of_ones_own(tmp_path: Path) -> None:
    data = folder(tmp_path / "mine", {"top": 30, "middle": 24, "rare": 2})
    scale = Scale(grids=((4, 2),), steps=20, only=("convolution",))
    found = {f.name: f for f in run_small(data, scale)}
    assert found["samples-accuracy"].data["accuracy"]["convolution"][-1] > 0.8
    assert found["samples-accuracy"].data["images"][0] == 5


def test_data_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none to test on"):
        run_small(folder(tmp_path / "single", {"a": 1, "b": 1}), TINY)
    with pytest.raises(UsageError, match="one class an image"):
        samples(Setting(data="scenes"), TINY)
    with pytest.raises(UsageError, match=r"lines takes no data, .* leave --data out"):
        run_experiment("lines", Setting(data="digits"))


def run_small(data: Path, scale: Scale) -> list[Finding]:
    return samples(Setting(data=str(data), budget=600.0), scale)


def test_a_change_of_the_images_depends_on_the_step_alone() -> None:
    x, y = torch.arange(12.0).view(6, 1, 1, 2), torch.arange(6)
    noisy = Shuffled(
        x, y, 2, 3, lambda images, generator: images + torch.rand(images.shape, generator=generator)
    )
    plain = Shuffled(x, y, 2, 3)
    whole, later, clean = (
        iter(noisy.from_step(0)),
        iter(noisy.from_step(4)),
        iter(plain.from_step(0)),
    )
    batches = [next(whole) for _ in range(6)]
    assert torch.equal(batches[4].images, next(later).images)
    assert all(torch.equal(b.targets, next(clean).targets) for b in batches)
    assert not torch.equal(
        batches[0].images - batches[0].images.floor(), batches[3].images - batches[3].images.floor()
    )
