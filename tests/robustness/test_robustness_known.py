"""Probes on networks whose answers are known beforehand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from striate.errors import DataError, UsageError
from striate.findings import Finding
from striate.robustness import (
    CORRUPTIONS,
    KINDS,
    Context,
    Domain,
    Recorder,
    at_chance,
    checklist,
    compare,
    corrupted,
    line_domains,
    lines,
    modulated,
    resolve_probes,
    run_probe,
)  # fmt: skip
from striate.robustness.attack import fgsm, noise, pgd
from striate.robustness.attacking import attack
from striate.robustness.domain import domain
from striate.robustness.equivariance import layer_shifts
from striate.robustness.invariance import Step, advice, flip, shift
from striate.robustness.separation import auroc
from striate.robustness.shortcuts import shortcuts
from striate.robustness.spectrum import basis, spectrum
from striate.robustness.sticker import find_sticker, stuck
from striate.robustness.sweep import Level, swept
from striate.robustness.transforms import rotated, scaled, shifted
from striate.statistics.calibration import calibration_error, expected_error
from striate.statistics.intervals import paired, wilson
from striate.statistics.scores import Scores
from striate.tasks.classify.task import Classify


class Brightest(nn.Module):
    """Two classes by the size of the largest 3-pixel sum: it looks everywhere alike, so a shift cannot matter."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, bias=False)
        nn.init.ones_(self.conv.weight)

    def forward(self, x: Tensor) -> Tensor:
        top = self.conv(x).amax((1, 2, 3))
        return torch.stack([top, 9 - top], 1)


def dots(n: int = 40, size: int = 16) -> tuple[Tensor, Tensor]:
    """A full 3x3 square (class 0) or a single dot (class 1), in the middle third."""
    g = torch.Generator().manual_seed(3)
    images, labels = torch.zeros(n, 1, size, size), torch.arange(n) % 2
    for i in range(n):
        r, c = torch.randint(6, 8, (2,), generator=g).tolist()
        images[i, 0, r : r + 3, c : c + 3] = 1.0
        if labels[i]:
            images[i, 0, r : r + 3, c : c + 3] = 0.0
            images[i, 0, r, c] = 1.0
    return images, labels


def test_a_network_that_looks_everywhere_alike_is_consistent() -> None:
    images, labels = dots()
    found = shift(Context(Brightest().eval(), images, labels, ("square", "dot")))
    assert found.data["consistency"] == 1.0
    assert set(found.data["accuracy"]) == {1.0}
    assert found.status == "good"
    assert "No shift tried here costs it" in found.verdict


def test_a_loss_within_the_interval_of_few_images_is_no_clean_bill() -> None:
    """Twelve images of which one more is missed: 8 points, from which nothing follows either way."""
    images, labels = dots(12)
    few = Context(Brightest().eval(), images, labels, ("square", "dot"))
    evidence = few.clean_evidence.copy()
    evidence[0] = 1 - evidence[0]
    found = swept(
        few, "shift", "Shift", [Level("1 px", "at 1 px of shift", True, (evidence,))],
        figures=lambda rows: (), advice=lambda worst: "",
    )  # fmt: skip
    assert found.status == "note"
    assert "Too few images to tell" in found.verdict
    assert "more images" in found.advice


def test_a_convolution_follows_a_shift_by_its_stride_exactly() -> None:
    torch.manual_seed(0)
    images, _ = dots()
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2)).eval()
    layers = layer_shifts(network, images)
    assert [x.stride for x in layers] == [1, 1, 2]
    assert all(x.at_stride < 1e-10 for x in layers)
    assert layers[0].aliased is None
    assert layers[2].aliased is not None
    assert 0 < layers[2].aliased < 1
    assert layers[2].at_one > 0.01  # a stride of 2 cannot follow one pixel


class Linear(nn.Module):
    """Two classes, logits 0 and w.x + b."""

    def __init__(self, w: Tensor, b: float) -> None:
        super().__init__()
        self.w, self.b = nn.Parameter(w, requires_grad=False), b

    def forward(self, x: Tensor) -> Tensor:
        z = x.flatten(1) @ self.w + self.b
        return torch.stack([torch.zeros_like(z), z], 1)


