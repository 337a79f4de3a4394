"""Networks of reports to other tools' trackers, whose exported files answered differently: each goes out with the right
answers or is refused, and what was written is run again on other images, against float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import striate
from striate import api
from striate.data import Preprocessing
from striate.errors import ExactnessError, UsageError
from striate.tasks.trained import Trained


class Head(nn.Module):
    """A small network around one operation."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.last = nn.Linear(4, 3)

    def middle(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.middle(self.first(x)).flatten(2).square().mean(2))


class Bicubic(Head):
    """pytorch#177138: the exporter wrote a coefficient of -0.75 for the antialiased bicubic filter, which has -0.5."""

    def middle(self, x: Tensor) -> Tensor:
        return F.interpolate(x, size=(7, 5), mode="bicubic", antialias=True)


class Bilinear(Head):
    """pytorch#183546: weights beyond the border were kept."""

    def middle(self, x: Tensor) -> Tensor:
        return F.interpolate(x, size=(5, 9), mode="bilinear", antialias=True)


class CeilPool(Head):
    """pytorch#113155: windows beyond the border of a pooling that rounds up."""

    def middle(self, x: Tensor) -> Tensor:
        return F.max_pool2d(F.avg_pool2d(x, 3, 2, 1, ceil_mode=True), 2, 2, ceil_mode=True)


class Spectral(Head):
    """pytorch#147854: a Fourier transform with a batch of any size."""

    def middle(self, x: Tensor) -> Tensor:
        found = torch.fft.rfft2(x, norm="ortho")
        return torch.cat([found.real, found.imag], 3)


class Sampled(Head):
    """Positions between pixels, with the border's own rules."""

    def middle(self, x: Tensor) -> Tensor:
        turn = torch.tensor([[0.9, 0.3, 0.1], [-0.3, 0.9, -0.2]]).to(x).expand(len(x), 2, 3)
        grid = F.affine_grid(turn, [len(x), 4, 8, 8], align_corners=False)
        return F.grid_sample(x, grid, align_corners=False, padding_mode="reflection")


class OnePixel(Head):
    """pytorch#183523: the one pixel of a bilinear resize was taken from the corner, not from the middle."""

    def middle(self, x: Tensor) -> Tensor:
        return F.interpolate(x, size=(1, 1), mode="bilinear", align_corners=False)


class OneBicubicPixel(Head):
    """onnxruntime#11496: the same of a bicubic one."""

    def middle(self, x: Tensor) -> Tensor:
        return F.interpolate(x, size=(1, 1), mode="bicubic", align_corners=False)


class Corners(Head):
    """onnx-tensorrt#457: the corners' own rule was read as the other one."""

    def middle(self, x: Tensor) -> Tensor:
        return F.interpolate(x, size=(11, 29), mode="bilinear", align_corners=True)


class Circular(Head):
    """pytorch#86690: a circular padding took rows and columns for each other."""

    def middle(self, x: Tensor) -> Tensor:
        return F.pad(x, (1, 2, 4, 3), "circular") * torch.linspace(0.2, 1, 16).to(x)


