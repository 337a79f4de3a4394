"""Trust: maps that are right by construction score high, and maps that ignore the weights are named."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from striate.attribution import METHODS, attribute, curves, explain, finding, shuffled, similarity
from striate.attribution.explanation import LEVEL, SURE
from striate.attribution.faithfulness import Cells, Curves, blur, each_curve, edges, likelihood
from striate.attribution.randomisation import weights_in_order
from striate.errors import UsageError
from striate.geometry import trace


class Corner(nn.Module):
    """Its second class is the brightness of the upper left quarter of a 28 x 28 image, and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(8.0))

    def forward(self, x: Tensor) -> Tensor:
        inside = x[:, :, :14, :14].mean((1, 2, 3))
        return torch.stack([torch.zeros_like(inside), self.gain * (inside - 0.5)], 1)


IMAGE = torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(5)) * 0.2 + 0.8
BLACK = torch.zeros(1, 1, 1, 1)


def test_the_true_map_beats_chance_edges_and_its_opposite() -> None:
    truth = torch.zeros(28, 28)
    truth[:14, :14] = 1
    found = curves(Corner(), IMAGE, 1, {"truth": truth, "wrong": 1 - truth}, baseline=BLACK)
    assert found["truth"].deletion_area < 0.25 < 0.4 < found["random"].deletion_area
    assert found["wrong"].deletion_area > 0.8
    scores = {k: v.faithfulness for k, v in found.items()}
    assert max(scores, key=lambda k: scores[k]) == "truth"
    assert min(scores, key=lambda k: scores[k]) == "wrong"


def test_curves_by_hand() -> None:
    """A quarter of the image decides: with the first f of it black, the mean is (1 - 4f) times the image's."""
    truth = torch.zeros(28, 28)
    truth[:14, :14] = 1
    (curve,) = [curves(Corner(), torch.ones(1, 1, 28, 28), 1, {"t": truth}, baseline=BLACK)["t"]]
    for fraction, value in zip(curve.fractions, curve.deletion, strict=True):
        cells = min(round(fraction * 196) if fraction else 0, 49)
        wanted = 1 / (1 + np.exp(-8 * (1 - cells / 49 - 0.5)))
        assert value == pytest.approx(wanted, abs=1e-5)
    # Blurring a white image changes nothing, so insertion starts and ends at the whole score.
    assert curve.insertion_area == pytest.approx(1 / (1 + np.exp(-4)), abs=1e-5)


def test_the_same_seed_gives_the_same_curves() -> None:
    flat = {"flat": torch.zeros(28, 28)}
    one, two, other = (curves(Corner(), IMAGE, 1, flat, baseline=BLACK, seed=s) for s in (1, 1, 2))
    assert one == two
    assert one["flat"] != other["flat"]  # equals come in random order


def test_a_function_as_target_is_scaled_between_image_and_baseline() -> None:
    found = curves(Corner(), IMAGE, lambda out: 100 * out[:, 1], {}, baseline=BLACK)
    assert found["edges"].deletion[0] == pytest.approx(1)
    assert found["edges"].deletion[-1] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("size", "count"), [((224, 224), 196), ((8, 8), 64), ((15, 30), 50), ((1, 5), 5)]
)
def test_cells_tile_the_image(size: tuple[int, int], count: int) -> None:
    cells = Cells.of(torch.zeros(1, 1, *size))
    assert cells.count == count
    assert cells.label.unique().tolist() == list(range(count))
    order = cells.order(torch.arange(size[0] * size[1]).view(size), np.random.default_rng(0))
    assert order[0] == count - 1
    assert cells.mask(order, 1.0).all()


def test_edges_and_blur() -> None:
    step = torch.zeros(1, 1, 9, 9)
    step[..., 5:] = 1
    found = edges(step)
    assert found[4].tolist() == [0, 0, 0, 0, 4, 4, 0, 0, 0]
    constant = torch.full((1, 3, 20, 12), 0.3)
    torch.testing.assert_close(blur(constant), constant)