@pytest.mark.parametrize("eps", [0.01, 0.05, 0.1])
def test_attacks_on_a_linear_network_find_the_closed_form(eps: float) -> None:
    # The margin y(w.x + b) falls by eps |w|_1 in L-inf and by eps |w|_2 in L2 (Goodfellow et al. 2015, section 4).
    g = torch.Generator().manual_seed(1)
    w = torch.randn(36, generator=g)
    x = 0.3 + 0.4 * torch.rand(10, 1, 6, 6, generator=g)  # away from 0 and 1: nothing is clipped
    y = torch.arange(10) % 2
    model = Linear(w, 0.2).eval()
    sign = (2 * y - 1).float()
    clean = sign * model(x)[:, 1]
    for made in (fgsm(model, x, y, eps), pgd(model, x, y, eps)):
        got = sign * model(made)[:, 1]
        torch.testing.assert_close(got, clean - eps * w.abs().sum(), rtol=1e-4, atol=1e-4)
    got = sign * model(pgd(model, x, y, eps, norm="l2"))[:, 1]
    torch.testing.assert_close(got, clean - eps * w.norm(), rtol=1e-4, atol=1e-4)


def test_attacks_stay_in_their_ball_and_in_range() -> None:
    g = torch.Generator().manual_seed(2)
    x, y = torch.rand(6, 1, 6, 6, generator=g), torch.arange(6) % 2
    model = Linear(torch.randn(36, generator=g), 0.0).eval()
    for made in (
        pgd(model, x, y, 0.2, generator=g),
        fgsm(model, x, y, 0.2),
        noise(x, 0.2, generator=g),
    ):
        assert float((made - x).abs().max()) <= 0.2 + 1e-6
        assert 0 <= float(made.min()) <= float(made.max()) <= 1
    far = pgd(model, x, y, 0.5, norm="l2", generator=g) - x
    assert float(far.flatten(1).norm(dim=1).max()) <= 0.5 + 1e-5


class Masked(nn.Module):
    """A network whose gradient is rounded away."""

    def forward(self, x: Tensor) -> Tensor:
        top = x.flatten(1).mean(1).mul(20).round() / 20
        return torch.stack([top - 0.5, 0.5 - top], 1) * 10 + 0 * x.flatten(1).sum(1, keepdim=True)


def test_masked_gradients_are_reported() -> None:
    g = torch.Generator().manual_seed(4)
    y = torch.arange(40) % 2
    x = (
        torch.rand(40, 1, 8, 8, generator=g) * 0.1
        + torch.where(y == 0, 0.75, 0.2)[:, None, None, None]
    ).clamp(0, 1)
    found = attack(Context(Masked().eval(), x, y, ("bright", "dark")))
    assert found.status == "problem"
    assert not found.data["checks"]["loss rises with steps"]


