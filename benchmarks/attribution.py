"""Attribution: all maps of one image on ResNet-18, Striate against captum, in turn.

    python benchmarks/attribution.py [--rounds 5] [--patch 32] [--stride 16] [--steps 32] [--json]

Both make the same list with the same settings: gradient, gradient x input, integrated gradients, SmoothGrad, guided
backpropagation, deconvnet (ReLU rule), Grad-CAM and occlusion, of a 224 x 224 image, in float32. Each round runs both, in
turns first. Printed are the ratio captum / Striate (least, median, most over the rounds), the largest difference of a map
from captum's as a share of the map's largest value, and the times of each method. SmoothGrad's noise is drawn by each tool
itself, so that its maps are not compared. Weights are random: time does not depend on them. Threads: two.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable

import torch
from captum import attr as captum
from torch import Tensor
from torchvision.models import resnet18

from striate import attribution
from striate.memory import keep_large_buffers

CLASS = 207


def calls(patch: int, stride: int, steps: int) -> dict[str, dict[str, Callable[[], Tensor]]]:
    """Method -> tool -> what makes its map."""
    torch.manual_seed(0)
    model = resnet18().eval()
    x = torch.rand(1, 3, 224, 224)

    def leaf() -> Tensor:
        return x.clone().requires_grad_()

    window, strides = (3, patch, patch), (3, stride, stride)
    tunnel = captum.NoiseTunnel(captum.Saliency(model))
    noise = 0.15 * float(x.max() - x.min())
    peer: dict[str, Callable[[], Tensor]] = {
        "gradient": lambda: captum.Saliency(model).attribute(leaf(), CLASS, abs=False),
        "gradient x input": lambda: captum.InputXGradient(model).attribute(leaf(), CLASS),
        "integrated gradients": lambda: captum.IntegratedGradients(model).attribute(
            x, target=CLASS, n_steps=steps, internal_batch_size=8
        ),
        "smoothgrad": lambda: tunnel.attribute(
            leaf(), nt_type="smoothgrad", nt_samples=16, nt_samples_batch_size=8, stdevs=noise,
            target=CLASS, abs=False,
        ),
        "guided backpropagation": lambda: captum.GuidedBackprop(model).attribute(leaf(), CLASS),
        "deconvnet": lambda: captum.Deconvolution(model).attribute(leaf(), CLASS),
        "grad-cam": lambda: captum.LayerGradCam(model, model.layer4[1]).attribute(
            x, CLASS, relu_attributions=True
        ),
        "occlusion": lambda: captum.Occlusion(model).attribute(
            x, window, strides, target=CLASS, perturbations_per_eval=16
        )[0, 0],
    }  # fmt: skip
    ours: dict[str, Callable[[], Tensor]] = {
        "gradient": lambda: attribution.gradient(model, x, CLASS),
        "gradient x input": lambda: attribution.gradient_x_input(model, x, CLASS),
        "integrated gradients": lambda: attribution.integrated_gradients(
            model, x, CLASS, steps=steps
        ),
        "smoothgrad": lambda: attribution.smoothgrad(model, x, CLASS, samples=16),
        "guided backpropagation": lambda: attribution.guided_backpropagation(model, x, CLASS),
        "deconvnet": lambda: attribution.deconvnet(model, x, CLASS),
        "grad-cam": lambda: attribution.grad_cam(model, x, CLASS).maps[:, None],
        "occlusion": lambda: attribution.occlusion_map(model, x, CLASS, patch=patch, stride=stride),
    }
    return {name: {"striate": ours[name], "captum": peer[name]} for name in ours}


def measure(rounds: int, patch: int, stride: int, steps: int) -> dict[str, object]:
    """Times and differences of all rounds."""
    table = calls(patch, stride, steps)
    times: dict[str, dict[str, list[float]]] = {n: {"striate": [], "captum": []} for n in table}
    apart: dict[str, float] = {}
    maps: dict[str, dict[str, Tensor]] = {"striate": {}, "captum": {}}
    for name in ("gradient", "guided backpropagation", "grad-cam"):  # warm: kernels, hooks, trace
        for run in table[name].values():
            run()
    for i in range(rounds):
        for tool in ("striate", "captum") if i % 2 else ("captum", "striate"):
            for name, tools in table.items():
                began = time.perf_counter()
                maps[tool][name] = tools[tool]().detach()
                times[name][tool].append(time.perf_counter() - began)
        for name in table:
            if name != "smoothgrad":
                ours, theirs = maps["striate"][name], maps["captum"][name]
                scale = float(theirs.abs().max()) or 1.0
                gap = float((ours - theirs.to(ours)).abs().max()) / scale
                apart[name] = max(apart.get(name, 0.0), gap)
    sums = {
        tool: [sum(times[n][tool][i] for n in table) for i in range(rounds)]
        for tool in ("striate", "captum")
    }
    ratios = sorted(c / s for c, s in zip(sums["captum"], sums["striate"], strict=True))
    return {
        "rounds": rounds,
        "ratio": {"least": ratios[0], "median": statistics.median(ratios), "most": ratios[-1]},
        "seconds": {tool: statistics.median(s) for tool, s in sums.items()},
        "methods": {
            n: {tool: statistics.median(t) for tool, t in tools.items()}
            for n, tools in times.items()
        },
        "largest_difference": apart,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--patch", type=int, default=32)
    parser.add_argument("--stride", type=int, default=16)
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(2)
    keep_large_buffers()
    warnings.simplefilter("ignore")
    found = measure(given.rounds, given.patch, given.stride, given.steps)
    if given.json:
        print(json.dumps(found, indent=1))
        return
    ratio, seconds = found["ratio"], found["seconds"]
    assert isinstance(ratio, dict) and isinstance(seconds, dict)
    print(f"all maps: captum {seconds['captum']:.2f} s, Striate {seconds['striate']:.2f} s")
    print(
        f"ratio {ratio['least']:.2f} - {ratio['median']:.2f} - {ratio['most']:.2f} in {given.rounds} rounds"
    )
    methods, apart = found["methods"], found["largest_difference"]
    assert isinstance(methods, dict) and isinstance(apart, dict)
    for name, both in methods.items():
        gap = f"{apart[name]:.1e}" if name in apart else "-"
        print(
            f"{name:24} captum {both['captum']:7.3f}  Striate {both['striate']:7.3f}  difference {gap}"
        )


if __name__ == "__main__":
    main()