def test_shuffling_leaves_the_network_alone_and_the_spread_of_its_weights(
    plain: nn.Sequential, images: Tensor
) -> None:
    before = {n: t.clone() for n, t in plain.state_dict().items()}
    geometry = trace(plain, (1, *images.shape[1:]))
    assert weights_in_order(plain, geometry) == ["0.weight", "4.weight", "8.weight"]
    with shuffled(plain, images[:1], geometry, "upper half", seed=0) as half:
        kept = {n for n, t in half.module.state_dict().items() if torch.equal(t, before[n])}
    assert "0.weight" in kept
    assert not {"4.weight", "8.weight"} & kept
    with shuffled(plain, images[:1], geometry, "all", seed=0) as whole:
        for name in ("0.weight", "4.weight", "8.weight"):
            theirs = whole.module.state_dict()[name]
            assert not torch.equal(theirs, before[name])
            assert torch.equal(theirs.flatten().sort().values, before[name].flatten().sort().values)
        mean = whole.module.state_dict()["1.running_mean"]
        assert not torch.equal(mean, before["1.running_mean"])
        assert not any(m.training for m in whole.module.modules())
    assert all(torch.equal(before[n], t) for n, t in plain.state_dict().items())


def test_similarity_is_spearmans() -> None:
    a = torch.arange(16.0).view(4, 4)
    assert similarity(a, a.exp()) == pytest.approx(1)
    assert similarity(a, -a) == pytest.approx(-1)
    assert similarity(a, torch.zeros(4, 4)) == 0


class Edges(nn.Module):
    """A network whose map cannot depend on its trained weights: fixed kernels, one scale."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", torch.tensor([[[[-1.0, 1.0]]]]))
        self.head = nn.Linear(1, 2)
        nn.init.constant_(self.head.weight, 1.0)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        kernel: Tensor = self.kernel  # type: ignore[assignment]
        return self.head(torch.relu(nn.functional.conv2d(x, kernel)).mean((2, 3)))


def test_a_map_that_shuffled_weights_do_not_change_is_named() -> None:
    e = explain(Edges().eval(), IMAGE, 1, methods=["gradient"])
    assert e.ignores_weights("gradient") == pytest.approx(1)
    assert "Not to be read as the network's reasons: Gradient; shuffling" in e.advice
    said = finding(e, name="e", title="t")
    assert said.tables[0].rows[0][4:6] == (pytest.approx(1), pytest.approx(1))


def test_the_verdict_names_the_most_faithful_method() -> None:
    e = explain(Corner(), IMAGE, 1, classes=("dark", "bright"))
    assert e.best is not None and e.convincing
    assert e.verdict.startswith(f"{METHODS[e.best].title} is the most faithful map of “bright” on this image")  # fmt: skip
    assert set(e.refused) >= {"guided-backpropagation", "deconvnet", "deconvnet-switches"}
    assert "there is no ReLU" in e.refused["deconvnet"]


def test_no_map_is_praised_where_none_is_better_than_chance() -> None:
    class Same(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 0 * x.mean((2, 3)) + torch.tensor([2.0, 1.0, 0.0])

    e = explain(Same(), torch.rand(3, 9, 9))
    assert e.best is None and not e.convincing
    assert e.verdict == "No map marks anything that speaks for “class 0”."
    assert finding(e, name="e", title="t").status == "warning"


def quadrants(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """A bright disc in one of four quarters, the class, and dark discs in the others, on grey noise (N, 1, 28, 28)."""
    g = torch.Generator().manual_seed(seed)
    labels, at = torch.arange(count) % 4, torch.randint(-2, 3, (count, 2), generator=g)
    rows = torch.arange(28)
    images = 0.5 + 0.08 * torch.randn(count, 1, 28, 28, generator=g)
    for quarter in range(4):
        y, x = ((quarter // 2) * 14 + 7 + at[:, 0], (quarter % 2) * 14 + 7 + at[:, 1])
        away = (rows[None, :, None] - y[:, None, None]) ** 2 + (
            rows[None, None] - x[:, None, None]
        ) ** 2
        level = torch.where(labels == quarter, 0.45, -0.45)[:, None, None, None]
        images += level * (away < 9)[:, None]
    return images.clamp(0, 1), labels


def test_a_trained_network_has_a_most_faithful_map() -> None:
    """At the 5 % level over all methods, and by more than a few hundredths of probability."""
    x, y = quadrants(64, 0)
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 8, 5, 2, 2), nn.ReLU(), nn.Conv2d(8, 16, 5, 2, 2), nn.ReLU(), nn.AvgPool2d(3), nn.Flatten(),
        nn.Linear(64, 4),
    )  # fmt: skip
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    for _ in range(40):
        loss = nn.functional.cross_entropy(network(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()
    images = quadrants(6, 1)[0]
    methods = ["gradient", "integrated-gradients", "occlusion", "grad-cam"]
    told = [explain(network, image, methods=methods) for image in images]
    assert sum(e.convincing for e in told) >= 5
    assert all(e.p is not None and e.p < 0.05 and len(e.moved) == 7 for e in told if e.convincing)
    assert all(re.search(r"for chance \(p (= [\d.]+|< 0.001)\)", e.verdict) for e in told)


def test_random_maps_are_called_faithful_no_more_often_than_chance() -> None:
    """Of 40 random orders that are taken for a map, at the 5 % level 2 are expected; the binomial's 99.9 % is 7."""
    found = each_curve(Corner(), IMAGE, 1, {}, baseline=BLACK, orders=60)["random"]
    values = [c.faithfulness for c in found]
    assert sum(likelihood(v, values[:20], 1) < 0.05 for v in values[20:]) <= 7
    truth = torch.zeros(28, 28)
    truth[:14, :14] = 1
    true = curves(Corner(), IMAGE, 1, {"truth": truth}, baseline=BLACK)["truth"].faithfulness
    assert likelihood(true, values[:20], 10) < 1e-3