def test_a_sticker_has_the_margin_that_the_network_gives_it() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 64, 3)
    ).eval()
    image = torch.rand(1, 10, 10)
    found = find_sticker(network, image, 1, size=3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        out = network(stuck(image, found)[None])[0]
    assert found.margin == pytest.approx(float(out[1] - max(out[0], out[2])), abs=1e-4)
    assert found.margin < found.clean


def test_auroc() -> None:
    assert auroc(torch.tensor([3.0, 4, 5]), torch.tensor([0.0, 1, 2])) == 1
    assert auroc(torch.tensor([0.0, 1]), torch.tensor([3.0])) == 0
    assert auroc(torch.ones(4), torch.ones(7)) == 0.5
    # By hand: 2 > 1, 2 < 3, 4 > both: three of four pairs.
    assert auroc(torch.tensor([2.0, 4]), torch.tensor([1.0, 3])) == 0.75


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruptions_are_monotone_deterministic_and_in_range(name: str) -> None:
    g = torch.Generator().manual_seed(5)
    smooth = torch.nn.functional.interpolate(
        torch.rand(16, 3, 6, 6, generator=g), (24, 24), mode="bilinear"
    )
    far = []
    for severity in range(1, 6):
        made = corrupted(smooth, name, severity, seed=1)
        assert made.shape == smooth.shape
        assert 0 <= float(made.min()) <= float(made.max()) <= 1
        assert torch.equal(made, corrupted(smooth, name, severity, seed=1))
        far.append(float((made - smooth).abs().mean()))
    assert far[0] > 0
    assert far == sorted(far)


def test_noise_has_the_strength_that_it_says() -> None:
    grey = torch.full((8, 1, 64, 64), 0.5)
    assert float((corrupted(grey, "gaussian noise", 2) - grey).std()) == pytest.approx(
        0.08, rel=0.02
    )


def test_geometric_changes_do_what_they_say() -> None:
    x = torch.zeros(1, 1, 9, 9)
    x[0, 0, 4, 6] = 1.0
    assert shifted(x, 1, -2)[0, 0, 5, 4] == 1
    assert rotated(x, 90.0)[0, 0, 2, 4] == pytest.approx(1.0, abs=1e-5)  # right goes up
    assert scaled(x, 2.0)[0, 0, 4, 8] > 0.4
    assert torch.allclose(rotated(x, 0.0), x, atol=1e-6)


class Border(nn.Module):
    """Reads the four outermost rows' and columns' left and right halves alone."""

    def forward(self, x: Tensor) -> Tensor:
        left = x[..., :, :1].mean((1, 2, 3))
        right = x[..., :, -1:].mean((1, 2, 3))
        return torch.stack([left, right], 1) * 10


def test_a_network_that_reads_the_border_is_caught() -> None:
    g = torch.Generator().manual_seed(6)
    y = torch.arange(80) % 2
    x = 0.2 * torch.rand(80, 1, 16, 16, generator=g)
    x[y == 0, ..., 0] = 1.0
    x[y == 1, ..., -1] = 1.0
    found = shortcuts(Context(Border().eval(), x, y, ("a", "b")))
    assert found.status == "warning"
    assert found.data["border"] is True
    assert found.data["views"]["background hidden"] < 0.7


def test_a_network_that_reads_the_object_is_not() -> None:
    images, labels = dots(80)
    found = shortcuts(Context(Brightest().eval(), images, labels, ("square", "dot")))
    assert not found.data["border"]
    assert not found.data["object"]


class Planted(nn.Module):
    """Channel 5 wakes up for a fine vertical grating alone, and then decides; the others read the mean brightness."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 24, (1, 4), bias=False)
        self.head = nn.Linear(24, 2)
        with torch.no_grad():
            self.conv.weight.fill_(0.25)
            self.conv.weight += 1e-3 * torch.randn(
                self.conv.weight.shape, generator=torch.Generator().manual_seed(0)
            )
            self.conv.weight[5, 0, 0] = torch.tensor([1.0, -1.0, 1.0, -1.0])
            self.head.weight.zero_()
            self.head.weight[0] = 1 / 23
            self.head.weight[1, 5] = 4.0
            self.head.weight[0, 5] = 0.0
            self.head.bias.copy_(torch.tensor([0.0, 0.32]))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x).relu().mean((2, 3)))


def test_a_planted_bad_channel_is_located_and_silencing_it_helps() -> None:
    g = torch.Generator().manual_seed(7)
    y = torch.arange(60) % 2
    level = torch.where(y == 0, 0.8, 0.2)[:, None, None, None]
    x = (level + 0.02 * torch.randn(60, 1, 16, 16, generator=g)).clamp(0, 1)
    model = Planted().eval()
    context = Context(model, x, y, ("bright", "dark"), 0, Recorder(model))
    found = run_probe(context, "spectrum")
    location = found.data["failure_location"]
    assert location["layer"] == "conv"
    assert location["channels"][0][0] == 5
    assert location["confirmed"]
    assert location["silenced"] > 0.9 > location["random_best"]
    assert not model.conv._forward_hooks


def test_recording_changes_no_number_and_leaves_no_hook() -> None:
    images, labels = dots()
    torch.manual_seed(1)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 196, 2)).eval()
    plain = flip(Context(model, images, labels, ("a", "b")))
    recorded = flip(Context(model, images, labels, ("a", "b"), 0, Recorder(model)))
    assert plain.data == recorded.data
    assert not any(m._forward_hooks for m in model.modules())


def test_calibration_error_and_temperature_are_those_of_the_evaluation() -> None:
    g = torch.Generator().manual_seed(8)
    logits = 3 * torch.randn(500, 4, generator=g)
    labels = torch.distributions.Categorical(logits=logits / 2).sample()
    p = logits.softmax(1)
    own = calibration_error(Scores.of(p.numpy(), labels.numpy(), tuple("abcd")))
    assert expected_error(p, labels) == pytest.approx(float(own.value), abs=1e-6)


def test_fourier_basis_is_one_frequency_of_unit_size() -> None:
    wave = basis((12, 12), 2, 3)
    assert float(wave.square().mean()) == pytest.approx(1.0, abs=1e-5)
    there = torch.fft.fft2(wave).abs() > 1e-3
    assert sorted(map(tuple, there.nonzero().tolist())) == [(2, 3), (10, 9)]


def test_spectrum_names_a_wave() -> None:
    images, labels = dots()
    found = spectrum(Context(Brightest().eval(), images, labels, ("square", "dot")))
    assert found.data["worst"].startswith("a wave of")
    assert found.data["change"] < 0


@pytest.mark.parametrize("kind", KINDS)
def test_lines_are_vertical_and_horizontal(kind: str) -> None:
    images, labels = lines(kind, 30, size=32, seed=2)
    again, _ = lines(kind, 30, size=32, seed=2)
    assert np.array_equal(images, again)
    across = np.abs(np.diff(images, axis=2)).sum((1, 2))
    down = np.abs(np.diff(images, axis=1)).sum((1, 2))
    said = (down > across).astype(int)
    assert (said == labels).mean() > (0.8 if kind == "noisy" else 0.95)


def test_thicker_is_thicker_shorter_is_shorter_and_a_wave_runs_along_the_line() -> None:
    ink = {kind: lines(kind, 100, seed=1)[0].sum() for kind in KINDS}
    assert ink["thicker"] > 2.5 * ink["plain"] > 2.5 * 1.5 * ink["thinner"]
    assert ink["shorter"] < ink["plain"] / 2
    images = np.zeros((2, 8, 8), np.float32)
    images[0, :, 3] = images[1, 3, :] = 1
    waved = modulated(images, np.array([0, 1]), period=4)
    np.testing.assert_allclose(waved[0, :4, 3], [1, 0.5, 0, 0.5], atol=1e-6)
    np.testing.assert_allclose(waved[1, 3, :4], [1, 0.5, 0, 0.5], atol=1e-6)


def test_domain_says_which_class_is_missing_and_works_without_labels() -> None:
    images, labels = dots()
    context = Context(Brightest().eval(), images, labels, ("square", "dot"))
    found = domain(context, {"odd": Domain(1 - images[labels == 1], labels[labels == 1])})
    assert found.data["missing"] == {"odd": ["square"]}
    unlabelled = domain(context, {"odd": Domain(1 - images)})
    assert unlabelled.data["others"]["odd"]["accuracy"] is None
    assert set(line_domains(4, size=16)) == {f"{k} lines" for k in KINDS[1:]}


def test_chance_stops_everything() -> None:
    images, labels = dots()

    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.tensor([[1.0, 0.0]]).repeat(len(x), 1)

    found = at_chance(Context(Constant().eval(), images, labels, ("square", "dot")))
    assert found is not None
    assert found.status == "problem"
    assert "no better than guessing" in found.verdict
    assert at_chance(Context(Brightest().eval(), images, labels, ("square", "dot"))) is None


def test_outputs_that_are_not_finite_are_an_error() -> None:
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.full((len(x), 2), math.nan)

    images, labels = dots()
    with pytest.raises(DataError, match="not finite for 40 of 40 images"):
        _ = Context(Broken().eval(), images, labels, ("a", "b")).clean


def test_wrong_arguments() -> None:
    images, labels = dots()
    with pytest.raises(UsageError, match="did you mean 'corruption'"):
        resolve_probes(["coruption"], Classify())
    with pytest.raises(UsageError, match=r"pixels in \[0, 1\], got"):
        Context(Brightest().eval(), images * 255, labels, ("a", "b"))
    with pytest.raises(UsageError, match="there is no corruption 'frost'"):
        corrupted(images, "frost", 1)
    with pytest.raises(DataError, match="at least one"):
        Context(Brightest().eval(), images[:0], labels[:0], ("a", "b"))


@pytest.mark.parametrize(
    "name", ["shift", "flip", "calibration", "shortcuts", "domain", "spectrum"]
)
def test_one_image_is_enough_to_say_something(name: str) -> None:
    images, labels = dots()
    context = Context(Brightest().eval(), images[:1], labels[:1], ("square", "dot"))
    assert run_probe(context, name).verdict


def test_intervals() -> None:
    low, high = wilson(8, 10)  # 0.4902, 0.9433: Wilson 1927, as tabulated by Newcombe
    assert (low, high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    a, b = np.array([1.0, 1, 0, 1]), np.array([1.0, 0, 0, 1])
    value, low, high = paired(a, b)
    assert value == -0.25
    assert low < -0.25 < high


def test_comparison_says_which_is_more_robust() -> None:
    images, labels = dots(60)
    good = Context(Brightest().eval(), images, labels, ("square", "dot"))
    weights = (images[labels == 0].mean(0) - images[labels == 1].mean(0)).flatten()

    class Template(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            z = x.flatten(1) @ weights - 1.2
            return torch.stack([z, -z], 1)

    weak = Context(Template().eval(), images, labels, ("square", "dot"))
    found = compare(weak, good, ("template", "brightest"), ["shift"])
    assert "brightest" in found.verdict
    assert found.data["rows"]["shift by an eighth"][2] >= 0
    with pytest.raises(DataError, match="same images"):
        compare(weak, Context(good.model, images[:10], labels[:10], ("square", "dot")), ("a", "b"))


def test_checklist_says_what_is_done_and_what_is_open() -> None:
    some = Finding(
        name="probe-attack", title="", verdict="It falls.", status="warning", advice="Act."
    )
    found = checklist([some])
    assert found.data["done"] == ["Vulnerability: attack"]
    row = next(r for r in found.tables[0].rows if r[0] == "Vulnerability: attack")
    assert row[1:] == ("yes", "It falls.", "Act.")


@pytest.mark.parametrize(
    ("kind", "step", "trained", "part"),
    [
        ("shift", Step(4, "4", ()), {}, "--set shift=4"),
        ("shift", Step(4, "4", ()), {"shift": 2.0}, "--set shift=4"),
        ("shift", Step(4, "4", ()), {"shift": 4.0}, "had shifts of 4 pixels"),
        ("rotation", Step(30, "30°", ()), {"rotate": 8.0}, "--set rotate=30"),
        ("scale", Step(2.0, "×2", ()), {"scale": 0.8}, "--set scale=0.25"),
        ("scale", Step(2.0, "×2", ()), {"scale": 0.2}, "Training had crops as close"),
        ("scale", Step(0.5, "×0.5", ()), {"scale": 0.2}, "small objects"),
        ("flip", Step(1, "left-right", ()), {"flip": 0.0}, "--set flip=true"),
        ("flip", Step(2, "top-bottom", ()), {}, "mirrored top to bottom"),
    ],
)
def test_advice_goes_beyond_the_recipe(
    kind: str, step: Step, trained: dict[str, float], part: str
) -> None:
    assert part in advice(kind, step, trained)
