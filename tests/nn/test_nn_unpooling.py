"""Un-pooling: bed of nails, nearest, and by switches, alone and through whole networks."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate import ops
from striate.errors import UsageError
from striate.nn import (
    BedOfNailsUnpool2d,
    EncoderDecoder,
    NearestUnpool2d,
    Switch,
    SwitchUnpool2d,
    record_switches,
)

X = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])


def test_bed_of_nails_by_hand() -> None:
    # lecture 004, figure 10: the value in the upper left corner, zeros around it
    assert BedOfNailsUnpool2d(2)(X).tolist() == [
        [[[1, 0, 2, 0], [0, 0, 0, 0], [3, 0, 4, 0], [0, 0, 0, 0]]]
    ]


def test_nearest_by_hand() -> None:
    # lecture 004, figure 10: the value copied over its window
    assert NearestUnpool2d(2)(X).tolist() == [
        [[[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]]
    ]


@pytest.mark.parametrize("factor", [1, 2, 3, (1, 2), (3, 2)])
def test_both_agree_with_their_definitions(factor: int | tuple[int, int]) -> None:
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(BedOfNailsUnpool2d(factor)(x), ops.bed_of_nails(x, factor))
    torch.testing.assert_close(NearestUnpool2d(factor)(x), ops.nearest(x, factor))


@pytest.mark.parametrize("layer", [BedOfNailsUnpool2d((2, 3)), NearestUnpool2d(2)], ids=repr)
def test_gradients(layer: nn.Module) -> None:
    x = torch.randn(1, 2, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x,))


def test_wrong_kernels_are_refused() -> None:
    with pytest.raises(UsageError, match=r"BedOfNailsUnpool2d: kernel_size is one.*got 0"):
        BedOfNailsUnpool2d(0)
    with pytest.raises(UsageError, match=r"NearestUnpool2d: .*got \(2, 2, 2\)"):
        NearestUnpool2d((2, 2, 2))  # type: ignore[arg-type]


def pooled(x: Tensor, pool: nn.MaxPool2d) -> tuple[Tensor, Switch]:
    with record_switches(nn.Sequential(pool)) as switches:
        y = pool(x)
    return y, switches["0"]


@pytest.mark.parametrize(
    "pool",
    [nn.MaxPool2d(2), nn.MaxPool2d(3, ceil_mode=True), nn.MaxPool2d(2, padding=1)],
    ids=repr,
)
def test_switches_put_values_where_torch_puts_them(pool: nn.MaxPool2d) -> None:
    torch.manual_seed(1)
    x = torch.randn(2, 3, 7, 8, dtype=torch.float64)
    y, switch = pooled(x, pool)
    values = torch.randn_like(y)
    at = switch.indices
    expected = F.max_unpool2d(
        values, at, pool.kernel_size, pool.stride, pool.padding, output_size=x.shape[-2:]
    )
    torch.testing.assert_close(switch.unpool(values), expected)
    torch.testing.assert_close(switch.unpool(values), ops.max_unpool(values, at, (7, 8)))


def test_overlapping_windows_that_share_a_maximum_put_it_back_once() -> None:
    x = torch.tensor([[[[1.0, 9.0, 2.0]]]])
    y, switch = pooled(x, nn.MaxPool2d((1, 2), stride=1))
    assert switch.unpool(y).tolist() == [[[[0, 9, 0]]]]
    assert switch.unpool(torch.tensor([[[[4.0, 6.0]]]])).tolist() == [[[[0, 5, 0]]]]


def test_pooling_what_was_unpooled_gives_it_back() -> None:
    torch.manual_seed(2)
    x = torch.rand(2, 3, 9, 9, dtype=torch.float64)
    pool = nn.MaxPool2d(3, 2)
    y, switch = pooled(x, pool)
    torch.testing.assert_close(pool(switch.unpool(y)), y)


def test_switch_gradients() -> None:
    torch.manual_seed(3)
    y, switch = pooled(torch.randn(1, 2, 5, 5, dtype=torch.float64), nn.MaxPool2d(3, 1))
    assert torch.autograd.gradcheck(switch.unpool, (y.clone().requires_grad_(),))


def test_recording_leaves_the_network_and_its_answer_alone() -> None:
    torch.manual_seed(4)
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), nn.Sequential(nn.MaxPool2d(2)))
    x = torch.randn(1, 1, 14, 14)
    plain = network(x)
    with record_switches(network) as switches:
        torch.testing.assert_close(network(x), plain, rtol=0, atol=0)
    assert list(switches) == ["1", "2.0"]
    assert [s.size for s in switches.values()] == [(12, 12), (6, 6)]
    network(torch.randn(1, 1, 20, 20))
    assert switches["1"].size == (12, 12), "the hooks are gone"
    with pytest.raises(RuntimeError, match=r"stop"), record_switches(network):
        raise RuntimeError("stop")
    assert all(not m._forward_hooks for m in network.modules())


def test_a_layer_that_runs_twice_is_recorded_twice() -> None:
    pool = nn.MaxPool2d(2)
    network = nn.Sequential(pool, nn.ReLU(), pool)
    with record_switches(network) as switches:
        network(torch.rand(1, 1, 8, 8))
    assert {name: s.size for name, s in switches.items()} == {"0": (8, 8), "0:2": (4, 4)}


def test_an_encoder_and_its_decoder_pair_their_poolings_last_to_first() -> None:
    x = torch.arange(64.0).reshape(1, 1, 8, 8)
    network = EncoderDecoder(
        nn.Sequential(nn.MaxPool2d(2), nn.MaxPool2d(2)),
        nn.Sequential(SwitchUnpool2d(), nn.ReLU(), SwitchUnpool2d()),
    )
    y = network(x)
    # the maxima of a rising ramp are the lower right corners; twice pooled, those of 4 x 4 blocks
    corners = torch.zeros_like(x)
    corners[..., 3::4, 3::4] = x[..., 3::4, 3::4]
    assert y.tolist() == corners.tolist()


def test_an_encoder_decoder_trains_through_its_switches() -> None:
    torch.manual_seed(5)
    network = EncoderDecoder(
        nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.MaxPool2d(2)),
        nn.Sequential(SwitchUnpool2d(), nn.Conv2d(4, 1, 3, padding=1)),
    )
    x = torch.randn(2, 1, 6, 6)
    network(x).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_switches_say_what_is_wrong() -> None:
    _, switch = pooled(torch.rand(1, 1, 4, 4), nn.MaxPool2d(2))
    with pytest.raises(
        UsageError, match=r"what the pooling gave, \(1, 1, 2, 2\), got \(1, 1, 4, 4\)"
    ):
        switch.unpool(torch.zeros(1, 1, 4, 4))
    with pytest.raises(UsageError, match=r"needs the switches of a pooling"):
        SwitchUnpool2d()(torch.zeros(1, 1, 2, 2))
    network = EncoderDecoder(nn.Sequential(nn.MaxPool2d(2)), nn.Sequential())
    with pytest.raises(UsageError, match=r"needs one SwitchUnpool2d, got 1 and 0"):
        network(torch.zeros(1, 1, 4, 4))