def test_a_t_test_by_hand() -> None:
    # 1, 2, 3: mean 2, deviation 1, and 5 is 3 / sqrt(1 + 1/3) = 2.598 above; one-sided t of 2 degrees: 0.0608
    assert likelihood(5.0, [1.0, 2.0, 3.0], 1) == pytest.approx(0.0608, abs=1e-4)
    assert likelihood(5.0, [1.0, 2.0, 3.0], 4) == pytest.approx(4 * 0.0608, abs=4e-4)


def test_fewer_random_orders_are_the_first_of_many() -> None:
    asked = []

    def enough(several: Mapping[str, list[Curves]]) -> bool:
        asked.append({name: len(mine) for name, mine in several.items()})
        return len(asked) == 1

    shown = {"rows": torch.arange(28.0)[:, None].expand(28, 28)}
    few, many = (
        each_curve(Corner(), IMAGE, 1, shown, baseline=BLACK, orders=20, enough=enough)
        for _ in range(2)
    )
    all_of_them = each_curve(Corner(), IMAGE, 1, shown, baseline=BLACK, orders=20)
    assert asked == [{"rows": 1, "random": 8, "edges": 1}] * 2
    assert (len(few["random"]), len(many["random"])) == (8, 20)
    for name, mine in all_of_them.items():
        for one, first in zip(many[name], mine, strict=True):
            assert one.deletion == pytest.approx(first.deletion, abs=1e-6)
            assert one.insertion == pytest.approx(first.insertion, abs=1e-6)
        for one, first in zip(few[name], mine, strict=False):
            assert one.faithfulness == pytest.approx(first.faithfulness, abs=1e-6)


def flat_curves(height: float) -> Curves:
    """Curves of this faithfulness."""
    return Curves(fractions=(0.0, 1.0), deletion=(0.0, 0.0), insertion=(height, height))


@pytest.mark.parametrize(
    ("map_", "edges_", "spread", "settled", "convincing"),
    [
        (0.5, 0.0, 0.01, True, True),  # far above chance
        (0.05, 0.0, 0.01, True, False),  # never clear of the edge detector, whatever chance does
        (0.4, 0.38, 0.01, True, False),
        (0.2, 0.0, 0.1, False, False),  # more random orders may tell
        (0.5, 0.0, 0.1, False, True),  # below the level, and not sure
    ],
)
def test_random_orders_end_where_the_verdict_cannot_change(
    map_: float, edges_: float, spread: float, settled: bool, convincing: bool
) -> None:
    chance = tuple(spread * (-1.0) ** i for i in range(8))
    found = explain(Corner(), IMAGE, 1, methods=["gradient"], trust=False)
    rated = {"gradient": flat_curves(map_), "edges": flat_curves(edges_)}
    found = replace(found, curves={**rated, "random": flat_curves(0.0)}, chance=chance)
    assert found.settled is settled
    assert found.convincing is convincing


