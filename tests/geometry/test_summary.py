"""The summary, its rows and its figures."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import models

from striate.errors import GeometryError, UsageError
from striate.findings import Finding
from striate.geometry import (
    draw_receptive_fields,
    draw_utilisation,
    effective_receptive_field,
    summary,
    summary_rows,
    trace,
)


@pytest.fixture(scope="module")
def resnet() -> Any:
    with torch.device("meta"):
        return trace(models.resnet50().eval(), (1, 3, 224, 224))


def cells(finding: Finding, column: str) -> list[Any]:
    place = finding.tables[0].columns.index(column)
    return [row[place] for row in finding.tables[0].rows]


def test_the_table_folds_to_what_fits(resnet: Any) -> None:
    finding = summary(resnet)
    names = [str(n).strip("\N{NO-BREAK SPACE}") for n in cells(finding, "layer")]
    assert names[:7] == ["conv1", "bn1", "relu", "maxpool", "layer1", "0", "1"]
    assert len(names) == 26
    assert cells(finding, "window")[0] == "7×7 /2"
    assert cells(finding, "receptive field")[-3:] == ["427×427", "all", "all"]
    assert cells(finding, "output")[-3:] == ["2048×7×7", "2048×1×1", "1000"]
    top = [
        i
        for i, name in enumerate(cells(finding, "layer"))
        if not name.startswith("\N{NO-BREAK SPACE}")
    ]
    assert sum(cells(finding, "share")[i] for i in top) == pytest.approx(1)
    assert "25.6 million parameters and 4.09 billion multiply-adds" in finding.verdict
    assert "427×427 pixels, no less than the whole input of 224×224" in finding.verdict
    assert [len(summary(resnet, depth=d).tables[0].rows) for d in (1, 2)] == [10, 26]
    json.dumps(finding.to_dict())
    assert finding.figures[0].media == "image/svg+xml"


def test_rows_have_exact_numbers_and_one_set_of_keys(resnet: Any) -> None:
    rows = summary_rows(resnet)
    assert len({tuple(r) for r in rows}) == 1
    leaves = [r for r in rows if r["operation"] is not None]
    assert sum(r["multiply_adds"] for r in leaves) == resnet.total_macs == 4_089_184_256
    assert sum(r["parameters"] for r in leaves) == resnet.total_params == 25_557_032
    row = next(r for r in rows if r["layer"] == "layer2.0.conv2")
    assert row["window"], row["stride"] == ("3x3", "2x2")
    assert (row["receptive_field"], row["field_stride"], row["field_start"]) == (
        "43x43",
        "8x8",
        "-21x-21",
    )
    assert row["activation_bytes"] == 128 * 28 * 28 * 4


def test_lecture_000_reads_as_in_the_lecture() -> None:
    network = nn.Sequential(nn.Conv2d(1, 32, 5), nn.MaxPool2d(3), nn.ReLU())
    finding = summary(trace(network, (1, 1, 28, 28)))
    table = finding.tables[0]
    column = table.columns.index
    assert [table.text(0, column(c)) for c in ("output", "parameters", "MACs")] == [
        "32×24×24", "832", "460,800"
    ]  # fmt: skip


class Spectrum(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.fft.rfft2(x).real


def test_unknown_products_are_said_to_be_unknown() -> None:
    finding = summary(trace(nn.Sequential(nn.Conv2d(1, 1, 3), Spectrum()), (1, 1, 8, 8)))
    assert "unknown" in cells(finding, "MACs")
    assert finding.status == "warning"
    assert "at least 324 multiply-adds" in finding.verdict
    assert "multiply-adds of 1.fft_r2c are not known" in finding.advice
    assert finding.data["totals"]["multiply_adds"] is None


def test_parameters_that_a_pass_does_not_use_are_named() -> None:
    class Spare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.spare = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.used(x)

    finding = summary(trace(Spare(), (1, 1, 4, 4)))
    assert (
        "2 parameter tensors are not used by this pass: spare.bias, spare.weight" in finding.advice
    )


@pytest.mark.parametrize("shape", [(1, 3, 9), (1, 3, 9, 9, 9), (4, 3)])
def test_networks_of_any_number_of_axes(shape: tuple[int, ...]) -> None:
    layer = {3: nn.Conv1d, 5: nn.Conv3d}.get(len(shape))
    module = nn.Linear(3, 2) if layer is None else layer(3, 2, 3)
    finding = summary(trace(module, shape))
    assert len(finding.tables[0].rows) == 1
    assert summary_rows(trace(module, shape))[0]["receptive_field"] in (None, "3", "3x3x3")


def test_depth_counts_from_one(resnet: Any) -> None:
    with pytest.raises(UsageError, match="depth counts levels of the module tree from 1, got 0"):
        summary(resnet, depth=0)
    with pytest.raises(UsageError, match="from 1, got -1"):
        summary_rows(resnet, depth=-1)


def test_receptive_fields_over_an_image(resnet: Any) -> None:
    image = np.random.default_rng(0).integers(0, 255, (224, 224, 3), dtype=np.uint8)
    figure = draw_receptive_fields(resnet, image)
    assert figure.content.startswith(b"\x89PNG")
    assert (
        draw_receptive_fields(resnet, image[..., 0] / 255, ["conv1", "layer4"]).content
        != figure.content
    )
    with pytest.raises(
        UsageError, match="the image has 10x10 pixels but the network was traced on 224x224"
    ):
        draw_receptive_fields(resnet, image[:10, :10])


def test_utilisation_is_drawn_with_its_numbers_where_there_are_few() -> None:
    figure = draw_utilisation(trace(nn.Conv2d(1, 1, 3), (1, 1, 5, 5)))
    assert figure.content.count(b">9<") >= 1
    assert "from 1 to 9 times" in figure.caption
    with pytest.raises(UsageError, match=r"two spatial axes\), the traced one has 1"):
        draw_utilisation(trace(nn.Conv1d(1, 1, 3), (1, 1, 5)))


def test_the_effective_field_lies_within_the_theoretical_one() -> None:
    """Luo et al. 2016: with random weights the gradient is a Gaussian much narrower than the theoretical field."""
    torch.manual_seed(0)
    network = nn.Sequential(*[nn.Conv2d(1 if i == 0 else 8, 8, 3, padding=1) for i in range(10)])
    network.requires_grad_(True)
    finding = effective_receptive_field(network, (1, 1, 33, 33), "9", samples=3)
    assert finding.data["theoretical_box"] == [[6, 27], [6, 27]]
    assert finding.data["outside"] == 0
    assert 4 < finding.data["effective_side"] < 21
    assert all(p.grad is None for p in network.parameters())
    assert finding == effective_receptive_field(network, (1, 1, 33, 33), "9", samples=3)


def test_the_effective_field_needs_positions_and_a_gradient() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2)
    )
    with pytest.raises(GeometryError, match="3 keeps no positions"):
        effective_receptive_field(network, (1, 1, 9, 9), "3")
    nn.init.zeros_(network[0].weight)
    with pytest.raises(GeometryError, match=r"the gradient of 0 at .* is zero"):
        effective_receptive_field(network, (1, 1, 9, 9), "0", samples=1)
    with pytest.raises(UsageError, match="samples counts random inputs from 1, got 0"):
        effective_receptive_field(network, (1, 1, 9, 9), "0", samples=0)