class SamePadding(Head):
    """pytorch#55900, onnxscript#2539: TensorFlow's padding, whose sides follow from the input's, in front of a stride."""

    def middle(self, x: Tensor) -> Tensor:
        missing = [max((-(-n // 2) - 1) * 2 + 3 - n, 0) for n in x.shape[:1:-1]]
        sides = [side for n in missing for side in (n // 2, n - n // 2)]
        return F.max_pool2d(F.pad(x, sides, mode="replicate"), 3, 2)


class Transposed(Head):
    """onnxruntime#14208: an output padding below the dilation."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(4, 4, 2, stride=1, padding=3, dilation=2, output_padding=1)

    def middle(self, x: Tensor) -> Tensor:
        return self.up(x)


class Folded(Head):
    """pytorch#166797, pytorch#169178: a convolution without a bias got one of a wrong shape by the batch norm behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.thin = nn.Conv2d(4, 4, 3, groups=4, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.norm.running_mean = torch.tensor([0.3, -0.2, 0.1, 0.5])
        self.norm.running_var = torch.tensor([0.4, 1.7, 0.9, 0.2])

    def middle(self, x: Tensor) -> Tensor:
        return self.norm(self.thin(x)).relu()


class Added(Head):
    """onnxruntime#14500: a convolution and an addition were fused although the sum is broadcast."""

    def __init__(self) -> None:
        super().__init__()
        self.again = nn.Conv2d(4, 4, 3, padding=1)

    def middle(self, x: Tensor) -> Tensor:
        return (self.again(x) + x.mean((2, 3), keepdim=True)).relu() + x


class Normalised(Head):
    """onnxruntime#4293: a layer norm over other axes than the last was fused to one over the last."""

    def middle(self, x: Tensor) -> Tensor:
        centred = x - x.mean((1, 2), keepdim=True)
        return centred / (centred.square().mean((1, 2), keepdim=True) + 1e-3).sqrt() * (1 + x)


class Shifted(Head):
    """transformers#19780: the shifted windows of a Swin transformer, rolled there and back."""

    def middle(self, x: Tensor) -> Tensor:
        rolled = x.roll((-2, -3), (2, 3))[:, :, :12, :12].reshape(-1, 4, 3, 4, 3, 4)
        return (rolled.permute(0, 1, 2, 4, 3, 5).flatten(4).softmax(-1).cumsum(3)).flatten(3)


KINDS = (
    Bicubic, Bilinear, CeilPool, OnePixel, OneBicubicPixel, Corners, Circular, SamePadding, Folded, Added, Normalised,
    Shifted, Spectral,
)  # fmt: skip


class Together(nn.Module):
    """All of them side by side, so that they are exported at once."""

    def __init__(self, kinds: tuple[type[Head], ...]) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.parts = nn.ModuleList(kind() for kind in kinds)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([part(x) for part in self.parts], 1)


def wrapped(kinds: tuple[type[Head], ...], **how: object) -> Trained:
    """The operations of some reports as one network with three classes each."""
    given = {"channels": 3, "height": 15, "width": 13, "mean": (0.5,) * 3, "std": (0.25,) * 3}
    names = [f"{kind.__name__} {i}" for kind in kinds for i in range(3)]
    return striate.wrap(
        Together(kinds).eval(), classes=names, preprocessing=Preprocessing(**{**given, **how})
    )


def answers(file: Path, images: np.ndarray) -> np.ndarray:
    """The logits (N, K) of images by a file's own engine, without anything of Striate."""
    if file.suffix == ".onnx":
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        return np.array(session.run(["logits"], {"images": images})[0])
    import openvino

    options = {"INFERENCE_PRECISION_HINT": "f32"}
    return np.array(openvino.Core().compile_model(str(file), "CPU", options)([images])["logits"])


def differ(trained: Trained, file: Path) -> list[str]:
    """Whose answers in a file are not those of the network in float64, on images that the proof has not seen."""
    images = np.random.default_rng(8).integers(0, 256, (5, 15, 13, 3)).astype(np.uint8)
    logits = answers(file, images)
    x = (torch.from_numpy(images).permute(0, 3, 1, 2).double() / 255 - 0.5) / 0.25
    wrong = []
    for i, part in enumerate(trained.model.double().parts):
        with torch.no_grad():
            right = part(x).numpy()
        if np.abs(logits[:, 3 * i : 3 * i + 3] - right).max() >= 1e-4 * max(right.std(), 1e-3):
            wrong.append(type(part).__name__)
    trained.model.float()
    return wrong


def test_reported_networks_go_out_right_or_not_at_all(tmp_path: Path) -> None:
    trained, file = wrapped(KINDS), tmp_path / "m.onnx"
    try:
        api.export(trained, file, size=(15, 13))
    except (ExactnessError, UsageError):  # which of them is it?
        for kind in KINDS:
            assert not list(tmp_path.iterdir())
            alone = wrapped((kind,))
            try:
                api.export(alone, file, size=(15, 13))
            except (ExactnessError, UsageError):
                continue
            assert not differ(alone, file), kind
            file.unlink()
        return
    assert not differ(trained, file)
    assert str(Path(__file__).parent).encode() not in file.read_bytes()  # nothing of this machine


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Transposed, r"layer parts\.0\.up: onnxruntime fails .* export to \.pt2"),
        (Sampled, r"stops the trace"),
    ],
)
def test_what_an_engine_lacks_is_refused_with_the_layer(
    kind: type[Head], words: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=words):
        api.export(wrapped((kind,)), tmp_path / "m.onnx", size=(15, 13))
    assert not list(tmp_path.iterdir())
