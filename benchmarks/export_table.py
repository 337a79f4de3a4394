"""Which networks are exported and proven, and which are refused with what: the table of docs/deploy.md.

    python benchmarks/export_table.py [--only NAME ...] [--skip N] [--timm N]

Every network has fresh weights, random also where they would begin at zero: what is asked is whether the file gives the
network's answers, not whether these are right. A line is printed as soon as it is known: network, task, size, whether it
is proven, largest difference of the answers as a share of their deviation, megabytes of the file, seconds.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
import warnings
from pathlib import Path

import torch

import striate
from striate import api
from striate.data import Preprocessing
from striate.errors import StriateError
from striate.models import MODELS, finds_masks, full_size, is_detector, is_segmenter
from striate.tasks.table import find_task
from striate.tasks.trained import Trained

TIMM = (
    "convnext_atto", "efficientnet_b0", "mobilenetv3_small_100", "regnetx_002", "resnet18d", "vit_tiny_patch16_224",
    "swin_tiny_patch4_window7_224", "maxvit_rmlp_nano_rw_256", "ghostnet_100", "mobilevit_xxs", "poolformer_s12",
    "coat_tiny", "mobilenetv4_conv_small", "repvgg_a0",
)  # fmt: skip
FIXED = (
    "vit",
    "swin",
    "maxvit",
    "coat",
)  # families whose networks are made for one size; the others are asked at 64 pixels
LITE0 = "efficientnet-lite0, ImageNet weights"
CLASSES = tuple(f"class {i}" for i in range(10))


def trained(spec: str, task: str, size: int) -> Trained:
    """A network with fresh weights, whose batch norms have statistics that show."""
    torch.manual_seed(0)
    how = Preprocessing(
        channels=3, height=size, width=size, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    )
    where = None if task in ("detect", "instances") or spec == "unet-valid" else size
    network = full_size(striate.build(spec, in_channels=3, num_classes=len(CLASSES), size=where))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)
        if getattr(module, "weight", None) is not None and not module.weight.any():
            torch.nn.init.normal_(
                module.weight, std=0.1
            )  # of zeros, no answer depends on the image
    return Trained(
        name=spec, model=network.eval(), preprocessing=how, classes=CLASSES, task=find_task(task)
    )


def with_its_weights() -> Trained:
    """EfficientNet-Lite0 with the ImageNet weights that come with the installation, as `striate export` opens it."""
    from striate.runs.opening import open_trained

    return open_trained("efficientnet-lite0")


def line(spec: str, task: str, size: int, folder: Path, given: str | None) -> str:
    begun = time.perf_counter()
    file = folder / "model.onnx"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = with_its_weights() if spec == LITE0 else trained(spec, task, size)
            found = api.export(network, file, size=given, force=True)
        checks = [c for c in found.data["checks"] if c["limit"] and "grey" not in c["name"]]
        worst = max(checks, key=lambda c: c["value"] / c["limit"])
        words = (
            f"yes | {worst['value'] / worst['limit'] * 1e-4:.1e} | {file.stat().st_size / 1e6:.1f}"
        )
    except StriateError as error:
        words = f"no: {error.sentence} | | "
    except Exception as error:  # a fault of ours, which the table shows
        words = f"FAULT {type(error).__name__}: {str(error)[:200]} | | "
    return f"| {spec} | {task} | {size} | {words} | {time.perf_counter() - begun:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", help="networks by their whole names")
    parser.add_argument("--timm", type=int, default=len(TIMM))
    parser.add_argument("--skip", type=int, default=0)
    arguments = parser.parse_args()
    rows = []
    for spec in MODELS:
        if is_segmenter(spec):
            rows.append((spec, "segment", 64))
        elif is_detector(spec):
            rows.append((spec, "instances" if finds_masks(spec) else "detect", 128))
        else:
            rows.append((spec, "classify", 64))
    rows += [("resnet18", task, 64) for task in ("multilabel", "regression", "embed")]
    for name in TIMM[: arguments.timm]:
        own = 256 if "256" in name else 224
        rows.append((f"timm/{name}", "classify", own if name.startswith(FIXED) else 64))
    rows.append((LITE0, "classify", 224))
    with tempfile.TemporaryDirectory() as folder:
        for spec, task, size in rows[arguments.skip :]:
            if arguments.only is None or spec in arguments.only:
                print(line(spec, task, size, Path(folder), None), flush=True)
                gc.collect()


if __name__ == "__main__":
    main()
