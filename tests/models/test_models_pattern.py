"""The layer pattern: what parses, what it builds, and where an error points."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from striate.errors import PatternError
from striate.models import head, pattern
from striate.models.pattern import Group, parse
from striate.models.pattern.syntax import Activation, Conv, FullyConnected, GlobalPool, Pool
from striate.models.pattern.unrolling import unroll


def names(network: nn.Module) -> list[str]:
    return [name for name, _ in network.named_children()]


def build(spec: str, **options: object) -> nn.Sequential:
    return pattern.build(spec, **{"in_channels": 3, "num_classes": 10, "size": (32, 32), **options})


def test_both_spellings_of_lecture_000_are_one_network() -> None:
    long = "INPUT -> [[CONV32 -> RELU]*2 -> POOL]*3 -> [FC256 -> RELU]*1 -> FC"
    short = "[[conv32-relu]*2-pool]*3-[fc256-relu]*1-fc"
    printed = "input→[[Conv32 → ReLU]×2→Pool]×3→[fc256→relu]→fc"
    assert str(build(long)) == str(build(short)) == str(build(printed))
    network = build(short)
    assert names(network)[:5] == ["conv1", "relu1", "conv2", "relu2", "pool1"]
    assert names(network)[-4:] == ["flatten", "fc1", "relu7", "fc2"]
    assert network.fc1.in_features == 32 * 4 * 4
    assert network.fc2.out_features == 10


def test_the_bare_pattern_of_lecture_000_needs_only_its_numbers() -> None:
    network = build("INPUT -> [[CONV -> RELU]*2 -> POOL]*3 -> [FC -> RELU]*1 -> FC")
    convs = [m.out_channels for m in network if isinstance(m, nn.Conv2d)]
    assert convs == [32] * 6
    assert (network.fc1.out_features, network.fc2.out_features) == (128, 10)


def test_the_toy_convnet_of_lecture_000() -> None:
    # 32 x 32 x 3 -> CONV, 12 filters: 32 x 32 x 12 -> RELU -> POOL: 16 x 16 x 12 -> FC: 3 classes
    network = build("INPUT -> CONV12 -> RELU -> POOL -> FC", num_classes=3)
    x = torch.zeros(1, 3, 32, 32)
    assert network[:1](x).shape == (1, 12, 32, 32)
    assert network[:3](x).shape == (1, 12, 16, 16)
    assert network(x).shape == (1, 3)


def test_the_lenet_like_table_of_lecture_000() -> None:
    # nn.Conv2d(1, 32, kernel_size=5): 32 x 24 x 24, 32 (5^2 + 1) = 832 parameters; max_pool2d(., 3)
    network = build("conv32k5valid-pool3-relu-fc", in_channels=1, size=(28, 28))
    x = torch.zeros(1, 1, 28, 28)
    assert network[:1](x).shape == (1, 32, 24, 24)
    assert sum(p.numel() for p in network.conv1.parameters()) == 832
    assert network[:2](x).shape == (1, 32, 8, 8)


def test_the_line_classifier_of_lecture_003() -> None:
    # two 9 x 9 kernels, ReLU, the mean over the map, a 2 x 2 matrix and two biases
    network = build("conv2k9-relu-gap-fc", in_channels=1, num_classes=2, size=(64, 64))
    assert names(network) == ["conv1", "relu1", "gap", "flatten", "fc1"]
    assert sum(p.numel() for p in network.parameters()) == 2 * (81 + 1) + 2 * (2 + 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "conv64k5s2p1g2d3",
            Conv(position=0, channels=64, kernel=5, stride=2, padding=1, groups=2, dilation=3),
        ),
        ("conv8d2g4s1k3", Conv(position=0, channels=8, groups=4, dilation=2)),
        ("conv8samek5", Conv(position=0, channels=8, kernel=5)),
        ("conv8k5valid", Conv(position=0, channels=8, kernel=5, padding="valid")),
        ("conv8pvalids2", Conv(position=0, channels=8, stride=2, padding="valid")),
        ("conv8x1.5", Conv(position=0, channels=8, growth=1.5)),
        ("CONV 8 K 5", Conv(position=0, channels=8, kernel=5)),
        ("conv", Conv(position=0)),
        ("pool", Pool(position=0)),
        ("maxpool3s2p1", Pool(position=0, kernel=3, stride=2, padding=1)),
        ("avgpoolk4", Pool(position=0, kind="avg", kernel=4)),
        ("fc256x.5", FullyConnected(position=0, units=256, growth=0.5)),
        ("gmp", GlobalPool(position=0, kind="max")),
        ("leakyrelu0.2", Activation(position=0, kind="leakyrelu", slope=0.2)),
    ],
)
def test_parameters_of_a_layer(text: str, expected: object) -> None:
    assert parse(text).items == (expected,)


def test_the_tree_keeps_groups_and_positions() -> None:
    assert parse("[[conv-relu]*2-pool]*3-[fc]") == Group(
        position=0,
        items=(
            Group(
                position=0,
                count=3,
                items=(
                    Group(
                        position=1,
                        count=2,
                        items=(Conv(position=2), Activation(position=7, kind="relu")),
                    ),
                    Pool(position=15),
                ),
            ),
            Group(position=23, items=(FullyConnected(position=24),)),
        ),
    )


@pytest.mark.parametrize(
    ("spec", "channels"),
    [
        ("[[conv32x2-relu]*2-pool]*3-gap-fc", [32, 32, 64, 64, 128, 128]),
        ("[conv32x2-pool]*3-gap-fc", [32, 64, 128]),
        ("[conv16x1.5-conv8-pool]*3-gap-fc", [16, 8, 24, 8, 36, 8]),
        ("[[conv8x2-conv8x3]]*3-gap-fc", [8, 8, 16, 24, 32, 72]),
        ("[conv4x2]*2-[conv4x2]*2-gap-fc", [4, 8, 4, 8]),
        ("[convx2]*2-gap-fc", [32, 64]),
        ("[conv1x0.1]*3-gap-fc", [1, 1, 1]),
    ],
)
def test_channels_grow_over_the_outermost_repetition(spec: str, channels: list[int]) -> None:
    network = build(spec)
    assert [m.out_channels for m in network if isinstance(m, nn.Conv2d)] == channels


def test_units_grow_too() -> None:
    network = build("gap-[fc64x0.5-relu]*3-fc")
    assert [m.out_features for m in network if isinstance(m, nn.Linear)] == [64, 32, 16, 10]


def test_the_last_layer_without_a_number_gets_the_classes() -> None:
    assert build("conv-relu-conv-relu-gap", num_classes=7).conv2.out_channels == 7
    assert build("conv-flatten-fc", num_classes=7).fc1.out_features == 7
    assert build("conv9-gap", num_classes=9)(torch.zeros(1, 3, 40, 50)).shape == (1, 9)
    assert build("conv4k32valid-flatten", num_classes=4)(torch.zeros(1, 3, 32, 32)).shape == (1, 4)


def test_every_kind_of_layer_is_torchs() -> None:
    network = build(
        "conv8-bn-leakyrelu0.2-conv8-ln-gelu-avgpool-conv8-silu-maxpool3s2p1-tanh-dropout0.1-gmp-"
        "fc16-bn-sigmoid-fc8-ln-relu-dropout-fc"
    )
    kinds = {name: type(m) for name, m in network.named_children()}
    assert kinds["bn1"] is nn.BatchNorm2d
    assert kinds["bn2"] is nn.BatchNorm1d
    assert kinds["ln2"] is nn.LayerNorm
    assert network.leakyrelu1.negative_slope == 0.2
    assert network.pool1.padding == 1
    assert (network.dropout1.p, network.dropout2.p) == (0.1, 0.5)
    assert kinds["gmp"] is nn.AdaptiveMaxPool2d
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_layer_norm_of_maps_is_over_one_image() -> None:
    # lecture 001: "applied to one observation at a time", mean and deviation are scalars
    norm = build("conv8-ln-gap-fc").ln1
    x = torch.randn(3, 8, 5, 5, generator=torch.Generator().manual_seed(0)) * 3 + 1
    y = norm(x)
    for image in y:
        assert float(image.mean().detach()) == pytest.approx(0, abs=1e-5)
        assert float(image.var(correction=0).detach()) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("layer", "side"),
    [
        ("conv4", 32),
        ("conv4k5", 32),
        ("conv4s2", 16),
        ("conv4k1s3", 11),
        ("conv4k5s3d2", 11),
        ("conv4k5valid", 28),
        ("conv4k5s2p2", 16),
        ("conv4k7d3valid", 14),
        ("pool", 16),
        ("pool3", 10),
        ("pool3s2p1", 16),
        ("avgpool5s1", 28),
    ],
)
def test_sizes(layer: str, side: int) -> None:
    network = build(f"{layer}-fc")
    assert network[:1](torch.zeros(1, 3, 32, 32)).shape[-1] == side
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 10)


@pytest.mark.parametrize(("stride", "side"), [(1, 9), (2, 5), (3, 3)])
def test_same_padding_of_an_even_kernel_puts_the_odd_zero_behind(stride: int, side: int) -> None:
    network = build(f"conv1k4s{stride}-fc", in_channels=1, size=(9, 9))
    assert names(network)[:2] == ["pad1", "conv1"]
    nn.init.ones_(network.conv1.weight)
    y = network[:2](torch.ones(1, 1, 9, 9)).detach()
    assert y.shape == (1, 1, side, side)
    assert float(y[0, 0, 0, 0]) == 9  # one zero above and left, so 3 x 3 of 4 x 4 are inside
    if stride == 1:
        assert float(y[0, 0, -1, -1]) == 4  # two zeros below and right


def test_layers_start_by_the_activation_that_follows() -> None:
    torch.manual_seed(0)
    network = build("conv256-pool-relu-conv256-bn-tanh-conv256-gap-fc256-fc")

    def scale(layer: nn.Module) -> float:
        weight = layer.weight.detach()
        return float(weight.std() * weight[0].numel() ** 0.5)

    assert scale(network.conv1) == pytest.approx(2**0.5, rel=0.05)
    assert scale(network.conv2) == pytest.approx(5 / 3, rel=0.05)
    assert scale(network.conv3) == pytest.approx(1, rel=0.05)
    assert scale(network.fc2) == pytest.approx(1, rel=0.1)


# pattern, the character that the error points at, what it says
WRONG = [
    ("", 0, r"a layer .* fits here, but the pattern ends"),
    ("conv32-", 7, r"fits here, but the pattern ends"),
    ("-conv", 0, r"a layer \(conv32, relu, pool, fc ...\) or '\[' fits here, but got '-'"),
    ("conv--fc", 5, r"fits here, but got '-'"),
    ("[]*2", 1, r"fits here, but got '\]'"),
    ("conv!-fc", 4, r"no '!'; it is made of layers such as conv32, '-'"),
    ("conv32-cnov32-fc", 7, r"no layer 'cnov'; did you mean conv\?"),
    ("conv32-max-fc", 7, r"no layer 'max'; did you mean maxpool"),
    ("conv32-zzzz", 7, r"no layer 'zzzz'; there are conv, pool"),
    ("conv-fc-input", 8, r"INPUT stands only at the start"),
    ("input conv", 6, r"'-' fits after INPUT, but got 'conv'"),
    ("[conv-relu", 0, r"this '\[' is never closed"),
    ("[[conv]*2-relu", 0, r"this '\[' is never closed"),
    ("conv]*2-fc", 4, r"this '\]' closes no '\['"),
    ("[conv]*-fc", 7, r"a number fits here \(how many times.*but got '-'"),
    ("[conv]*N-fc", 7, r"a number fits here \(how many times.*but got 'n'"),
    ("[conv]*1.5-fc", 7, r"whole number of at least 0 .*got 1.5"),
    ("[conv]2-fc", 6, r"'-' and another layer, or the end fits here, but got '2'"),
    ("[conv 2 [", 8, r"'-' and another layer, or '\]' fits here, but got '\['"),
    ("relu6-fc", 4, r"'-' and another layer.*got '6'"),
    ("conv0-fc", 4, r"at least 1 fits here \(output channels\), got 0"),
    ("conv1.5-fc", 4, r"whole number .*got 1.5"),
    ("conv8k-fc", 6, r"a number fits here \(kernel\), but got '-'"),
    ("conv8k3k5-fc", 7, r"kernel is given twice"),
    ("conv8p1same-fc", 7, r"padding is given twice"),
    ("conv8q3-fc", 5, r"'q' is no parameter of conv; there are k \(kernel\), s .*same, valid"),
    ("conv8 relu-fc", 6, r"write '-' between conv and relu"),
    ("pool2s2g2-fc", 7, r"'g' is no parameter of pool; there are k \(kernel\), s \(stride\), p"),
    ("pool2k3-fc", 0, r"kernel is given twice"),
    ("pool2p2-fc", 0, r"padding of a pool is at most half its kernel, got padding 2 with kernel 2"),
    ("fc8k3", 3, r"'k' is no parameter of fc; there are x \(growth\)$"),
    ("[fc8x0]*2-fc", 5, r"growth must be above 0, got 0"),
    ("dropout1-fc", 7, r"from 0 to below 1, got 1"),
    ("conv9999999999-fc", 4, r"9999999999... is too large \(output channels\)"),
    ("[conv]*2000-fc", 7, r"at most 1000 times, got 2000"),
    ("[[conv]*1000]*1000-fc", 0, r"1,000,001 layers, at most 2,000 are built"),
    ("[" * 21 + "conv", 20, r"groups stand at most 20 deep"),
    ("[conv-fc]*0", 0, r"nothing is left of the pattern"),
    ("conv32x2-fc", 0, r"x2 grows from one repetition to the next, but .* no \[ \]\*N"),
    ("conv32-pool-conv8g3-fc", 12, r"groups must divide the channels, got 3 groups of 32 input"),
    ("fc10-conv8-fc", 5, r"conv needs maps of pixels, but 10 single values come in"),
    ("conv-gap-pool-fc", 9, r"pool needs maps of pixels, but 32 single values"),
    ("conv-gap-gap-fc", 9, r"gap needs maps of pixels"),
    ("fc999999999-fc", 0, r"would have 3,071,999,996,928 weights, at most 2,147,483,648"),
    ("conv-fc-relu", 8, r"the classes' scores and leave the network as they are"),
    ("conv-gap-dropout", 9, r"the classes' scores"),
    ("conv-pool", 5, r"ends in 10 maps of 16 x 16 pixels, not in one score for each of 10 classes"),
    ("conv-fc7", 5, r"ends in 7 values, but there are 10 classes; end it with fc without a number"),
    ("conv-fc7-flatten", 5, r"ends in 7 values"),
    ("gap", 0, r"ends in 3 values, but there are 10 classes"),
]


@pytest.mark.parametrize(("spec", "position", "message"), WRONG, ids=[w[0][:30] for w in WRONG])
def test_an_error_points_at_the_character(spec: str, position: int, message: str) -> None:
    with pytest.raises(PatternError, match=rf"(?m){message}") as caught:
        build(spec)
    assert caught.value.position == position
    assert str(caught.value).endswith(f"\n  {spec}\n  {' ' * position}^")


@pytest.mark.parametrize(
    ("spec", "position", "message"),
    [
        (
            "[[conv32-relu]*2-pool]*9-fc",
            17,
            r"at pool6: 1 x 1 pixels come in and its window is 2 x 2",
        ),
        ("conv8k40valid-fc", 0, r"at conv1: 32 x 32 pixels come in and its window is 40 x 40"),
        ("pool4-pool4-conv8k2d2valid-fc", 12, r"at conv1: 2 x 2 pixels come in .* 3 x 3"),
        (
            "conv-avgpool16-avgpool4s2p1-avgpool-avgpool-fc",
            28,
            r"at avgpool3: 1 x 1 pixels come in",
        ),
    ],
)
def test_a_pattern_that_shrinks_the_image_to_nothing_says_where(
    spec: str, position: int, message: str
) -> None:
    with pytest.raises(PatternError, match=message) as caught:
        build(spec)
    assert caught.value.position == position
    assert "(the image is 32 x 32)" in str(caught.value)


def test_the_head_of_a_pattern_is_its_last_layer() -> None:
    network = build("[conv8-bn-relu]*2-gap-fc16-relu-fc")
    assert head(network) is network.fc2
    network = build("conv8-relu-conv-gap")
    assert head(network) is network.conv2


@st.composite
def layers(draw: st.DrawFn) -> str:
    """One layer in a spelling of its own."""
    kind = draw(st.sampled_from(["conv", "pool", "avgpool", "relu", "tanh", "bn", "ln", "dropout"]))
    if kind == "conv":
        text = f"conv{draw(st.integers(1, 6)) * 2}"
        text += draw(
            st.sampled_from(["", "k1", "k5", "k2valid", "k3s2", "k3p2", "d2", "g2", "same", "x2"])
        )
        return text
    if kind.endswith("pool"):
        return kind + draw(st.sampled_from(["", "2", "3s1p1", "k2s1", "3"]))
    return kind


@st.composite
def patterns(draw: st.DrawFn) -> str:
    dash = draw(st.sampled_from(["-", "->", " -> ", " →"]))
    groups = draw(st.lists(st.lists(layers(), min_size=1, max_size=3), min_size=1, max_size=3))
    parts = [f"[{dash.join(g)}]*{draw(st.integers(1, 2))}" for g in groups]
    text = dash.join(
        [*parts, draw(st.sampled_from(["fc", "gap-fc", "conv-gap", "gmp-fc8-relu-fc"]))]
    )
    return draw(st.sampled_from([text, text.upper(), f"INPUT{dash}{text}"]))


def refusal(run: Callable[[], object]) -> PatternError | None:
    try:
        run()
    except PatternError as error:
        return error
    return None


@settings(max_examples=60, deadline=None)
@given(spec=patterns(), side=st.integers(4, 20))
def test_whatever_can_be_written_either_runs_or_says_why_not(spec: str, side: int) -> None:
    """The builder's own arithmetic of sizes agrees with torch's kernels in every case."""
    size = (side, side + 3)
    with torch.device("meta"):
        error = refusal(lambda: build(spec, in_channels=2, num_classes=5, size=size))
        if error is None:
            network = build(spec, in_channels=2, num_classes=5, size=size).eval()
            assert network(torch.empty(2, 2, *size)).shape == (2, 5)
        else:
            assert "below one pixel" in str(error) or "groups must divide" in str(error)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="convplfkxsgd0123.-[]* >", max_size=20))
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    error = refusal(lambda: unroll(text, parse(text), 10))
    assert error is None or 0 <= error.position <= len(text)


@pytest.mark.parametrize("text", ["[conv16x5-relu]*999-fc10", "[fc2x99]*999-fc"])
def test_a_layer_that_grows_beyond_every_number_is_named(text: str) -> None:
    with pytest.raises(PatternError, match="grows beyond every number in"):
        unroll(text, parse(text), 10)