def test_two_looks_find_chance_faithful_no_more_often_than_one() -> None:
    """The best of 9 random maps against 8, then 20 random orders: 5 % of 1,500 are 75, the binomial's 99.9 % is 102."""
    rng = np.random.default_rng(0)
    best, orders = rng.normal(size=(1500, 9)).max(1), rng.normal(size=(1500, 20))
    passed = sum(
        likelihood(b, o[:8], 9) < SURE or likelihood(b, o, 9) < LEVEL - SURE
        for b, o in zip(best.tolist(), orders.tolist(), strict=True)
    )
    assert passed <= 102


def test_time_that_is_up_leaves_checks_out() -> None:
    e = explain(Corner(), IMAGE, 1, methods=["gradient"], seconds=0)
    assert e.shuffled_similarity["gradient"] == {"upper half": None, "all": None}
    assert e.ignores_weights("gradient") is None


def test_an_explicit_method_that_cannot_be_used_is_an_error() -> None:
    with pytest.raises(UsageError, match="there is no ReLU"):
        explain(Corner(), IMAGE, methods=["gradient", "guided"])


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("occulsion", "there is no method 'occulsion'; did you mean occlusion?"),
        ("gradcamm", "did you mean gradcam?"),
        ("xyz", "there are gradient, gradient-x-input, integrated-gradients"),
    ],
)
def test_a_misspelt_method(name: str, says: str) -> None:
    with pytest.raises(UsageError, match=says.replace("?", r"\?")):
        attribute(Corner(), IMAGE, 1, name)


def test_methods_and_names_that_do_not_fit() -> None:
    with pytest.raises(UsageError, match="there is no method to explain with"):
        explain(Corner(), IMAGE, methods=[])
    with pytest.raises(UsageError, match="there are 3 class names for 2 classes"):
        explain(Corner(), IMAGE, classes=("a", "b", "c"))
    with pytest.raises(UsageError, match="one image at a time, got 2"):
        explain(Corner(), IMAGE.expand(2, -1, -1, -1))
    with pytest.raises(UsageError, match="choose a target to explain: a function"):
        explain(nn.Flatten(2), IMAGE)


def test_the_page_of_the_documentation_runs() -> None:
    page = Path(__file__).parents[2] / "docs" / "explain.md"
    (code,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    made: dict[str, object] = {}
    exec(compile(code, str(page), "exec"), made)
    assert made["unit"].pixels.shape == (3, 16, 16)  # type: ignore[attr-defined]


def test_a_place_on_the_map_is_framed_and_shuffled_maps_are_compared_there() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 4, 3, 2, 1)).eval()  # fmt: skip
    image = torch.rand(3, 40, 48)
    found = explain(network, image, (2, (5, 10), 7), methods=["gradient", "occlusion"])
    assert found.region == (slice(10, 20), slice(14, 16))  # the map has half of the image's sides
    everywhere = explain(network, image, lambda out: out[:, 2, 5:10, 7].mean(1), methods=["gradient"])  # fmt: skip
    local, whole = (e.shuffled_similarity["gradient"]["all"] for e in (found, everywhere))
    assert local is not None
    assert whole is not None
    assert local < whole  # the zeros far away are equal whatever the weights
    assert everywhere.region is None


@pytest.mark.parametrize(("middle", "spread"), [(0.0, 0.02), (0.3, 0.2), (0.6, 0.15)])
def test_chance_passes_its_test_as_rarely_as_it_says(middle: float, spread: float) -> None:
    """Orders whose faithfulness crowds towards 1, as of a confident network: the best of ten against twenty others."""
    draw = np.random.default_rng(0)
    mean, deviation = (middle + 1) / 2, spread / 2
    size = mean * (1 - mean) / deviation**2 - 1
    orders = 2 * draw.beta(mean * size, (1 - mean) * size, (1000, 30)) - 1
    passed = [likelihood(float(o[:10].max()), o[10:].tolist(), 10) < 0.05 for o in orders]
    assert np.mean(passed) <= 0.06


def test_a_map_near_the_largest_value_is_beyond_chance_that_is_large_itself() -> None:
    orders = 2 * np.random.default_rng(0).beta(27, 6.6, 20) - 1  # 0.6 on average, deviation 0.135
    assert likelihood(0.96, orders.tolist(), 10) < 0.05
    assert likelihood(0.75, orders.tolist(), 10) > 0.2
