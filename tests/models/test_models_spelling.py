"""Specs that spell their options: the papers' sizes against the parameters that they publish, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch

import striate
from striate.errors import UsageError
from striate.models import architecture, padding_of
from striate.models.spelling import spelled

# (spec, pixels, classes, parameters by a peer or the paper)
PUBLISHED = (
    ("vit-ti16", 224, 1000, lambda: timm_size("vit_tiny_patch16_224")),
    ("vit-s/16", 224, 1000, lambda: timm_size("vit_small_patch16_224")),
    ("ViT_B_32", 224, 1000, lambda: timm_size("vit_base_patch32_224")),
    ("mixer-b/16", 224, 1000, lambda: timm_size("mixer_b16_224")),
    # SHI-Labs/Compact-Transformers, README: 0.28 M, 3.76 M
    ("cct-2/3x2", 32, 10, lambda: 284_491),
    ("cct-7/3x1", 32, 10, lambda: 3_765_515),
)


def timm_size(name: str) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in timm.create_model(name).parameters())


@pytest.mark.parametrize("case", PUBLISHED, ids=lambda case: case[0])
def test_the_sizes_of_the_papers(case: tuple) -> None:
    spec, pixels, classes, expected = case
    with torch.device("meta"):
        network = striate.build(spec, num_classes=classes, size=pixels, check=False)
    assert sum(p.numel() for p in network.parameters()) == expected()


def test_options_in_the_spec_are_those_of_python() -> None:
    torch.manual_seed(0)
    spec = "vit(patch_size=8, depth=2, heads=3, width=24, mlp_width=40, positions=sinusoidal, pool=mean)"
    a = striate.build(spec, num_classes=5, size=32)
    torch.manual_seed(0)
    b = striate.build(
        "vit", num_classes=5, size=32, patch_size=8, depth=2, heads=3, width=24, mlp_width=40,
        positions="sinusoidal", pool="mean",
    )  # fmt: skip
    assert a.state_dict().keys() == b.state_dict().keys()
    assert all(torch.equal(x, b.state_dict()[n]) for n, x in a.state_dict().items())


def test_values_are_numbers_lists_and_words() -> None:
    assert spelled("neocognitron(planes=(4, 5, 6), r=(4.0, 1.5, 1.5))") == (
        "neocognitron", {"planes": (4, 5, 6), "r": (4.0, 1.5, 1.5)},
    )  # fmt: skip
    assert spelled("vit(positions=none, dropout=0.1)")[1] == {"positions": "none", "dropout": 0.1}
    assert spelled("resnet18(small_stem=TRUE)")[1] == {"small_stem": True}
    assert spelled("vit-s16(depth=1)")[1]["depth"] == 1 and spelled("vit")[1] == {}
    assert architecture("cct-7/3x1(positions=none)") == "cct" and architecture(None) is None
    for spec in ("conv8-relu-fc", "timm/resnet18", "unet:resnet18", "[conv8-relu]*2-fc"):
        assert architecture(spec) == spec


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("vit(depth)", "name=value"),
        ("vit(depth=2, depth=3)", "twice"),
        ("vit(bogus=3)", "no option 'bogus'"),
        ("vit(depth=a)", "whole number"),
        ("vit(positions=no)", "one of learned, sinusoidal, none"),
        ("vit-x16", "vit-ti, vit-s"),
        ("cct-5/3x1", "cct-2, cct-4"),
        ("vit(width=100000000)", "from 1 to 65,536"),
        ("vit(width=16000, heads=4, depth=48)", "parameters"),
        ("mlp(hidden=7)", "makes no network"),
        ("vit(heads=5)", "divide"),
        ("vit(", "no model"),
        ("lenet5(x=__import__('os'))", "no option 'x'"),
    ],
)
def test_what_makes_no_network_is_refused(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        striate.build(spec, num_classes=5, size=32)


def test_an_option_both_spelled_and_given_is_refused() -> None:
    with pytest.raises(UsageError, match="beside it"):
        striate.build("vit(depth=2)", num_classes=5, size=32, depth=3)


def test_patches_that_do_not_divide_the_image_are_named() -> None:
    assert padding_of("vit(patch_size=8)", 1, (32, 48)) == ""
    assert "32 x 40" in padding_of("vit(patch_size=8)", 1, (30, 33))
    assert padding_of("resnet18", 3, (30, 33)) == padding_of("cct", 3, (30, 33)) == ""


def test_a_run_trains_and_opens_again(tmp_path: Path) -> None:
    spec = "vit(patch_size=5, depth=1, width=16, heads=2, mlp_width=16)"
    run = striate.train("digits", model=spec, epochs=1, limit=60, out=tmp_path / "run")
    assert run.recipe.model == spec and run.recipe.optimizer == "adamw"
    assert striate.load(tmp_path / "run").model.conv_proj.kernel_size == (5, 5)
